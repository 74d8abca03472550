"""The plain model: when a schedule fires and what has to become of it, written without the product's planner.

Cron times come from the brute-force oracle of the trigger tests, which walks minute by minute; those of the sun from
the product's own trigger, which has its oracle elsewhere.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import groupby, takewhile
from zoneinfo import ZoneInfo

from beat_config.solar import Solar
from tests.unit.cron_oracle import Oracle

TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)
# No schedule of the simulation waits longer for its next fire.
LONGEST_WAIT = 60 * DAY
# Where an interval's weeks begin and end: the installation's own time zone.
HOME = "Europe/Berlin"
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
    # Event, latitude and longitude.
    sun: tuple[str, float, float] | None = None
    weeks: int = 1
    weeks_from: date | None = None
    spread: timedelta = timedelta(0)
    # Its share of the spread.
    offset: timedelta = timedelta(0)

    @property
    def broken(self) -> bool:
        return self.line == BROKEN_LINE

    @property
    def counted(self) -> bool:
        """Tell whether the product counts its fires one by one, and says "at least" from some number on."""
        return self.period is None or self.weeks > 1

    def disabled(self) -> "Definition":
        return replace(self, enabled=False)

    def instants(self, anchor: datetime, first: datetime, until: datetime) -> list[datetime]:
        """Return every due instant from *first* to *until*, both included."""
        return list(self._instants(anchor, first, until))

    def _instants(self, anchor: datetime, first: datetime, until: datetime) -> Iterator[datetime]:
        first = first if self.start is None else max(first, self.start)
        until = until if self.end is None else min(until, self.end)
        for start, end in self._weeks(anchor, first - self.offset, until - self.offset):
            for moment in self._plain(anchor, start, end):
                yield moment + self.offset

    def _weeks(self, anchor: datetime, first: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the parts of the time from *first* to *until* in which it may fire at all."""
        if self.weeks == 1:
            yield first, until
            return
        zone = ZoneInfo(self.zone or HOME)
        counted_from = self.weeks_from or anchor.astimezone(zone).date()
        monday = counted_from - counted_from.weekday() * DAY
        number = (first.astimezone(zone).date() - monday) // WEEK
        while (start := _midnight(monday + number * WEEK, zone)) <= until:
            if number % self.weeks == 0:
                yield max(first, start), min(until, _midnight(monday + (number + 1) * WEEK, zone) - TICK)
            number += 1

    def _plain(self, anchor: datetime, first: datetime, until: datetime) -> Iterator[datetime]:
        if self.period is not None:
            number = max(0, -((anchor - first) // self.period))
            while (moment := anchor + number * self.period) <= until:
                yield moment
                number += 1
        elif self.once is not None:
            yield from [self.once] if first <= self.once <= until else []
        else:
            for day in _days(first, until):
                fires = _solar_day(self.sun, day) if self.sun else _cron_day(self.line, self.zone, day)
                yield from (fire for fire in fires if first <= fire <= until)

    def fires_first(self, anchor: datetime, since: datetime) -> datetime | None:
        """Return the first due instant of a schedule that says this since *since*; None when it fires nothing."""
        return self.first_after(anchor, since) if self.enabled and not self.broken else None

    def first_after(self, anchor: datetime, moment: datetime) -> datetime | None:
        """Return the first due instant later than *moment*."""
        return next(self._instants(anchor, moment + TICK, moment + LONGEST_WAIT), None)


def share(schedule: int, spread: timedelta) -> timedelta:
    """Return by how much a schedule fires later when its fires are spread."""
    places = int(spread.total_seconds()) + 1
    return timedelta(seconds=int.from_bytes(hashlib.sha256(f"schedule {schedule}".encode()).digest()) % places)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(0), zone).astimezone(UTC)


def _days(first: datetime, until: datetime):
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= until:
        yield day
        day += DAY


@lru_cache(maxsize=100_000)
def _cron_day(line: str, zone: str, day: datetime) -> tuple[datetime, ...]:
    return tuple(Oracle(line, "and").fires(ZoneInfo(zone), day - TICK, day + DAY - TICK))


@lru_cache(maxsize=100_000)
def _solar_day(sun: tuple[str, float, float], day: datetime) -> tuple[datetime, ...]:
    return tuple(Solar(*sun).between(day - TICK, day + DAY - TICK))


@dataclass(frozen=True)
class Blackout:
    """From a time of day to a later one, UTC, on some days as Python counts them, or from a moment to another."""

    start: time | datetime
    end: time | datetime
    weekdays: frozenset[int] = frozenset(range(7))

    def holds(self, moment: datetime) -> bool:
        if isinstance(self.start, datetime):
            return self.start <= moment < self.end
        return moment.weekday() in self.weekdays and self.start <= moment.time() < self.end


@dataclass(frozen=True)
class Policy:
    catch_up: str
    window: timedelta
    cap: int
    grace: timedelta
    overlap: str
    # How often a run may be started when a crash interrupts it.
    attempts: int
    blackout: Blackout | None


@dataclass
class Decision:
    """One row that has to be there, and its state when it is recorded; `begins`: it is to run, now or later."""

    fire_time: datetime
    state: str
    covers: int = 1
    until: datetime | None = None
    begins: bool = False
    # It was to run, and shares its record with no other.
    own: bool = False


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
    runs = [fire for fire in due if policy.blackout is None or not policy.blackout.holds(fire)]
    within = list(takewhile(lambda fire: _is_accepted(now - fire, policy), reversed(runs)))[::-1]
    started = set(within[-(1 if policy.catch_up == "latest" else policy.cap) :])

    def verdict(fire: datetime) -> str:
        if fire in started:
            return f"pending {fire}"
        return "missed" if policy.blackout is None or not policy.blackout.holds(fire) else "skipped"

    decisions = []
    for state, group in groupby(due, verdict):
        fires = list(group)
        if fires[0] in started:
            decisions.append(_begin(fires[0], policy, lane))
            continue
        covers = min(len(fires), COUNTED) if counted else len(fires)
        decisions.append(Decision(fires[0], state, covers, fires[-1] if len(fires) > 1 else None))
    return decisions


def _begin(fire: datetime, policy: Policy, lane: Lane) -> Decision:
    decision = Decision(fire, "pending", begins=True, own=True)
    if policy.overlap == "allow":
        return decision
    if lane.busy:
        if policy.overlap == "skip" or (policy.overlap == "queue" and lane.waiting >= policy.cap):
            return Decision(fire, "skipped", own=True)
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
