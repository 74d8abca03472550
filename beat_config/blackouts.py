"""Blackouts: stretches of time in which no fire of a schedule runs. Times in, windows out; no clock, no Django.

A fire counts by its own fire time, not by when it is noticed. The planner records each as skipped, with the window's
reason.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from beat_config.cron import WEEKDAYS, TriggerError, shown
from beat_config.triggers import as_utc
from beat_config.wall_clock import reached

ONE_DAY = timedelta(days=1)
EVERY_WEEKDAY = frozenset(range(len(WEEKDAYS)))
# Of a weekday that a zone skips (Apia had no 30 December 2011) nothing is left but a moment: look a week further.
DAYS_TO_LOOK_BACK, DAYS_TO_LOOK_AHEAD = 2, 15


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of a blackout, from `start` up to but without `end`, both UTC; `reason` is the text for people."""

    start: datetime
    end: datetime
    reason: str


@runtime_checkable
class Blackout(Protocol):
    def next_window(self, moment: datetime) -> Window | None:
        """Return the first window that ends after *moment*, also one that has begun; None when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class WeeklyBlackout:
    """A window on some weekdays (0 is Sunday, as in cron), from *start* to *end* on the wall clock of *zone*.

    An end that is not later than the start lies on the next day; the weekday is that of the start. At a clock change
    the window reaches from the first moment that the clock shows its start to the last that it shows its end, so that
    no reading between the two is outside; what a gap swallows counts as the moment after the gap.
    """

    name: str
    start: time
    end: time
    zone: ZoneInfo
    weekdays: frozenset[int] = EVERY_WEEKDAY

    def __post_init__(self) -> None:
        _check_name(self.name)
        if not self.weekdays or not self.weekdays <= EVERY_WEEKDAY:
            raise TriggerError(
                f"cannot use the weekdays {sorted(self.weekdays)} of the blackout {shown(self.name)}: "
                "name at least one from 0 (Sunday) to 6 (Saturday)",
                field="weekdays",
                value=str(sorted(self.weekdays)),
            )
        for name in ("start", "end"):
            reading: time = getattr(self, name)
            if reading.tzinfo is not None or reading.microsecond:
                raise TriggerError(
                    f"cannot use {reading} as the {name} of the blackout {shown(self.name)}: "
                    "give a time of day in whole seconds, without a zone",
                    field=name,
                    value=str(reading),
                )

    def next_window(self, moment: datetime) -> Window | None:
        moment = as_utc(moment)
        today = moment.astimezone(self.zone).date()
        try:
            for days in range(-DAYS_TO_LOOK_BACK, DAYS_TO_LOOK_AHEAD):
                day = today + days * ONE_DAY
                if day.isoweekday() % len(WEEKDAYS) not in self.weekdays:
                    continue
                start, end = self._on(day)
                if start < end and moment < end:
                    return Window(start, end, f"blackout: {self.name}, {self.words}")
        except OverflowError:  # beyond the year 9999
            pass
        return None

    def _on(self, day: date) -> tuple[datetime, datetime]:
        last_day = day if self.end > self.start else day + ONE_DAY
        return (
            reached(datetime.combine(day, self.start), self.zone),
            reached(datetime.combine(last_day, self.end), self.zone, fold=1),
        )

    @property
    def words(self) -> str:
        """When it is: "01:00-03:00 on Saturday and Sunday (Europe/Berlin)"."""
        return f"{_clock(self.start)}-{_clock(self.end)} {_weekdays(self.weekdays)} ({self.zone.key})"


@dataclass(frozen=True, slots=True)
class AbsoluteBlackout:
    """One window, from *start* up to but without *end*; `zone` is the one in which people are told of it."""

    name: str
    start: datetime
    end: datetime
    zone: ZoneInfo

    def __post_init__(self) -> None:
        _check_name(self.name)
        object.__setattr__(self, "start", as_utc(self.start))
        object.__setattr__(self, "end", as_utc(self.end))
        if self.end <= self.start:
            raise TriggerError(
                f"cannot use the blackout {shown(self.name)}: it ends at {self.end:%Y-%m-%d %H:%M:%S} UTC, which is not"
                f" after its start at {self.start:%Y-%m-%d %H:%M:%S} UTC",
                field="end",
                value=str(self.end),
            )

    def next_window(self, moment: datetime) -> Window | None:
        if as_utc(moment) >= self.end:
            return None
        return Window(self.start, self.end, f"blackout: {self.name}, {self.words}")

    @property
    def words(self) -> str:
        """When it is: "2026-03-01 09:00 to 2026-03-02 18:00 (Europe/Berlin)"."""
        start, end = (each.astimezone(self.zone) for each in (self.start, self.end))
        last = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
        return f"{start:%Y-%m-%d %H:%M} to {last} ({self.zone.key})"


def next_window(blackouts: Iterable[Blackout], moment: datetime) -> Window | None:
    """Return the first window of any of them that ends after *moment*; of several at once the first named."""
    windows = [window for each in blackouts if (window := each.next_window(moment)) is not None]
    moment = as_utc(moment)
    return min(windows, key=lambda window: max(window.start, moment), default=None)


def window_at(blackouts: Iterable[Blackout], moment: datetime) -> Window | None:
    """Return the window that *moment* lies in, the first of several; None outside of all."""
    window = next_window(blackouts, moment)
    return window if window is not None and window.start <= as_utc(moment) else None


def _check_name(name: str) -> None:
    if not name.strip():
        raise TriggerError(
            "cannot use a blackout without a name: skipped fires are recorded under it", field="name", value=name
        )


def _clock(reading: time) -> str:
    return f"{reading:%H:%M:%S}" if reading.second else f"{reading:%H:%M}"


def _weekdays(weekdays: frozenset[int]) -> str:
    if weekdays == EVERY_WEEKDAY:
        return "every day"
    # A week begins on Monday here: "Saturday and Sunday".
    names = [WEEKDAYS[day].capitalize() for day in sorted(weekdays, key=lambda day: (day - 1) % len(WEEKDAYS))]
    return f"on {', '.join(names[:-1])}{' and ' if names[1:] else ''}{names[-1]}"
