"""What a run prints, bounded: the head and the tail are kept, the gap between them is counted."""

import threading
from collections import deque
from dataclasses import dataclass, field

PIECE = 64 * 1024


@dataclass(slots=True)
class Piece:
    number: int
    stream: int
    data: bytearray
    written: bool = False


@dataclass(slots=True)
class Changes:
    """What the database does not know yet: pieces to add, and the numbers (from, to) of written ones to drop."""

    head: list[Piece] = field(default_factory=list)
    tail: list[Piece] = field(default_factory=list)
    dropped: tuple[int, int] | None = None

    @property
    def added(self) -> list[Piece]:
        return self.head + self.tail


class OutputBuffer:
    """Collects the output of one run from its reader threads, in at most *limit* bytes of memory.

    The first half of *limit* is the head and is kept for good. What follows is the tail: when it outgrows
    the second half, its oldest pieces go, so that a job is never blocked and the end is never lost.
    """

    def __init__(self, limit: int) -> None:
        self._head_room = limit - limit // 2
        self._tail_room = limit // 2
        self._lock = threading.Lock()
        self._unwritten_head: list[Piece] = []
        self._tail: deque[Piece] = deque()
        self._tail_size = 0
        self._number = 0
        self._last: Piece | None = None
        self._gone: tuple[int, int] | None = None
        self.size = 0
        self.dropped = 0

    def feed(self, stream: int, data: bytes) -> None:
        """Take *data* that arrived on *stream* (1 = stdout, 2 = stderr)."""
        if not data:
            return
        with self._lock:
            self.size += len(data)
            if self._head_room:
                head, data = data[: self._head_room], data[self._head_room :]
                self._head_room -= len(head)
                self._append(self._unwritten_head, stream, head)
                if not self._head_room:
                    self._last = None
            for start in range(0, len(data), PIECE):
                part = data[start : start + PIECE]
                self._append(self._tail, stream, part)
                self._tail_size += len(part)
                self._shorten_tail()

    def changes(self) -> Changes:
        """Return what to write since the last call; a caller that cannot write it hands it to `undo`."""
        with self._lock:
            changes = Changes(self._unwritten_head, [piece for piece in self._tail if not piece.written], self._gone)
            for piece in changes.added:
                piece.written = True
            self._unwritten_head = []
            self._gone = None
            return changes

    def undo(self, changes: Changes) -> None:
        """Take back *changes* that were not written; the next `changes` has them again, as far as there is room."""
        with self._lock:
            for piece in changes.added:
                piece.written = False
            self._unwritten_head = changes.head + self._unwritten_head
            self._gone = _span(self._gone, changes.dropped)

    def _append(self, pieces: "list[Piece] | deque[Piece]", stream: int, data: bytes) -> None:
        last = self._last
        if last is not None and not last.written and last.stream == stream and len(last.data) + len(data) <= PIECE:
            last.data += data
            return
        self._number += 1
        self._last = Piece(self._number, stream, bytearray(data))
        pieces.append(self._last)

    def _shorten_tail(self) -> None:
        while self._tail_size > self._tail_room and len(self._tail) > 1:
            oldest = self._tail.popleft()
            self._tail_size -= len(oldest.data)
            self.dropped += len(oldest.data)
            if oldest.written:
                self._gone = _span(self._gone, (oldest.number, oldest.number))


def _span(one: tuple[int, int] | None, other: tuple[int, int] | None) -> tuple[int, int] | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])
