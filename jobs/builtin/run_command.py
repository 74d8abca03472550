"""The built-in job that runs a command, as cron and Windows' Task Scheduler do."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

from jobs import Check, JobFailed, Label, SecretText, job
from scheduler_app.platforms import command_line

# What sh(1) says: POSIX, Shell & Utilities, 2.8.2 "Exit Status for Commands".
WRONG_SYNTAX = 2
NOT_EXECUTABLE = 126
NOT_FOUND = 127
SIGNAL_BASE = 128

_SHELL_WORDS = {"|", "||", "&", "&&", ";", "<", ">", ">>", "<<", "2>", "2>>", "2>&1", "&>"}
_SHELL_CHARACTERS = set("|&;<>*?$~`")
_USE_THE_SHELL = 'switch on "Use the system\'s shell"'


def _check_environment(environment: dict[str, object]) -> None:
    for name in environment:
        if not name or "=" in name:
            raise ValueError(f"{name!r} cannot be the name of an environment variable: it is empty or holds a =")


def _check_accepted(codes: tuple[int, ...]) -> None:
    if not codes:
        raise ValueError("at least one exit code must mean success, usually 0")


@job(title="Run a command", group="Commands", permission="jobs.run_command")
def run_command(
    command: str,
    folder: Annotated[Path | None, Label("Working folder")] = None,
    environment: Annotated[dict[str, str], Label("Environment variables"), Check(_check_environment)] = {},  # noqa: B006 - only a form's default; every call passes its own
    secrets: Annotated[
        dict[str, SecretText], Label("Secrets as environment variables"), Check(_check_environment)
    ] = {},  # noqa: B006 - as above
    shell: Annotated[bool, Label("Use the system's shell")] = False,
    accepted_exit_codes: Annotated[tuple[int, ...], Check(_check_accepted)] = (0,),
) -> None:
    """Run a program with its arguments, or a line of shell.

    The output of the command is the output of the run, and its exit code is the run's.

    Args:
        command: The program and its arguments, such as: rsync -a "/home/me/My Pictures" /mnt/backup
        folder: Where the command runs; it must exist. Empty: where the scheduler runs.
        environment: Variables that the command gets in addition to the scheduler's own.
        secrets: Passwords and the like, which the command reads from variables of these names.
        shell: Needed for pipes, redirection, variables and wildcards. Without it, such characters are passed on as
            they are.
        accepted_exit_codes: The exit codes that mean success.
    """
    if folder is not None and not folder.is_dir():
        raise JobFailed(f"cannot run the command in {folder}: there is no such folder; create it or choose another one")
    arguments = command if shell else _split(command)
    try:
        # It shares this process's group, stdout and stderr: one signal reaches both, and the bytes pass untouched.
        code = subprocess.run(
            arguments,
            shell=shell,
            cwd=folder,
            env={**os.environ, **environment, **{name: text.get_secret_value() for name, text in secrets.items()}},
            stdin=subprocess.DEVNULL,
            check=False,
        ).returncode
    except FileNotFoundError as error:
        raise JobFailed(_not_found(command, arguments, folder), NOT_FOUND) from error
    except PermissionError as error:
        raise JobFailed(
            f"cannot run {_program(arguments)}: it is not executable; make it so (chmod +x), or start it with its "
            "interpreter, such as: sh script.sh",
            NOT_EXECUTABLE,
        ) from error
    except OSError as error:
        raise JobFailed(
            f"cannot run {_program(arguments)}: {error.strerror}; a script needs a first line such as #!/bin/sh",
            NOT_EXECUTABLE,
        ) from error
    _judge(code, accepted_exit_codes)


def _split(command: str) -> list[str] | str:
    try:
        arguments = command_line.split(command)
    except ValueError as error:
        raise JobFailed(
            f"cannot read the command {command!r}: {str(error).lower()}; close it, or {_USE_THE_SHELL}", WRONG_SYNTAX
        ) from error
    if not arguments:
        raise JobFailed("cannot run an empty command", NOT_FOUND)
    for_shell = sorted(_SHELL_WORDS.intersection(arguments)) if isinstance(arguments, list) else []
    if for_shell:
        words = " ".join(for_shell)
        sys.stderr.write(f"note: {words} goes to {arguments[0]} as plain text; if not meant, {_USE_THE_SHELL}\n")
    return arguments


def _program(arguments: list[str] | str) -> str:
    return repr(arguments[0] if isinstance(arguments, list) else arguments)


def _not_found(command: str, arguments: list[str] | str, folder: Path | None) -> str:
    program = _program(arguments)
    if isinstance(arguments, list) and (folder or Path()).joinpath(arguments[0]).is_file():
        if os.sep in arguments[0]:
            return f"cannot run {program}: the interpreter that its first line names is not there"
        return f"cannot run {program}: the working folder is not searched for programs; write ./{arguments[0]}"
    if _SHELL_CHARACTERS.intersection(command):
        return f"cannot run {program}: there is no such program; for what only a shell understands, {_USE_THE_SHELL}"
    return f"cannot run {program}: there is no such program; give its full path, or install it"


def _judge(code: int, accepted: tuple[int, ...]) -> None:
    """Raise JobFailed with the run's exit code unless *code*, which is negative for a signal, is accepted."""
    exit_code = SIGNAL_BASE - code if code < 0 else code
    if exit_code in accepted:
        return
    if code < 0:
        raise JobFailed(f"the command was ended by signal {-code} ({_signal_name(-code)})", exit_code)
    expected = " or ".join(map(str, accepted))
    sentence = f"the command ended with exit code {code}; {expected} would be a success"
    # What counts as a failure must not look like a success (0, or the multiple of 256 that POSIX makes of it).
    raise JobFailed(sentence, code if code % 256 else 1)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return "a real-time signal"
