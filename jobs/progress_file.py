"""How far a job has come: said by the job in a file, read by its worker while it runs.

The file, which SCHEDULER_PROGRESS names, holds one line: `3 10 copying`, `3 copying` where nobody knows of how many, or
`30% copying`. A command writes it with echo; a job in Python calls `progress()`.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

VARIABLE = "SCHEDULER_PROGRESS"
LONGEST_TEXT = 200
LONGEST_LINE = 1_000
LEAST_PAUSE = 0.1

_LINE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)(%|(?:\s+(\d{1,15}(?:\.\d{1,6})?))?)(?:\s+(.*))?", re.DOTALL)
_said_at = float("-inf")
# Of the thread that calls a job in the worker itself (`jobs.in_worker`): who is told instead of the file.
_here = threading.local()


class Progress(NamedTuple):
    """*total* is None where nobody knows it."""

    done: float
    total: float | None
    text: str

    @property
    def percent(self) -> int | None:
        """Return 0 to 100, None without a total."""
        return min(100, int(100 * self.done / self.total)) if self.total else None


def progress(done: float, total: float | None = None, text: str = "") -> None:
    """Say how far the job has come: *done* of *total*, and what it is doing; nothing happens outside of a run.

    Call it as often as you like: it is written ten times a second at most, and the last one of *total* always.
    """
    global _said_at  # noqa: PLW0603 - one job a process
    tell = getattr(_here, "tell", None)
    if tell is not None:
        tell(Progress(max(0.0, float(done)), None if total is None else float(total), _one_line(text)))
        return
    path = os.environ.get(VARIABLE)
    now = time.monotonic()
    if not path or (now - _said_at < LEAST_PAUSE and done != total):
        return
    _said_at = now
    numbers = f"{_plain(done)}" if total is None else f"{_plain(done)} {_plain(total)}"
    # A reader never sees half a line.
    with open(f"{path}.new", "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs a child some milliseconds
        file.write(f"{numbers} {_one_line(text)}\n")
    os.replace(f"{path}.new", path)  # noqa: PTH105 - as above


@contextmanager
def told_to(tell: Callable[[Progress], None]) -> Iterator[None]:
    """Have what this thread says with `progress()` told to *tell* meanwhile; it is called as often as a job says it."""
    _here.tell = tell
    try:
        yield
    finally:
        del _here.tell


def read(line: bytes) -> Progress | None:
    """Return what *line* says; None when it says nothing that can be understood."""
    found = _LINE.fullmatch(line[:LONGEST_LINE].decode(errors="replace"))
    if found is None:
        return None
    done, text = float(found[1]), _one_line(found[4] or "")
    if found[2] == "%":
        return Progress(done, 100.0, text)
    return Progress(done, float(found[3]) if found[3] else None, text)


def _plain(number: float) -> str:
    return f"{max(0.0, float(number)):.6f}".rstrip("0").rstrip(".")


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", "").split())[:LONGEST_TEXT]
