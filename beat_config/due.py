"""What is to be looked at, and all that a decision needs of it: in SQL, for Django takes ten times as long to ask."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import connection
from django.db.models import Model
from django_celery_beat.models import PeriodicTask

from beat_config.models import LOOK_NOW, Blackout, SchedulePolicy
from jobs.bulk import among, listed, moment
from jobs.rows import attach, reader

# Nothing that is decided here depends on these.
UNREAD = ("last_run_at", "total_run_count", "date_changed", "description")
TIMINGS = ("interval", "crontab", "clocked", "solar")


def to_look_at(now: datetime, most: int) -> list[int]:
    """Return a batch of schedules: those that fire, and in the room they leave those that have changed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schedule_id FROM beat_config_schedulepolicy WHERE look_at > %s AND look_at <= %s"
            " ORDER BY look_at, schedule_id LIMIT %s",
            [moment(LOOK_NOW), moment(now), most],
        )
        ids = [pk for (pk,) in cursor.fetchall()]
        if len(ids) < most:
            cursor.execute(
                "SELECT schedule_id FROM beat_config_schedulepolicy WHERE look_at = %s ORDER BY schedule_id LIMIT %s",
                [moment(LOOK_NOW), most - len(ids)],
            )
            ids += [pk for (pk,) in cursor.fetchall()]
    return ids


def lock(ids: Sequence[int], now: datetime) -> list[SchedulePolicy]:
    """Return the policies that nobody else is working on, with their tasks, as they are once they are locked.

    The tasks are locked too, as this transaction writes them: somebody who saves a task holds its row and waits for
    the policy's (see change_marks), and must not be waited for. What is shared is read after that, not beside it: it
    would be as it was when the statement began.
    """
    policies, tasks = reader(SchedulePolicy, "policy"), reader(PeriodicTask, "task", UNREAD)
    locking = " FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {policies.columns}, {tasks.columns} FROM beat_config_schedulepolicy policy"  # noqa: S608 - names of our own columns
            " JOIN django_celery_beat_periodictask task ON task.id = policy.schedule_id"
            f" WHERE {among('policy.schedule_id')} AND policy.look_at <= %s"
            f" ORDER BY policy.look_at, policy.schedule_id{locking}",
            [listed(ids), moment(now)],
        )
        rows = cursor.fetchall()
    locked = policies.instances(rows)
    schedules = tasks.instances(rows, skip=len(policies))
    for policy, task in zip(locked, schedules, strict=True):
        attach(policy, "schedule", task)
    for name in TIMINGS:
        _attach(name, schedules)
    return locked


def blackout_rows(policies: Sequence[SchedulePolicy]) -> Mapping[int, Sequence[Blackout]]:
    """Return when these schedules must not run, by schedule; one without blackouts is not in it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schedulepolicy_id, blackout_id FROM beat_config_schedulepolicy_blackouts"  # noqa: S608 - as above
            f" WHERE {among('schedulepolicy_id')} ORDER BY blackout_id",
            [listed(policy.schedule_id for policy in policies)],
        )
        pairs = cursor.fetchall()
    blackouts = Blackout.objects.in_bulk({blackout for _, blackout in pairs}) if pairs else {}
    found: dict[int, list[Blackout]] = {}
    for policy, blackout in pairs:
        found.setdefault(policy, []).append(blackouts[blackout])
    return found


def _attach(name: str, tasks: Sequence[PeriodicTask]) -> None:
    """Give *tasks* the rows of the timing *name* that their triggers are made of; most share theirs."""
    field = PeriodicTask._meta.get_field(name)
    # Not by the attribute: it takes ten times as long.
    ids = [vars(task)[field.attname] for task in tasks]
    different = {*ids} - {None}
    rows = {row.pk: row for row in _rows(field.related_model, different)} if different else {}
    for task, pk in zip(tasks, ids, strict=True) if rows else ():
        if pk in rows:
            attach(task, name, rows[pk])


def _rows(model: type[Model], ids: Iterable[int]) -> Sequence[Model]:
    read = reader(model, "timing")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {read.columns} FROM {connection.ops.quote_name(model._meta.db_table)} timing"  # noqa: S608 - names of the model
            f" WHERE {among('timing.id')}",
            [listed(ids)],
        )
        return read.instances(cursor.fetchall())
