"""What services print: to a file that is rotated by size, and the last lines for a failure's report.

Nothing here grows with what a service prints. A service that prints faster than the disk takes it waits in its pipe.
"""

import contextlib
import os
import threading
from collections import deque
from pathlib import Path
from typing import IO

TAIL_LINES = 20
TAIL_LINE_LENGTH = 500
CHUNK = 64 * 1024


class RotatingFile:
    """An append-only file that becomes NAME.1 … NAME.<keep> when it has grown to *max_size* bytes.

    Several threads may write: a grandchild that outlives its service still holds the old pipe.
    """

    def __init__(self, path: Path, *, max_size: int, keep: int) -> None:
        self.path = path
        self._max_size = max_size
        self._keep = keep
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._lost = False

    def write(self, data: bytes) -> None:
        """Append *data*. What cannot be written (disk full) is left out and said so in the file once it can."""
        # The reader has to go on whatever the disk does: a full pipe would stop the service itself.
        with self._lock:
            try:
                file = self._opened()
                if self._lost:
                    file.write(b"[lines are missing here: this file could not be written]\n")
                file.write(data)
                self._lost = False
            except OSError:
                self._lost = True
                self._close()

    def close(self) -> None:
        with self._lock:
            self._close()

    def _opened(self) -> IO[bytes]:
        if self._file is not None and self._file.tell() >= self._max_size:
            self._close()
            # On Windows a file that somebody reads cannot be renamed: then it grows until they are done.
            with contextlib.suppress(OSError):
                self._rotate()
        if self._file is None:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(descriptor, "ab", buffering=0)
            self._file.seek(0, os.SEEK_END)
        return self._file

    def _rotate(self) -> None:
        if self._keep <= 0:
            self.path.unlink(missing_ok=True)
            return
        for number in range(self._keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self.path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Tail:
    """The last lines of a stream of bytes, each cut to a length people can read."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._partial = b""
        self._lock = threading.Lock()

    def feed(self, data: bytes) -> None:
        # Only the end of a chunk can be among the last lines; splitting all of it would cost more than writing it.
        *lines, partial = data.rsplit(b"\n", TAIL_LINES + 1)
        with self._lock:
            if lines:
                lines[0] = lines[0].rpartition(b"\n")[2] if b"\n" in lines[0] else self._partial + lines[0]
                self._lines.extend(line[:TAIL_LINE_LENGTH] for line in lines)
                self._partial = b""
            self._partial = (self._partial + partial)[:TAIL_LINE_LENGTH]

    def lines(self) -> tuple[str, ...]:
        """Return the last lines, oldest first, the unfinished one included."""
        with self._lock:
            last = [*self._lines, self._partial] if self._partial.strip() else list(self._lines)
        return tuple(line.decode("utf-8", "replace").rstrip() for line in last[-TAIL_LINES:])


def copy_output(source: IO[bytes], log: RotatingFile, tail: Tail) -> None:
    """Copy *source* into *log* and *tail* until its end."""
    descriptor = source.fileno()
    with source:
        while data := os.read(descriptor, CHUNK):
            tail.feed(data)
            log.write(data)
