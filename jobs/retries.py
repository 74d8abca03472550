"""When a run that went wrong is tried again: how often, after what, and how long after. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from jobs.states import State

# What may be tried again. What somebody cancelled is not: that is what he wanted.
RETRIED = (State.FAILED, State.TIMED_OUT, State.INTERRUPTED)
LEAST_VARIED = 0.5


class Retry(NamedTuple):
    """Tries a run again when it ends in one of the states *on*: *delay* later, each time twice as long if it *doubles*.

    *varies*: the wait is between half of that and all of it, so that what failed together is not tried together.
    """

    on: frozenset[State]
    delay: timedelta = timedelta(0)
    doubles: bool = False
    longest: timedelta = timedelta(hours=1)
    varies: bool = False

    def wait(self, attempt: int, chance: float) -> timedelta:
        """Return how long after the end of *attempt* (the first is 1) the next one starts; *chance* is 0 to 1."""
        delay = self.delay
        if self.doubles and delay:
            # Beyond 2^40 every delay is longer than the longest one.
            delay = min(delay * 2 ** min(attempt - 1, 40), max(self.longest, self.delay))
        return delay * (LEAST_VARIED + (1 - LEAST_VARIED) * chance) if self.varies else delay

    def to_json(self) -> dict[str, Any]:
        return {
            "on": sorted(self.on),
            "delay": self.delay.total_seconds(),
            "doubles": self.doubles,
            "longest": self.longest.total_seconds(),
            "varies": self.varies,
        }


def from_json(stored: Mapping[str, Any]) -> Retry:
    """Return what `to_json` wrote."""
    return Retry(
        on=frozenset(State(state) for state in stored["on"]),
        delay=timedelta(seconds=stored["delay"]),
        doubles=stored["doubles"],
        longest=timedelta(seconds=stored["longest"]),
        varies=stored["varies"],
    )
