"""Triggers: when a schedule fires. Times in, times out; no clock, no Django, no Celery.

Every moment that goes in or comes out is aware; what comes out is UTC. `after` restarted from each of its own results
gives the same series as one iteration, so a schedule needs no other memory than its cursor.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable
from zoneinfo import ZoneInfo, available_timezones

from beat_config import cron
from beat_config.cron import DayRule, TriggerError, shown
from beat_config.wall_clock import ONE_SECOND, change_between, moment_of, reached, reading_of

__all__ = [
    "Clocked",
    "Count",
    "Crontab",
    "DayRule",
    "Interval",
    "Trigger",
    "TriggerError",
    "as_utc",
    "count_by_visiting",
    "parse_period",
    "parse_zone",
    "visit",
]

SHORTEST_PERIOD = ONE_SECOND
LONGEST_PERIOD = timedelta(days=36_525)


class Count(NamedTuple):
    """How many fires a span holds; `complete` is False when there are more than were counted."""

    fires: int
    complete: bool


@runtime_checkable
class Trigger(Protocol):
    def after(self, moment: datetime) -> datetime | None:
        """Return the first fire time strictly after *moment*; None when there is none any more."""
        ...

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the fire times in (after, until], oldest first."""
        ...

    def count(self, after: datetime, until: datetime, *, limit: int) -> Count:
        """Count the fire times in (after, until]; may stop at *limit* where only visiting each can tell."""
        ...


