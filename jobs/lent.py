"""What the scheduler lends the built-in job of this process out of its own configuration; empty for any other job."""

from typing import Any

settings: dict[str, Any] = {}
