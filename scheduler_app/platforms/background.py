"""Talking to what starts programs without anybody's help: the one error, and how its tools are run."""

import subprocess
from collections.abc import Sequence

COMMAND_LIMIT = 60.0
"""Seconds; a manager that waits for the program to have started takes some of them."""


class ServiceManagerError(Exception):
    """The system's service manager is not there, or refuses; str() says which, and what it said."""


def ask(argv: Sequence[str], *, encoding: str = "utf-8", flags: int = 0) -> "subprocess.CompletedProcess[str]":
    """Run one of the manager's tools to its end; *flags* are Windows' for a new process."""
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding=encoding,
            errors="replace",
            timeout=COMMAND_LIMIT,
            check=False,
            creationflags=flags,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceManagerError(f"cannot run {argv[0]}: {error}") from error


def insist(argv: Sequence[str], *, encoding: str = "utf-8", flags: int = 0) -> None:
    """Run one of the manager's tools; raise ServiceManagerError with what it says when it fails."""
    done = ask(argv, encoding=encoding, flags=flags)
    if done.returncode != 0:
        raise ServiceManagerError(f"cannot do `{' '.join(argv)}`: {(done.stderr or done.stdout).strip()}")
