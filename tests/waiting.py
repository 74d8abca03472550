"""Poll with a deadline: the only way a test waits."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
INTERVAL = 0.05


def wait_until(predicate: Callable[[], T], timeout: float, what: str) -> T:
    """Return the first true value of *predicate*; fail naming *what* when *timeout* seconds pass without one."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what}: not within {timeout:g} s")
        time.sleep(INTERVAL)
