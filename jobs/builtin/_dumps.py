"""A dump by a database's own program: the password never among its arguments, the dump kept only when it succeeds."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from jobs import JobFailed


def program(names: Sequence[str], package: str) -> str:
    """Return the path of the first of *names* that is installed."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise JobFailed(
            f"cannot back up the database: there is no {' or '.join(names)} on this machine; install {package}"
        )
    return found


def run(
    arguments: Sequence[str], environment: Mapping[str, str], *, take: Callable[[IO[bytes]], object] | None = None
) -> None:
    """Run a dump; *take* gets its stdout, and what it says on stderr is the run's. JobFailed when it fails."""
    try:
        with subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if take else subprocess.DEVNULL,
            env={**os.environ, **environment},
        ) as process:
            if take is not None and process.stdout is not None:
                take(process.stdout)
    except OSError as error:
        raise JobFailed(f"cannot run {arguments[0]}: {error.strerror}") from error
    if process.returncode != 0:
        said = f"exit code {process.returncode}; what it says is above, nothing was kept"
        raise JobFailed(f"{Path(arguments[0]).name} ended with {said}")
