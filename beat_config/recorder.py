"""Planning and recording what is due: runs and cursors move in one transaction, or not at all."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django_celery_beat.models import PeriodicTask

from beat_config import adoption, bulk
from beat_config.models import Overlap, SchedulePolicy
from beat_config.planner import Fire, Verdict, plan
from beat_config.schedules import (
    ArgumentsError,
    attach_timings,
    has_changed,
    parameters_of,
    policy_of,
    trigger_of,
)
from beat_config.triggers import TriggerError
from jobs.models import Run
from jobs.states import ACTIVE, State

BATCH = 500
# The number of a previous run that has none yet: it is recorded in the same transaction.
NEW = 0


def record_due(now: datetime) -> int:
    """Decide on a batch of the fires that are due at *now*, store the decisions; return how many schedules it was."""
    due = SchedulePolicy.objects.filter(next_fire_at__lte=now)
    if not due.exists():  # without opening a write transaction, which on SQLite keeps others out
        return 0
    with transaction.atomic():
        policies = list(
            due.order_by("next_fire_at", "pk")
            .select_related("schedule")
            .select_for_update(skip_locked=True, of=("self",))[:BATCH]
        )
        attach_timings(policies)
        busy = _busy(policies)
        runs: list[Run] = []
        fired: set[int] = set()
        for policy in policies:
            decided = _decide(policy, now, busy.get(policy.pk))
            runs += decided
            if any(run.state == State.PENDING for run in decided):
                fired.add(policy.pk)
        # Another beat's decision on the same fire stands: (schedule, fire time, attempt) is unique.
        bulk.insert(runs)
        bulk.update(policies, "next_fire_at")
        PeriodicTask.objects.filter(pk__in=fired).update(last_run_at=now, total_run_count=F("total_run_count") + 1)
        once = [policy.pk for policy in policies if policy.schedule.one_off and policy.pk in fired]
        if once:
            PeriodicTask.objects.filter(pk__in=once).update(enabled=False)
            SchedulePolicy.objects.filter(pk__in=once).update(next_fire_at=None, armed=False)
    return len(policies)


def _decide(policy: SchedulePolicy, now: datetime, running: int | None) -> list[Run]:
    """Return the runs for what is due, and set the policy's cursor behind it."""
    if has_changed(policy) or not policy.schedule.enabled:
        adoption.move_cursor(policy, now)
        return []
    due = policy.next_fire_at
    if due is None:
        return []
    try:
        decisions = plan(trigger_of(policy), due=due, now=now, policy=policy_of(policy))
    except TriggerError as error:
        adoption.mark(policy, str(error), now)
        return []
    policy.next_fire_at = decisions.next_fire_at
    runs: list[Run] = []
    for fire in decisions.fires:
        run = _run(policy, fire, running, now)
        if run.state == State.PENDING and running is None:
            running = NEW
        runs.append(run)
    return runs


def _run(policy: SchedulePolicy, fire: Fire, running: int | None, now: datetime) -> Run:
    task = policy.schedule
    parameters, problem = {}, ""
    try:
        parameters = parameters_of(task)
    except ArgumentsError as error:
        problem = str(error)
    run = Run(
        schedule_id=policy.pk,
        schedule_name=task.name,
        job=task.task,
        parameters=parameters,
        fire_time=fire.fire_time,
        covers=fire.count,
        covers_until=fire.until,
        reason=fire.reason,
        created_at=now,
    )
    if fire.verdict is Verdict.MISSED:
        run.state, run.finished_at = State.MISSED, now
    elif running is not None and policy.overlap == Overlap.SKIP:
        run.state, run.finished_at = State.SKIPPED, now
        run.reason = f"the previous run{f' ({running})' if running != NEW else ''} was still going"
    elif problem:
        run.state, run.finished_at, run.reason = State.FAILED, now, problem
    else:
        run.dispatch_at = now
        run.time_limit = policy.time_limit
        run.route = _route(task)
        run.expires_at = now + timedelta(seconds=task.expire_seconds) if task.expire_seconds else None
    return run


def _busy(policies: Iterable[SchedulePolicy]) -> dict[int, int]:
    """Return the newest run that is not over of each of these schedules that has one."""
    ids = [policy.pk for policy in policies if policy.overlap == Overlap.SKIP]
    active = Run.objects.filter(schedule_id__in=ids, state__in=sorted(ACTIVE)).order_by("id")
    return {schedule: run for schedule, run in active.values_list("schedule_id", "id") if schedule is not None}


def _route(task: PeriodicTask) -> dict[str, object] | None:
    headers = json.loads(task.headers) if task.headers not in {"", "{}", None} else None
    route = {
        "queue": task.queue,
        "exchange": task.exchange,
        "routing_key": task.routing_key,
        "priority": task.priority,
        "headers": headers if isinstance(headers, dict) else None,
    }
    return {name: value for name, value in route.items() if value not in (None, "", {})} or None
