"""Triggers made of another trigger: every n-th week only, later by a share of a spread; and all of them in order."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from beat_config.bounds import Bounded
from beat_config.triggers import Count, Trigger, TriggerError, as_utc, count_by_visiting, visit
from beat_config.wall_clock import ONE_SECOND, day_begins

INSTANT = timedelta(microseconds=1)
DAYS_A_WEEK = 7
MOST_WEEKS = 520
LONGEST_SPREAD = timedelta(days=7)
# A monthly trigger is followed for some 40 years this way, and beat is not held up for longer than some 20 ms.
MOST_QUESTIONS = 500


@dataclass(frozen=True, slots=True)
class EveryNthWeek:
    """Fires when *trigger* does, but only in the week of *anchor* and every *weeks*-th week before and after it.

    Weeks begin on Monday, at the start of the day in *zone*. No fire any more when a search over 500 fires of the
    trigger met none in such a week.
    """

    trigger: Trigger
    weeks: int
    anchor: date
    zone: ZoneInfo

    def __post_init__(self) -> None:
        if not 1 <= self.weeks <= MOST_WEEKS:
            raise TriggerError(
                f"cannot fire every {self.weeks} weeks: allowed are 1 to {MOST_WEEKS}",
                field="weeks",
                value=str(self.weeks),
            )

    @property
    def monday(self) -> date:
        """The first day of the week that is counted from."""
        return self.anchor - timedelta(days=self.anchor.weekday())

    def after(self, moment: datetime) -> datetime | None:
        moment = as_utc(moment)
        try:
            for _ in range(MOST_QUESTIONS):
                fire = self.trigger.after(moment)
                if fire is None:
                    return None
                week = (fire.astimezone(self.zone).date() - self.monday) // timedelta(weeks=1)
                if week % self.weeks == 0:
                    return fire
                following = self.monday + timedelta(weeks=week - week % self.weeks + self.weeks)
                moment = max(fire, day_begins(following, self.zone) - INSTANT)
        except OverflowError:  # beyond the year 9999
            pass
        return None

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        return visit(self, after, until)

    def count(self, after: datetime, until: datetime, *, limit: int) -> Count:
        return count_by_visiting(self, after, until, limit)


@dataclass(frozen=True, slots=True)
class Jittered:
    """Fires later than *trigger* by a share of *spread*: the same for one *seed* for ever, spread evenly over seeds.

    The offset is a whole number of seconds from 0 to *spread*. All fires move by it, so that their distances stay.
    """

    trigger: Trigger
    spread: timedelta
    seed: str
    offset: timedelta = field(init=False)

    def __post_init__(self) -> None:
        if not timedelta(0) <= self.spread <= LONGEST_SPREAD:
            raise TriggerError(
                f"cannot spread fires over {self.spread.total_seconds():g} s: allowed are 0 s to 7 days",
                field="spread",
                value=str(self.spread),
            )
        digest = hashlib.sha256(self.seed.encode()).digest()
        places = self.spread // ONE_SECOND + 1
        object.__setattr__(self, "offset", int.from_bytes(digest) % places * ONE_SECOND)

    def after(self, moment: datetime) -> datetime | None:
        fire = self.trigger.after(as_utc(moment) - self.offset)
        try:
            return None if fire is None else fire + self.offset
        except OverflowError:  # beyond the year 9999
            return None

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        fires = self.trigger.between(as_utc(after) - self.offset, as_utc(until) - self.offset)
        return (fire + self.offset for fire in fires)

    def count(self, after: datetime, until: datetime, *, limit: int) -> Count:
        return self.trigger.count(as_utc(after) - self.offset, as_utc(until) - self.offset, limit=limit)


@dataclass(frozen=True, slots=True)
class Weeks:
    """Every n-th week, counted from the week of a date in a zone."""

    every: int
    anchor: date
    zone: ZoneInfo


def compose(
    trigger: Trigger,
    *,
    weeks: Weeks | None = None,
    spread: timedelta = timedelta(0),
    seed: str = "",
    start: datetime | None = None,
    end: datetime | None = None,
) -> Trigger:
    """Return *trigger* with everything that a schedule may ask of it; the trigger itself where it asks nothing.

    The week is that of the time before the spread, so that Sunday 23:59 stays in its week; start and end hold for the
    time after it, so that nothing fires outside of them. *seed* names the schedule and should outlive its renaming.
    """
    composed = trigger
    if weeks is not None and weeks.every != 1:
        composed = EveryNthWeek(composed, weeks.every, weeks.anchor, weeks.zone)
    if spread:
        composed = Jittered(composed, spread, seed)
    if start is not None or end is not None:
        composed = Bounded(composed, start, end)
    return composed
