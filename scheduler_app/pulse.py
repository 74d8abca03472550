"""The sign of life of a service: the loop that does its work touches a file, which the supervisor looks at.

A file, because it can be touched when the database is away or the disk is full, and looking at it costs nothing. By
hand, without a supervisor, nobody has named one and nothing is done.
"""

import contextlib
import os
import time

VARIABLE = "SCHEDULER_PULSE"
"""Environment variable with the file's path; set by the supervisor for each launch."""
INTERVAL = 2.0
"""Seconds between two touches, however often the loop comes round."""

_next = 0.0


def show() -> None:
    """Say that this process's loop still turns."""
    global _next  # noqa: PLW0603 - one process has one pulse
    now = time.monotonic()
    if now < _next:
        return
    _next = now + INTERVAL
    path = os.environ.get(VARIABLE)
    if path:
        # Somebody has cleaned up the folder: the next launch makes the file anew.
        with contextlib.suppress(OSError):
            os.utime(path)
