"""When the queue of our own node takes nothing any more.

RabbitMQ starts with a quorum queue whose files are damaged, and refuses every message to it. A new queue in its place
works, and the database knows what waited.
"""

import time

# A node that is about to stop refuses too.
REFUSES_FOR = 20.0


class Refusals:
    """Notes what becomes of the batches of one queue."""

    def __init__(self) -> None:
        self._since: float | None = None

    def note(self, *, taken: int, refused: int) -> bool:
        """Tell whether the queue has taken nothing for REFUSES_FOR seconds and refused something at both ends."""
        if taken:
            self._since = None
        if taken or not refused:
            return False
        now = time.monotonic()
        if self._since is None:
            self._since = now
        return now - self._since >= REFUSES_FOR
