"""How fast a token may ask: so many requests a minute, a sixth of that at once. Counted by this process."""

import threading
import time

BURST = 6  # of a minute


class Bucket:
    """Fills evenly; a request takes one out."""

    __slots__ = ("at", "left", "per_minute")

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute = per_minute
        self.at = now
        self.left = self.size

    @property
    def size(self) -> float:
        return max(1.0, self.per_minute / BURST)

    def take(self, now: float) -> float:
        """Take one out; return 0, or in how many seconds there is one."""
        self.left = min(self.size, self.left + max(0.0, now - self.at) * self.per_minute / 60)
        self.at = now
        if self.left < 1:
            return (1 - self.left) * 60 / self.per_minute
        self.left -= 1
        return 0.0


class Buckets:
    """One bucket for each name, for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, Bucket] = {}

    def take(self, name: str, per_minute: int, now: float | None = None) -> float:
        """Take one out of the bucket called *name*; return 0, or in how many seconds there is one."""
        now = time.monotonic() if now is None else now
        with self._lock:
            bucket = self._buckets.get(name)
            if bucket is None or bucket.per_minute != per_minute:
                bucket = self._buckets[name] = Bucket(per_minute, now)
            return bucket.take(now)


buckets = Buckets()
