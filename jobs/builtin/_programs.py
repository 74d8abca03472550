"""A program that is the work of a run: started with what the schedule gives it, and judged by its exit code."""

import os
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jobs.errors import JobFailed
from jobs.secret_text import SecretText

# What sh(1) says: POSIX, Shell & Utilities, 2.8.2 "Exit Status for Commands".
NOT_EXECUTABLE = 126
NOT_FOUND = 127
SIGNAL_BASE = 128


def check_environment(environment: Mapping[str, object]) -> None:
    """Raise ValueError for a name that no environment can hold."""
    for name in environment:
        if not name or "=" in name:
            raise ValueError(f"{name!r} cannot be the name of an environment variable: it is empty or holds a =")


def check_accepted(codes: tuple[int, ...]) -> None:
    """Raise ValueError when no exit code would mean success."""
    if not codes:
        raise ValueError("at least one exit code must mean success, usually 0")


def check_folder(folder: Path | None, what: str) -> None:
    """Raise JobFailed unless *what* can run in *folder*; None is the folder of the run."""
    if folder is not None and not folder.is_dir():
        raise JobFailed(f"cannot run {what} in {folder}: there is no such folder; create it or choose another one")


def with_secrets(environment: Mapping[str, str], secrets: Mapping[str, SecretText]) -> dict[str, str]:
    return {**environment, **{name: text.get_secret_value() for name, text in secrets.items()}}


def run_program(
    arguments: list[str] | str,
    *,
    shell: bool = False,
    folder: Path | None = None,
    environment: Mapping[str, str],
    text: str = "",
    descriptors: Iterable[int] = (),
) -> int:
    """Run a program to its end, *text* on its stdin; return its exit code, negative for a signal. Raises OSError.

    It shares this process's group, stdout and stderr: one signal reaches both, and the bytes pass untouched.
    """
    given: dict[str, Any] = {"input": text.encode()} if text else {"stdin": subprocess.DEVNULL}
    return subprocess.run(
        arguments,
        shell=shell,
        cwd=folder,
        env={**os.environ, **environment},
        pass_fds=tuple(descriptors),
        check=False,
        **given,
    ).returncode


def judge(code: int, accepted: tuple[int, ...], what: str) -> None:
    """Raise JobFailed with the run's exit code unless *code*, which is negative for a signal, is accepted."""
    exit_code = SIGNAL_BASE - code if code < 0 else code
    if exit_code in accepted:
        return
    if code < 0:
        raise JobFailed(f"{what} was ended by signal {-code} ({_signal_name(-code)})", exit_code)
    expected = " or ".join(map(str, accepted))
    sentence = f"{what} ended with exit code {code}; {expected} would be a success"
    # What counts as a failure must not look like a success (0, or the multiple of 256 that POSIX makes of it).
    raise JobFailed(sentence, code if code % 256 else 1)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return "a real-time signal"
