"""Databases full of schedules, made quickly: COPY on PostgreSQL, executemany on SQLite."""

import json
import random
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.models import Model
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from beat_config.models import SchedulePolicy
from beat_config.schedules import cursor_of
from jobs.models import Run

DAY = timedelta(days=1)
# Nothing in the background comes due while something is measured.
QUIET = timedelta(hours=2)
CHUNK = 10_000
ZONE = "Europe/Berlin"


def fill(schedules: int, *, due: int, at: datetime, now: datetime) -> None:
    """Replace all schedules and runs: *due* schedules fire at *at*, the rest of *schedules* later than QUIET.

    Half are intervals of a day, half cron lines, as `django-celery-beat` and our own tables know them; a due one has
    last run just a day before *at*, so that every scheduler finds it due then.
    """
    _empty(Run, SchedulePolicy, PeriodicTask, IntervalSchedule, CrontabSchedule)
    triggers = _triggers(now)
    randomly = random.Random(1)

    def moments() -> Iterator[tuple[int, datetime]]:
        for number in range(1, schedules + 1):
            quiet = now + QUIET + timedelta(seconds=randomly.random() * 80_000)
            yield number, at if number <= due else quiet

    def tasks() -> Iterator[dict[str, Any]]:
        for number, moment in moments():
            trigger = triggers[0 if number <= due else number % len(triggers)]
            last = moment - DAY if number <= due else now
            ids = {f"{name}_id": row.pk if row else None for name, row in trigger.items()}
            yield {"id": number, "name": f"schedule {number}", "last_run_at": last, **ids}

    def policies() -> Iterator[dict[str, Any]]:
        for number, moment in moments():
            fingerprint = fingerprints[0 if number <= due else number % len(triggers)]
            yield {
                "schedule_id": number,
                "next_fire_at": moment,
                "look_at": moment,
                "anchor": moment - DAY,
                "fingerprint": fingerprint,
            }

    insert(PeriodicTask(task="run_command", kwargs='{"command": "true"}', date_changed=now), tasks())
    # The database has made policies of its own, to be looked at; one of them says what a policy is by default.
    template = SchedulePolicy.objects.get(pk=1)
    fingerprints = [_fingerprint(PeriodicTask(name="x", **trigger), now) for trigger in triggers]
    _empty(SchedulePolicy)
    insert(template, policies())
    with connection.cursor() as cursor:
        # A rival adds a schedule of its own, under the next number.
        for statement in connection.ops.sequence_reset_sql(no_style(), [PeriodicTask]):
            cursor.execute(statement)
        cursor.execute("ANALYZE")
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def make_due(count: int, at: datetime) -> None:
    """Forget all runs and let the first *count* schedules, daily ones, fire at *at*."""
    empty_runs()
    first = PeriodicTask.objects.filter(pk__lte=count)
    first.update(last_run_at=at - DAY, enabled=True)
    SchedulePolicy.objects.filter(pk__lte=count).update(next_fire_at=at, look_at=at, anchor=at - DAY)


def empty_runs() -> None:
    _empty(Run)


def spread(count: int, *, period: timedelta, start: datetime, now: datetime) -> None:
    """Turn the first *count* schedules into intervals of *period* that fire evenly spread, the first at *start*."""
    _set_interval(count, period, now)
    with transaction.atomic():
        for number in range(1, count + 1):
            first = start + (number - 1) * period / count
            PeriodicTask.objects.filter(pk=number).update(
                last_run_at=first - period, kwargs=json.dumps({"number": number})
            )
            SchedulePolicy.objects.filter(pk=number).update(anchor=first - period, next_fire_at=first, look_at=first)


def calm(count: int, now: datetime) -> None:
    """Turn the first *count* schedules into daily ones that are not due for long."""
    _set_interval(count, DAY, now)
    make_due(count, now + QUIET)


def _set_interval(count: int, period: timedelta, now: datetime) -> None:
    interval, _ = IntervalSchedule.objects.get_or_create(every=int(period.total_seconds()), period="seconds")
    fingerprint = _fingerprint(PeriodicTask(name="x", interval=interval), now)
    PeriodicTask.objects.filter(pk__lte=count).update(interval=interval, crontab=None)
    SchedulePolicy.objects.filter(pk__lte=count).update(fingerprint=fingerprint)


def _empty(*models: type[Model]) -> None:
    for model in models:
        table = connection.ops.quote_name(model._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {table} CASCADE" if connection.vendor == "postgresql" else f"DELETE FROM {table}")


def _triggers(now: datetime) -> list[dict[str, Any]]:
    """Return the rows of each distinct trigger; every second one is the daily interval, and the first."""
    interval = IntervalSchedule.objects.create(every=1, period="days")
    # Celery's schedulers go by the cron line, not by a stored time: none is due while something is measured.
    hours = [(now.astimezone(ZoneInfo(ZONE)).hour + ahead) % 24 for ahead in range(4, 23)]
    crontabs = [
        CrontabSchedule.objects.create(minute=str(minute), hour=str(hour), timezone=ZONE)
        for hour in hours
        for minute in (0, 30)
    ]
    daily = {"interval": interval, "crontab": None}
    return [each for crontab in crontabs for each in (daily, {"interval": None, "crontab": crontab})]


def _fingerprint(task: PeriodicTask, now: datetime) -> str:
    policy = SchedulePolicy.objects.get(pk=1)
    policy.schedule = task
    return cursor_of(policy, now).fingerprint


def insert(template: Model, rows: Iterable[dict[str, Any]]) -> None:
    """Insert a copy of *template* for each of *rows*, which name what differs."""
    fields = template._meta.concrete_fields
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    table = connection.ops.quote_name(template._meta.db_table)
    fixed = [field.get_db_prep_save(field.pre_save(template, add=True), connection) for field in fields]
    prepare = {field.attname: (place, field) for place, field in enumerate(fields)}

    def values() -> Iterator[list[Any]]:
        for row in rows:
            each = fixed.copy()
            for name, value in row.items():
                place, field = prepare[name]
                each[place] = field.get_db_prep_save(value, connection)
            yield each

    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for each in values():
                    copy.write_row(each)
            return
        marks = ", ".join(["%s"] * len(fields))
        prepared = values()
        while chunk := list(islice(prepared, CHUNK)):
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", chunk)
