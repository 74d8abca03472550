"""The services' log files on a terminal: the last lines, and what is added from now on."""

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from scheduler_app.supervisor.service import SupervisorError

LOOK_INTERVAL = 0.25
BLOCK = 64 * 1024

Write = Callable[[str], None]

_look_again = threading.Event()
"""Never set: only Ctrl-C ends a follow."""


def log_files(folder: Path, service: str | None) -> list[Path]:
    """Return the file of *service*, or all of them; raise SupervisorError when there is none."""
    files = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if service is None:
        return list(files.values())
    if service not in files:
        known = ", ".join(files) or "none yet"
        raise SupervisorError(f"cannot show the log of {service!r}: the logs in {folder} are {known}")
    return [files[service]]


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last *count* lines without reading the whole file."""
    if count <= 0:
        return []
    with path.open("rb") as file:
        position = file.seek(0, io.SEEK_END)
        data = b""
        while position > 0 and data.count(b"\n") <= count:
            size = min(BLOCK, position)
            position = file.seek(position - size)
            data = file.read(size) + data
    return [line.decode("utf-8", "replace") for line in data.splitlines()[-count:]]


class Follower:
    """What is added to one file, also after it was rotated."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] = path.open("rb")
        self._file.seek(0, io.SEEK_END)
        self._partial = b""

    def new_lines(self) -> list[str]:
        data = self._file.read()
        if self._was_rotated():
            # What was written between the read and the rotation is still in the old file.
            data += self._file.read()
            self._file.close()
            self._file = self.path.open("rb")
            data += self._file.read()
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [line.decode("utf-8", "replace").rstrip("\r") for line in lines]

    def close(self) -> None:
        self._file.close()

    def _was_rotated(self) -> bool:
        try:
            return not os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False  # between the renaming and the first line of the new file


def show_logs(files: list[Path], count: int, write: Write, *, follow: bool) -> None:
    """Write the last *count* lines of each file, then, for *follow*, what comes, until interrupted."""
    followers = [Follower(path) for path in files] if follow else []
    try:
        for path in files:
            for line in last_lines(path, count):
                write(_labelled(path, line, files))
        while followers:
            for follower in followers:
                for line in follower.new_lines():
                    write(_labelled(follower.path, line, files))
            _look_again.wait(LOOK_INTERVAL)
    finally:
        for follower in followers:
            follower.close()


def _labelled(path: Path, line: str, files: list[Path]) -> str:
    return line if len(files) == 1 else f"{path.stem:<10} | {line}"
