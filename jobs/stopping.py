"""A worker that is being stopped: its running jobs may go on for a while, and are then ended."""

import threading
import time

_begun = threading.Event()
_deadline = float("inf")


def begin(limit: float) -> None:
    """Let the jobs of this process run *limit* seconds longer; an earlier deadline stays."""
    global _deadline  # noqa: PLW0603 - the process stops once, and all its jobs with it
    _deadline = min(_deadline, time.monotonic() + limit)
    _begun.set()


def is_over() -> bool:
    """Tell whether jobs have to end now."""
    return time.monotonic() >= _deadline


def wait(seconds: float) -> bool:
    """Wait; return at once, and True, when the process is being stopped."""
    return _begun.wait(seconds)
