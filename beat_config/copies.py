"""A schedule's rows as plain data, and such data as a schedule again: for what was deleted, and for a second one.

Rows, not what a form would take: a moment that is over, a job that is no more, a chain to what is gone do not keep what
was deleted by mistake from coming back.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.core import serializers
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from beat_config import adoption, chains, tags
from beat_config.models import LOOK_NOW, Blackout, Chain, Schedule, SchedulePolicy

# As they are named in a `PeriodicTask`.
TIMINGS = ("interval", "crontab", "clocked", "solar")
Rows = dict[str, Any]


class _Exactly(DjangoJSONEncoder):
    """Keeps the microseconds that Django's own leaves out: a cursor stands at a moment, not near one."""

    def default(self, value: Any) -> Any:
        return value.isoformat() if isinstance(value, datetime) else super().default(value)


def rows_of(ids: Iterable[int]) -> list[tuple[PeriodicTask, Rows]]:
    """Return the schedules *ids* that there are, each with its rows as JSON knows them."""
    tasks = PeriodicTask.objects.filter(pk__in=list(ids)).select_related("policy", *TIMINGS).order_by("pk")
    related = ("policy__tags", "policy__blackouts", "chains", "chained_after")
    return [(task, _rows(task)) for task in tasks.prefetch_related(*related)]


def restore(copies: Sequence[Rows], now: datetime) -> list[PeriodicTask]:
    """Make the schedules anew that these rows were of, with their numbers, so that their history is theirs again.

    A name that somebody has taken meanwhile gets a number. A next run that has not come due yet stays; otherwise they
    start from *now*. Chains to schedules that are gone, and those that would close a circle now, stay away.
    """
    with transaction.atomic():
        tasks = [_make(rows, rows["task"]["pk"], rows["task"]["fields"]["name"], now) for rows in copies]
        for rows in copies:
            for leader, when, follower in [*rows["chains"], *rows["after"]]:
                _chain(leader, when, follower)
        adoption.adopt([task.pk for task in tasks], now)
        PeriodicTasks.update_changed()
    return tasks


def duplicate(pk: int, now: datetime) -> PeriodicTask | None:
    """Make a second schedule of the same kind, disabled and with nothing before it; None when there is no such one."""
    with transaction.atomic():
        [(task, rows)] = rows_of([pk]) or [(None, {})]
        if task is None:
            return None
        rows["task"]["fields"] |= {"enabled": False, "last_run_at": None, "total_run_count": 0}
        rows["policy"]["fields"] |= {"next_fire_at": None, "error": "", "error_at": None, "failures": 0}
        made = _make(rows, None, f"{task.name} (copy)", now)
        for _, when, follower in rows["chains"]:
            _chain(made.pk, when, follower)
        adoption.adopt([made.pk], now)
        PeriodicTasks.update_changed()
    return made


def _rows(task: PeriodicTask) -> Rows:
    policy = task.policy
    timing = next((getattr(task, name) for name in TIMINGS if getattr(task, name) is not None), None)
    kept = [task, policy, *([timing] if timing is not None else [])]
    rows = json.loads(json.dumps(serializers.serialize("python", kept), cls=_Exactly))
    return {
        "task": rows[0],
        "policy": rows[1],
        "timing": rows[2] if timing is not None else None,
        "tags": [tag.name for tag in policy.tags.all()],
        "blackouts": [blackout.name for blackout in policy.blackouts.all()],
        "chains": [[each.leader_id, each.when, each.follower_id] for each in task.chains.all()],
        "after": [[each.leader_id, each.when, each.follower_id] for each in task.chained_after.all()],
    }


def _make(rows: Rows, pk: int | None, name: str, now: datetime) -> PeriodicTask:
    task: PeriodicTask = _object(rows["task"])
    task.pk, task.name = pk, _free(name)
    timing = rows["timing"] and _shared(_object(rows["timing"]))
    for each in TIMINGS:
        setattr(task, each, timing if timing and isinstance(timing, _model(task, each)) else None)
    task.save(force_insert=True)
    policy: SchedulePolicy = _object(rows["policy"])
    policy.schedule_id = task.pk
    stays = policy.next_fire_at is not None and policy.next_fire_at > now
    policy.changes = ""
    if not stays:
        policy.next_fire_at, policy.fingerprint, policy.anchor, policy.settled_until = None, "", now, ""
    policy.save(force_update=True)  # the database has made one of its own with the task
    # What the SQL triggers have noted just now is no change that anybody made.
    look_at = policy.next_fire_at if stays else LOOK_NOW
    SchedulePolicy.objects.filter(pk=task.pk).update(changes="", look_at=look_at)
    tags.set_tags(task, rows["tags"])
    policy.blackouts.set(Blackout.objects.filter(name__in=rows["blackouts"]))
    return task


def _object(row: dict[str, Any]) -> Any:
    """Return the object of a row; a column that a newer version no longer has is left out."""
    plain = {
        **row,
        "fields": {name: value for name, value in row["fields"].items() if name not in {"tags", "blackouts"}},
    }
    [found] = serializers.deserialize("python", [plain], ignorenonexistent=True)
    return found.object


def _shared(timing: Any) -> Any:
    """Return the row that says the same as *timing*; it is made when there is none any more."""
    said = {field.name: getattr(timing, field.name) for field in timing._meta.concrete_fields if not field.primary_key}
    return type(timing).objects.filter(**said).first() or type(timing).objects.create(**said)


def _model(task: PeriodicTask, name: str) -> Any:
    return task._meta.get_field(name).related_model


def _free(name: str) -> str:
    """Return *name*, or with a number what nobody has."""
    longest = Schedule._meta.get_field("name").max_length - len(" (9999)")
    tried, number = name, 1
    while PeriodicTask.objects.filter(name=tried).exists():
        number += 1
        tried = f"{name[:longest]} ({number})"
    return tried


def _chain(leader: int, when: str, follower: int) -> None:
    both = PeriodicTask.objects.filter(pk__in={leader, follower}).count()
    taken = Chain.objects.filter(leader=leader, when=when).exists()
    if both == len({leader, follower}) and not taken and not chains.circle(leader, {follower}):
        Chain.objects.create(leader_id=leader, when=when, follower_id=follower)
