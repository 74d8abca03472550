"""When a schedule fires, as the form asks for it and as django-celery-beat's tables keep it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from beat_config import cron
from beat_config.models import DayRule, SchedulePolicy
from beat_config.schedules import CRONTAB_COLUMNS, cron_line
from beat_config.solar import EVENTS, Solar
from beat_config.triggers import Clocked, Crontab, Interval, Trigger

UNITS = [(unit, unit) for unit in ("seconds", "minutes", "hours", "days", "weeks")]
SUN_EVENTS = [(name, event.words.capitalize()) for name, event in EVENTS.items()]
DAYS_A_WEEK = 7
# What only our own cron lines know; django-celery-beat's columns then hold the nearest they can say.
_OWN_NOTATION = ("L", "W", "#")


@dataclass(frozen=True, slots=True)
class Every:
    number: int
    unit: str

    def trigger(self, anchor: datetime) -> Trigger:
        return Interval(period=timedelta(**{self.unit: self.number}), anchor=anchor)


@dataclass(frozen=True, slots=True)
class Times:
    line: str
    zone: ZoneInfo
    day_rule: DayRule

    def trigger(self, _anchor: datetime) -> Trigger:
        return Crontab(expression=self.line, zone=self.zone, day_rule=self.day_rule.value)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Once:
    at: datetime

    def trigger(self, _anchor: datetime) -> Trigger:
        return Clocked(at=self.at)


@dataclass(frozen=True, slots=True)
class Sun:
    event: str
    latitude: Decimal
    longitude: Decimal

    def trigger(self, _anchor: datetime) -> Trigger:
        return Solar(self.event, float(self.latitude), float(self.longitude))


Timing = Every | Times | Once | Sun


def zones() -> dict[str, list[str]]:
    """Return what a template needs to offer time zones while one is typed."""
    return {"time_zones": sorted(available_timezones())}


def check(timing: Timing) -> None:
    """Raise TriggerError when *timing* can never fire or cannot be read."""
    timing.trigger(datetime(2000, 1, 1, tzinfo=UTC))


def of(task: PeriodicTask, policy: SchedulePolicy) -> Timing | None:
    """Return the timing that the rows say; None when they say none."""
    if task.interval is not None:
        every, unit = task.interval.every, task.interval.period
        if unit == "days" and every % DAYS_A_WEEK == 0:
            every, unit = every // DAYS_A_WEEK, "weeks"
        return Every(every, unit)
    if task.crontab is not None:
        return Times(cron_line(task, policy), task.crontab.timezone, DayRule(policy.day_rule))
    if task.clocked is not None:
        return Once(task.clocked.clocked_time)
    if task.solar is not None:
        return Sun(task.solar.event, task.solar.latitude, task.solar.longitude)
    return None


def initial(timing: Timing | None) -> dict[str, Any]:
    """Return the form's values for *timing*."""
    match timing:
        case Every(number, unit):
            return {"when": "every", "every": number, "unit": unit}
        case Times(line, zone, _):
            return {"when": "times", "cron": line, "time_zone": str(zone)}
        case Once(at):
            return {"when": "once", "once": at}
        case Sun(event, latitude, longitude):
            return {"when": "sun", "event": event, "latitude": latitude, "longitude": longitude}
        case None:
            return {}


def store(timing: Timing, task: PeriodicTask, policy: SchedulePolicy) -> None:
    """Point the unsaved *task* and *policy* at rows that say *timing*; the rows are shared with others that say it."""
    task.interval = task.crontab = task.clocked = task.solar = None
    task.one_off = isinstance(timing, Once)
    policy.expression = ""
    match timing:
        case Every(number, unit):
            if unit == "weeks":
                number, unit = number * DAYS_A_WEEK, "days"
            task.interval = _row(IntervalSchedule, every=number, period=unit)
        case Times(line, zone, day_rule):
            fields = cron.normalise(line).split()
            columns = dict(zip(CRONTAB_COLUMNS, fields[-len(CRONTAB_COLUMNS) :], strict=True))
            if len(fields) > len(CRONTAB_COLUMNS) or any(mark in "".join(fields) for mark in _OWN_NOTATION):
                policy.expression = " ".join(fields)
                columns = {
                    name: "*" if any(m in text for m in _OWN_NOTATION) else text for name, text in columns.items()
                }
            policy.day_rule = day_rule
            task.crontab = _row(CrontabSchedule, timezone=zone, **columns)
        case Once(at):
            task.clocked = _row(ClockedSchedule, clocked_time=at)
        case Sun(event, latitude, longitude):
            task.solar = _row(SolarSchedule, event=event, latitude=latitude, longitude=longitude)


def _row(model: Any, **values: Any) -> Any:
    # Not get_or_create: nothing keeps others from having made the same row twice.
    return model.objects.filter(**values).first() or model.objects.create(**values)
