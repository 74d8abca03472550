"""A lock that goes to whoever has waited longest."""

import threading
from collections import deque
from types import TracebackType


class Turns:
    """Lets the threads of a beat write to SQLite in turn; a context manager, not re-entrant.

    SQLite itself lets a second writer try again after up to 100 ms: a thread that writes without a pause keeps it out
    for seconds. `threading.Lock` is no better, for it goes to the thread that has just released it.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()  # released by whoever leaves

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
