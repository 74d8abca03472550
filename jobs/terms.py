"""The keys of a run's `terms`: what was agreed on for it, and what became of that.

retry      how it is tried again (`jobs.retries`); None: never; no such key: as the job says
previous   the run of which it is the next attempt
next       the run that is its next attempt
process    of a running run: the machine and the root of its processes (`platforms.Root`)
limited    its job says how many may run at once: its end lets the next one begin
put_off    it waits for that, or for its turn
turn       the moment that is kept for it, by its job's rate
progress   how far it has come (`jobs.progress_file`), while it runs and when it did not succeed
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jobs import retries
from jobs.retries import Retry

RETRY, PREVIOUS, NEXT = "retry", "previous", "next"
PROCESS, PROGRESS = "process", "progress"
LIMITED, PUT_OFF, TURN = "limited", "put_off", "turn"


def retry_of(terms: Mapping[str, Any] | None) -> Retry | None:
    """Return how a run with *terms* is tried again; None when it is not."""
    stored = (terms or {}).get(RETRY)
    return retries.from_json(stored) if stored else None


def turn_of(terms: Mapping[str, Any] | None) -> datetime | None:
    stored = (terms or {}).get(TURN)
    return datetime.fromisoformat(stored) if stored else None


def kept(terms: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what holds also for a run that is started again, without what became of this one."""
    return without(terms, PREVIOUS, NEXT, PROCESS, PROGRESS, LIMITED, PUT_OFF, TURN)


def without(terms: Mapping[str, Any] | None, *names: str) -> dict[str, Any] | None:
    return {name: value for name, value in (terms or {}).items() if name not in names} or None


def with_retry(terms: Mapping[str, Any] | None, retry: Retry | None) -> dict[str, Any]:
    return {**(terms or {}), RETRY: retry.to_json() if retry else None}
