"""Rows as tests need them: every value has a default, and a test names the ones it is about."""

import itertools
import json
from datetime import UTC, datetime, timedelta

from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from beat_config import adoption
from beat_config.models import SchedulePolicy
from jobs import terms
from jobs.models import Run
from jobs.retries import Retry
from jobs.states import WAITING, State

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

_numbers = itertools.count(1)


def make_run(**columns):
    defaults = {"job": "run_command", "parameters": {"command": "true"}, "created_at": NOW}
    state = columns.get("state", State.PENDING)
    if state in WAITING:
        defaults["dispatch_at"] = NOW
    elif state == State.RUNNING:
        defaults |= {"started_at": NOW, "lease_until": NOW + timedelta(seconds=30)}
    else:
        defaults["finished_at"] = NOW
    if columns.get("max_attempts", 1) > 1:
        defaults["terms"] = terms.with_retry(None, Retry(frozenset({State.INTERRUPTED})))
    if columns.get("schedule_id"):
        defaults["exclusive_key"] = f"schedule:{columns['schedule_id']}"
    return Run.objects.create(**(defaults | columns))


def make_task(*, every=None, cron=None, once=None, kwargs=None, **columns):
    """Make a `PeriodicTask` as django-celery-beat's API does; without a timing it fires every minute."""
    if cron:
        names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        columns["crontab"] = CrontabSchedule.objects.create(
            timezone=columns.pop("zone", "UTC"), **dict(zip(names, cron.split(), strict=True))
        )
    elif once:
        columns |= {"clocked": ClockedSchedule.objects.create(clocked_time=once), "one_off": True}
    else:
        period = every or timedelta(minutes=1)
        columns["interval"] = IntervalSchedule.objects.create(every=int(period.total_seconds()), period="seconds")
    defaults = {"name": f"schedule {next(_numbers)}", "task": "run_command"}
    return PeriodicTask.objects.create(**(defaults | columns), kwargs=json.dumps(kwargs or {"command": "true"}))


def make_schedule(*, due=NOW, every=None, cron=None, once=None, policy=None, **columns):
    """Make a schedule whose next fire is at *due*, with these columns of its policy."""
    task = make_task(every=every, cron=cron, once=once, **columns)
    mine = SchedulePolicy.objects.filter(pk=task.pk)
    mine.update(**(policy or {}))
    adoption.adopt([task.pk], (due or NOW) - timedelta(seconds=1))
    mine.update(next_fire_at=due, look_at=due, anchor=due or NOW)
    return mine.select_related("schedule").get()