def as_utc(moment: datetime) -> datetime:
    """Return *moment* in UTC; TriggerError when it has no time zone, because then nobody knows which moment it is."""
    if moment.tzinfo is UTC:
        return moment
    if moment.utcoffset() is None:
        raise TriggerError(
            f"cannot use the time {moment.isoformat(sep=' ')}: it has no time zone; give an aware time, best in UTC",
            field="moment",
            value=moment.isoformat(sep=" "),
        )
    return moment.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Interval:
    """Fires at anchor, anchor + period, anchor + 2 × period, …: elapsed time, whatever the clocks on the wall do."""

    period: timedelta
    anchor: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchor", as_utc(self.anchor))
        if self.period < SHORTEST_PERIOD:
            raise TriggerError(
                f"cannot use a period of {self.period.total_seconds():g} s: the shortest is 1 second",
                field="period",
                value=str(self.period),
            )

    def after(self, moment: datetime) -> datetime | None:
        # Floor division of timedeltas is exact, in whole microseconds: nothing to drift.
        passed = max(-1, (as_utc(moment) - self.anchor) // self.period)
        try:
            return self.anchor + (passed + 1) * self.period
        except OverflowError:  # beyond the year 9999
            return None

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        return visit(self, after, until)

    def count(self, after: datetime, until: datetime, *, limit: int) -> Count:
        """Count by arithmetic: exact, so *limit* is not needed."""
        del limit
        passed = max(-1, (as_utc(after) - self.anchor) // self.period)
        reached = max(-1, (as_utc(until) - self.anchor) // self.period)
        return Count(max(0, reached - passed), complete=True)


@dataclass(frozen=True, slots=True)
class Crontab:
    """Fires when the wall clock of *zone* matches a cron line.

    Clock changes (DESIGN.md, "Words"; Debian's cron(8)). A line that names times of day fires once for each: one that
    a gap swallows, at the first moment after the gap (together with others that fall there); one that a fold repeats,
    the first time. A line whose minutes or hours (or seconds) begin with `*` follows elapsed time: whenever the wall
    clock reads so, twice in a fold, not in a gap.

    *day_rule* says what holds when both day of month and weekday are restricted: "or", cron's rule (where a field that
    begins with `*` counts as not restricted: `*/2` with a weekday needs both), or "and", Celery's (celery #4307).
    """

    expression: str
    zone: ZoneInfo
    day_rule: DayRule = "or"

    def __post_init__(self) -> None:
        if self.day_rule not in {"or", "and"}:
            raise TriggerError(
                f"cannot use the day rule {shown(str(self.day_rule))}: allowed are 'or' and 'and'",
                field="day_rule",
                value=str(self.day_rule),
            )
        object.__setattr__(self, "expression", cron.normalise(self.expression))
        cron.compile_line(self.expression, self.day_rule)

    def after(self, moment: datetime) -> datetime | None:
        line = cron.compile_line(self.expression, self.day_rule)
        search = _first_time_of_day if line.names_times_of_day else _first_reading
        try:
            return search(line, self.zone, as_utc(moment))
        except OverflowError:  # beyond the year 9999
            return None

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        return visit(self, after, until)

    def count(self, after: datetime, until: datetime, *, limit: int) -> Count:
        return count_by_visiting(self, after, until, limit)


@dataclass(frozen=True, slots=True)
class Clocked:
    """Fires once."""

    at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", as_utc(self.at))

    def after(self, moment: datetime) -> datetime | None:
        return self.at if self.at > as_utc(moment) else None

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        return visit(self, after, until)

    def count(self, after: datetime, until: datetime, *, limit: int) -> Count:
        return count_by_visiting(self, after, until, limit)


def visit(trigger: Trigger, after: datetime, until: datetime) -> Iterator[datetime]:
    """Answer `between` for a trigger that only knows the next fire."""
    until = as_utc(until)
    fire = trigger.after(after)
    while fire is not None and fire <= until:
        yield fire
        fire = trigger.after(fire)


def count_by_visiting(trigger: Trigger, after: datetime, until: datetime, limit: int) -> Count:
    """Answer `count` for a trigger that knows no arithmetic."""
    visited = sum(1 for _ in islice(trigger.between(after, until), limit + 1))
    return Count(min(visited, limit), complete=visited <= limit)


def _first_time_of_day(line: cron.Line, zone: ZoneInfo, moment: datetime) -> datetime | None:
    local = moment.astimezone(zone)
    wall = reading_of(local)
    if local.fold:
        # All readings of the second pass have had their fire in the first: go on where that ended.
        wall = reading_of((change_between(zone, moment_of(wall, zone), moment) - ONE_SECOND).astimezone(zone))
    found = line.first_after(wall)
    return None if found is None else reached(found, zone)


def _first_reading(line: cron.Line, zone: ZoneInfo, moment: datetime) -> datetime | None:
    local = moment.astimezone(zone)
    wall = reading_of(local)
    found = line.first_after(wall)
    again = moment_of(wall, zone, fold=1)
    if not local.fold and again > moment:  # the first pass of a fold
        change = change_between(zone, moment, again)
        end_of_first_pass = reading_of((change - ONE_SECOND).astimezone(zone))
        if found is None or found > end_of_first_pass:
            found = line.first_after(reading_of(change.astimezone(zone)) - ONE_SECOND)
    while found is not None:
        first, second = moment_of(found, zone), moment_of(found, zone, fold=1)
        if reading_of(first.astimezone(zone)) == found:
            return first if first > moment else second
        end_of_gap = change_between(zone, second, first).astimezone(zone)
        found = line.first_after(reading_of(end_of_gap) - ONE_SECOND)
    return None


UNITS = {
    "week": (timedelta(weeks=1), ("w", "week", "weeks")),
    "day": (timedelta(days=1), ("d", "day", "days")),
    "hour": (timedelta(hours=1), ("h", "hr", "hrs", "hour", "hours")),
    "minute": (timedelta(minutes=1), ("m", "min", "mins", "minute", "minutes")),
    "second": (ONE_SECOND, ("s", "sec", "secs", "second", "seconds")),
}
_UNIT_OF_WORD = {word: unit for unit, (_, words) in UNITS.items() for word in words}
_PERIOD_PART = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?) *(?P<word>[a-z]+) *(?:,|and\b)? *", re.ASCII)
LONGEST_TEXT = 100
MICROSECOND = timedelta(microseconds=1)


def parse_period(text: str) -> timedelta:
    """Return the period that *text* names: "10 seconds", "every 5 minutes", "1h 30m", "90" (seconds)."""
    try:
        return _microseconds(text) * MICROSECOND
    except _PeriodError as error:
        raise TriggerError(
            f"cannot use {shown(text)} as a period: {error}; examples are 10 seconds, 5m, 1h 30m, 2 days, 1 week",
            field="period",
            value=text,
        ) from None


class _PeriodError(ValueError):
    """Why a text is no period; `parse_period` makes the sentence of it."""


def _microseconds(text: str) -> int:
    total = sum(_parts(text), start=Fraction(0))
    if total.denominator != 1:
        raise _PeriodError("it is finer than a microsecond")
    if total > LONGEST_PERIOD // MICROSECOND:
        raise _PeriodError("it is longer than 100 years")
    if total < SHORTEST_PERIOD // MICROSECOND:
        raise _PeriodError("the shortest period is 1 second")
    return int(total)


def _parts(text: str) -> Iterator[Fraction]:
    """Yield the microseconds of each part, `1h` and `30m`."""
    if len(text) > LONGEST_TEXT:
        raise _PeriodError(f"it has more than {LONGEST_TEXT} characters")
    words = text.lower().split()
    every = words[:1] == ["every"]
    rest = " ".join(words[1:] if every else words)
    if not rest:
        raise _PeriodError("it is empty")
    if rest.endswith((",", " and")):
        raise _PeriodError("it ends in the middle")
    if every and rest in _UNIT_OF_WORD:  # every hour
        rest = f"1 {rest}"
    if re.fullmatch(r"[0-9]+", rest, re.ASCII):
        rest += " s"
    seen: set[str] = set()
    while rest:
        part = _PERIOD_PART.match(rest)
        if part is None:
            raise _PeriodError(f"{shown(rest)} is no number with a unit")
        unit = _UNIT_OF_WORD.get(part["word"])
        if unit is None:
            raise _PeriodError(f"{shown(part['word'])} is no unit (weeks, days, hours, minutes, seconds)")
        if unit in seen:
            raise _PeriodError(f"it names {unit}s twice")
        seen.add(unit)
        yield Fraction(part["number"]) * (UNITS[unit][0] // MICROSECOND)
        rest = rest[part.end() :]


# The tz database's own mark for "nobody has set a zone", and whatever this machine happens to be set to.
NOT_A_ZONE_TO_CHOOSE = {"Factory", "localtime"}


@lru_cache(maxsize=1)
def _zone_names() -> dict[str, str]:
    return {name.lower(): name for name in sorted(available_timezones() - NOT_A_ZONE_TO_CHOOSE)}


def parse_zone(name: str) -> ZoneInfo:
    """Return the IANA time zone *name*, in any case; TriggerError suggests near names."""
    wanted = name.strip().lower().replace(" ", "_")
    names = _zone_names()
    if wanted in names:
        return ZoneInfo(names[wanted])
    near = [names[key] for key in names if key.rpartition("/")[2] == wanted]
    near += [names[key] for key in difflib.get_close_matches(wanted[:LONGEST_TEXT], names, n=3, cutoff=0.7)]
    if not near:
        cities = {key.rpartition("/")[2]: names[key] for key in names}
        near = [cities[key] for key in difflib.get_close_matches(wanted[:LONGEST_TEXT], cities, n=3, cutoff=0.7)]
    suggestions = list(dict.fromkeys(near))[:3]
    hint = f"did you mean {' or '.join(suggestions)}?" if suggestions else "examples are Europe/Berlin and UTC"
    raise TriggerError(
        f"cannot use {shown(name)} as a time zone: the tz database has no such name; {hint}",
        field="time_zone",
        value=name,
    )
