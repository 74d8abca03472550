"""A trigger that starts and ends."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from beat_config.triggers import Count, Trigger

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Bounded:
    """Fires when *trigger* does, but not before *start* and not after *end*; None leaves that side open."""

    trigger: Trigger
    start: datetime | None = None
    end: datetime | None = None

    def after(self, moment: datetime) -> datetime | None:
        fire = self.trigger.after(self._from(moment))
        return fire if fire is not None and (self.end is None or fire <= self.end) else None

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        return self.trigger.between(self._from(after), until if self.end is None else min(until, self.end))

    def count(self, after: datetime, until: datetime, *, limit: int) -> Count:
        last = until if self.end is None else min(until, self.end)
        return self.trigger.count(self._from(after), last, limit=limit)

    def _from(self, moment: datetime) -> datetime:
        return moment if self.start is None else max(moment, self.start - _INSTANT)
