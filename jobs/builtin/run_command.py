"""The built-in job that runs a command, as cron and Windows' Task Scheduler do."""

import os
import sys
from pathlib import Path
from typing import Annotated

from jobs import Check, JobFailed, Label, Lines, SecretText, job
from jobs.builtin._programs import (
    NOT_EXECUTABLE,
    NOT_FOUND,
    check_accepted,
    check_environment,
    check_folder,
    judge,
    run_program,
    with_secrets,
)
from scheduler_app.platforms import command_line

# What sh(1) says of a line that it cannot read: POSIX, Shell & Utilities, 2.8.2 "Exit Status for Commands".
WRONG_SYNTAX = 2

_SHELL_WORDS = {"|", "||", "&", "&&", ";", "<", ">", ">>", "<<", "2>", "2>>", "2>&1", "&>"}
_SHELL_CHARACTERS = set("|&;<>*?$~`")
_USE_THE_SHELL = 'switch on "Use the system\'s shell"'


@job(title="Run a command", group="Commands", permission="jobs.run_command")
def run_command(
    command: str,
    folder: Annotated[Path | None, Label("Working folder")] = None,
    environment: Annotated[dict[str, str], Label("Environment variables"), Check(check_environment)] = {},  # noqa: B006 - only a form's default; every call passes its own
    secrets: Annotated[dict[str, SecretText], Label("Secrets as environment variables"), Check(check_environment)] = {},  # noqa: B006 - as above
    shell: Annotated[bool, Label("Use the system's shell")] = False,
    stdin: Annotated[str, Lines(), Label("Standard input")] = "",
    accepted_exit_codes: Annotated[tuple[int, ...], Check(check_accepted)] = (0,),
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
        stdin: A text that the command reads. Empty: nothing.
        accepted_exit_codes: The exit codes that mean success.
    """
    check_folder(folder, "the command")
    arguments = command if shell else _split(command)
    try:
        code = run_program(
            arguments, shell=shell, folder=folder, environment=with_secrets(environment, secrets), text=stdin
        )
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
    judge(code, accepted_exit_codes, "the command")


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
