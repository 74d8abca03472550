"""All schedules paused, for a while or until somebody resumes them: what comes due is skipped, and recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from beat_config.blackouts import Window
from beat_config.models import Pause
from jobs import audit

# As blackouts, pauses count by a fire's own time: one that came due in a pause long ago may be noticed only now.
FORGET_AFTER = timedelta(days=366)
FOR_EVER = datetime.max.replace(tzinfo=UTC)
ALL_SCHEDULES = "All schedules"
LENGTHS = {"15m": timedelta(minutes=15), "1h": timedelta(hours=1)}
TOMORROW, RESUMED, UNTIL = "tomorrow", "resumed", "until"
LABELS = {"15m": "15 minutes", "1h": "1 hour", TOMORROW: "Until tomorrow", RESUMED: "Until resumed"}


@dataclass(frozen=True, slots=True)
class PauseWindow:
    """A pause as the planner takes blackouts."""

    start: datetime
    end: datetime
    by: str

    def next_window(self, moment: datetime) -> Window | None:
        return Window(self.start, self.end, f"schedules were paused by {self.by}") if moment < self.end else None


def windows() -> Sequence[PauseWindow]:
    """Return every pause that a fire may still fall into."""
    return [
        PauseWindow(start, end or FOR_EVER, by) for start, end, by in Pause.objects.values_list("start", "end", "by")
    ]


def current(now: datetime) -> Pause | None:
    """Return the pause that goes on at *now*; None when schedules run."""
    return _going_on(now).order_by("-pk").first()


def context(now: datetime) -> dict[str, Any]:
    """Return what a template needs to show the pause that goes on, and to offer one."""
    return {"pause": current(now), "pause_lengths": LABELS}


def end_of(length: str, now: datetime, zone: ZoneInfo, at: str = "") -> datetime | None:
    """Return when a pause of that *length* (15m, 1h, tomorrow, resumed, until) ends; None is never by itself.

    Tomorrow begins at midnight in *zone*; until is the moment *at*, as a clock there shows it: 2026-12-24T18:00. Raises
    ValueError for another length, and for a moment that is none or has passed.
    """
    if length == UNTIL:
        return _moment(at, now, zone)
    if length == RESUMED:
        return None
    if length == TOMORROW:
        day = now.astimezone(zone).date() + timedelta(days=1)
        return datetime(day.year, day.month, day.day, tzinfo=zone)
    if length not in LENGTHS:
        raise ValueError(f"cannot pause for {length!r}: known are {', '.join(LABELS)}")
    return now + LENGTHS[length]


def _moment(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"cannot pause until {text!r}: give a date and a time") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    if moment <= now:
        raise ValueError(f"cannot pause until {moment:%Y-%m-%d %H:%M}: that is over")
    return moment


def pause(until: datetime | None, *, by: str, now: datetime) -> None:
    """Start no schedule's job from *now* to *until*; a pause that goes on is replaced."""
    with transaction.atomic():
        _going_on(now).update(end=now)
        Pause.objects.create(start=now, end=until, by=by)
        Pause.objects.filter(end__lt=now - FORGET_AFTER).delete()
        shown = f"{timezone.localtime(until):%Y-%m-%d %H:%M:%S %Z}" if until else "somebody resumes them"
        audit.record(by, audit.Action.PAUSED, ALL_SCHEDULES, None, {"Until": shown})


def resume(now: datetime, *, by: str) -> bool:
    """End the pause that goes on; False when there is none."""
    with transaction.atomic():
        if not _going_on(now).update(end=now):
            return False
        audit.record(by, audit.Action.RESUMED, ALL_SCHEDULES)
        return True


def _going_on(now: datetime) -> QuerySet[Pause]:
    return Pause.objects.filter(Q(end=None) | Q(end__gt=now), start__lte=now)
