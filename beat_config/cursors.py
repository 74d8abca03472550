"""Writing many policies back at once."""

from collections.abc import Iterable, Sequence

from beat_config.models import SchedulePolicy
from jobs import bulk

# What a fire moves, and what a look may change beside it.
CURSOR = ("next_fire_at", "look_at", "settled_until")
EVERYTHING = (*CURSOR, "anchor", "fingerprint", "changes", "error", "error_at", "failures")


def store(policies: Iterable[SchedulePolicy], columns: Sequence[str]) -> None:
    """Write these *columns* of rows that the caller has locked."""
    bulk.update([*policies], columns)
