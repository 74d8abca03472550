"""The plain model: when a schedule fires and what has to become of it, written without the product's planner.

Cron times come from the brute-force oracle of the trigger tests, which walks minute by minute.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from tests.unit.cron_oracle import Oracle

TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
# No line of the simulation waits longer for its next fire.
LONGEST_WAIT = 12
# A line that the simulation stores to break a schedule: cron has no 31 February.
BROKEN_LINE = "0 0 31 2 *"
# The product counts cron fires one by one and says "at least" from here on; intervals it counts exactly.
COUNTED = 1_000


@dataclass(frozen=True)
class Definition:
    """What the rows of a schedule say about when it fires."""

    enabled: bool
    one_off: bool
    start: datetime | None
    end: datetime | None
    period: timedelta | None = None
    line: str | None = None
    zone: str | None = None
    once: datetime | None = None

    @property
    def broken(self) -> bool:
        return self.line == BROKEN_LINE

    def disabled(self) -> "Definition":
        return replace(self, enabled=False)

    def instants(self, anchor: datetime, first: datetime, until: datetime) -> list[datetime]:
        """Return every due instant from *first* to *until*, both included."""
        if self.start is not None:
            first = max(first, self.start)
        if self.end is not None:
            until = min(until, self.end)
        if self.period is not None:
            number = max(0, -((anchor - first) // self.period))
            moments = []
            while (moment := anchor + number * self.period) <= until:
                moments.append(moment)
                number += 1
            return moments
        if self.once is not None:
            return [self.once] if first <= self.once <= until else []
        days = [_cron_day(self.line, self.zone, day) for day in _days(first, until)]
        return [fire for day in days for fire in day if first <= fire <= until]

    def fires_first(self, anchor: datetime, since: datetime) -> datetime | None:
        """Return the first due instant of a schedule that says this since *since*; None when it fires nothing."""
        return self.first_after(anchor, since) if self.enabled and not self.broken else None

    def first_after(self, anchor: datetime, moment: datetime) -> datetime | None:
        """Return the first due instant later than *moment*."""
        if self.start is not None:
            moment = max(moment, self.start - TICK)
        length = self.period or LONGEST_WAIT * DAY
        if self.once is not None:
            length = max(timedelta(0), self.once - moment)
        elif self.period is not None and anchor > moment:
            length = anchor - moment
        found = self.instants(anchor, moment + TICK, moment + length)
        return found[0] if found else None


def _days(first: datetime, until: datetime):
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= until:
        yield day
        day += DAY


@lru_cache(maxsize=100_000)
def _cron_day(line: str, zone: str, day: datetime) -> tuple[datetime, ...]:
    return tuple(Oracle(line, "and").fires(ZoneInfo(zone), day - TICK, day + DAY - TICK))


@dataclass(frozen=True)
class Policy:
    catch_up: str
    window: timedelta
    cap: int
    grace: timedelta
    overlap: str
    # How often a run may be started when a crash interrupts it.
    attempts: int


@dataclass
class Decision:
    """One row that has to be there, and its state when it is recorded; `begins`: it is to run, now or later."""

    fire_time: datetime
    state: str
    covers: int = 1
    until: datetime | None = None
    begins: bool = False


@dataclass
class Lane:
    """Runs that must not run at the same time: whether one goes on, and how many wait behind it."""

    busy: bool = False
    waiting: int = 0
    # What begins in this transaction; somebody who replaces cancels it.
    begun: list[Decision] = field(default_factory=list)
    # A fire was decided on a second time, which records nothing: what comes after it is decided as if it went on.
    uncertain: bool = False
    # Other schedules may use it, too.
    shared: bool = False


def decide(due: list[datetime], now: datetime, policy: Policy, lane: Lane, *, counted: bool) -> list[Decision]:
    """Return what has to be recorded for the instants *due*, and have *lane* go on with it."""
    within = list(takewhile(lambda fire: _is_accepted(now - fire, policy), reversed(due)))[::-1]
    most = 1 if policy.catch_up == "latest" else policy.cap
    started = within[-most:]
    missed = due[: len(due) - len(started)]
    decisions = []
    if missed:
        covers = min(len(missed), COUNTED) if counted else len(missed)
        decisions.append(Decision(missed[0], "missed", covers, missed[-1] if len(missed) > 1 else None))
    return decisions + [_begin(fire, policy, lane) for fire in started]


def _begin(fire: datetime, policy: Policy, lane: Lane) -> Decision:
    decision = Decision(fire, "pending", begins=True)
    if policy.overlap == "allow":
        return decision
    if lane.busy:
        if policy.overlap == "skip" or (policy.overlap == "queue" and lane.waiting >= policy.cap):
            return Decision(fire, "skipped")
        lane.waiting += 1
        if policy.overlap == "replace":
            for earlier in lane.begun:
                earlier.state = "cancelled"
    lane.busy = True
    lane.begun.append(decision)
    return decision


def _is_accepted(late: timedelta, policy: Policy) -> bool:
    return late <= policy.grace or (policy.catch_up != "none" and late <= policy.window)


def utc(value: datetime | None) -> datetime | None:
    """Return what SQLite gives back, which is UTC without saying so."""
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value
