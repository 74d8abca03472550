"""Planning and recording what is due: runs and cursors move in one transaction, or not at all."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from beat_config import adoption, bulk, cursors, pausing
from beat_config.blackout_rows import blackout_of
from beat_config.models import LOOK_NOW, Blackout, Crash, Overlap, SchedulePolicy
from beat_config.planner import Fire, Verdict, plan
from beat_config.schedules import (
    ArgumentsError,
    attach_timings,
    blackout_rows,
    exclusive_key,
    has_changed,
    parameters_of,
    policy_of,
    settled,
    trigger_of,
)
from jobs import claims
from jobs.models import Run
from jobs.states import State

logger = logging.getLogger(__name__)

BATCH = 1_000


def next_look() -> datetime | None:
    """Return when the next schedule is to be looked at; None when there is none.

    The only thing an idle beat asks: one step into an index, whatever the number of schedules, and without the ORM,
    which would cost ten times as much as the database.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_LOOK)
        (moment,) = cursor.fetchone()
    return datetime.fromisoformat(moment).replace(tzinfo=UTC) if isinstance(moment, str) else moment


def record_due(now: datetime) -> int:
    """Decide on a batch of the fires that are due at *now*, store the decisions; return how many schedules it was.

    A schedule that fails is marked with why and postponed; the others of its batch are recorded.
    """
    ids = _to_look_at(now)
    if not ids:
        return 0
    try:
        return _record(ids, now)
    except _DATABASE_IS_AWAY:
        raise
    except Exception:
        logger.exception("cannot record %d schedules together; recording them one by one", len(ids))
        return sum(_record_alone(pk, now) for pk in ids)


_NEXT_LOOK = "SELECT MIN(look_at) FROM beat_config_schedulepolicy WHERE look_at IS NOT NULL"
# No schedule's fault: nothing was recorded, and all of it is due still.
_DATABASE_IS_AWAY = (OperationalError, InterfaceError)


def _to_look_at(now: datetime) -> list[int]:
    """Return a batch of schedules: those that fire, and in the room they leave those that have changed."""
    nearest = next_look()
    if nearest is None or nearest > now:
        return []
    waiting = SchedulePolicy.objects.order_by("look_at", "pk").values_list("pk", flat=True)
    ids = list(waiting.filter(look_at__gt=LOOK_NOW, look_at__lte=now)[:BATCH])
    if len(ids) < BATCH:
        ids += waiting.filter(look_at=LOOK_NOW)[: BATCH - len(ids)]
    return ids


def _record_alone(pk: int, now: datetime) -> int:
    try:
        return _record([pk], now)
    except _DATABASE_IS_AWAY:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this schedule's, and the others go on
        with transaction.atomic():
            # Without its rows: they may be what cannot be read.
            for policy in SchedulePolicy.objects.filter(pk=pk).select_for_update():
                adoption.mark(policy, error, now)
                cursors.store([policy], cursors.EVERYTHING)
        return 1


def _record(ids: Sequence[int], now: datetime) -> int:
    with transaction.atomic():
        batch = _Batch(_lock(ids, now), now)
        for policy in batch.policies:
            batch.decide(policy)
        batch.store()
    return len(batch.policies)


def _lock(ids: Sequence[int], now: datetime) -> list[SchedulePolicy]:
    """Return the policies that nobody else is working on, and read them as they are once they are locked.

    The tasks are locked too, as this transaction writes them: somebody who saves a task holds its row and waits for
    the policy's (see change_marks), and must not be waited for.
    """
    due = SchedulePolicy.objects.filter(pk__in=ids, look_at__lte=now)
    if connection.features.has_select_for_update:
        locked = due.select_for_update(skip_locked=True).values_list("pk", flat=True)
        tasks = PeriodicTask.objects.filter(pk__in=list(locked)).select_for_update(skip_locked=True)
        due = SchedulePolicy.objects.filter(pk__in=list(tasks.values_list("pk", flat=True)))
    policies = list(due.select_related("schedule").order_by("look_at", "pk"))
    attach_timings(policies)
    return policies


@dataclass(slots=True)
class _Lane:
    """What goes on and waits under one exclusive key; the first is the one that others wait for."""

    run: int | None
    schedule: int | None
    name: str
    fire_time: datetime | None
    waiting: int = 0

    def ahead_of(self, policy: SchedulePolicy) -> str:
        """Return the run that goes on, in words for a run of *policy*."""
        if self.run is None:
            return f"the run of {self.name} that was due at {timezone.localtime(self.fire_time):%H:%M:%S}"
        return f"the previous run ({self.run})" if self.schedule == policy.pk else f"run {self.run} of {self.name}"


@dataclass(slots=True)
class _Batch:
    """The decisions on some locked schedules, and what has to be written for them."""

    policies: list[SchedulePolicy]
    now: datetime
    lanes: dict[str, _Lane] = field(default_factory=dict)
    blackouts: Mapping[int, Sequence[Blackout]] = field(default_factory=dict)
    pauses: Sequence[pausing.PauseWindow] = ()
    keyless: dict[int, _Lane] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    fired: list[SchedulePolicy] = field(default_factory=list)
    looked: list[SchedulePolicy] = field(default_factory=list)
    moved: list[SchedulePolicy] = field(default_factory=list)
    replacing: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lanes = _lanes(self.policies)
        self.blackouts = blackout_rows(self.policies)
        self.pauses = pausing.windows()
        self.keyless = _keyless(self.policies)

    def decide(self, policy: SchedulePolicy) -> None:
        """Plan what is due of *policy* and move its cursor behind it; one that fails is marked instead."""
        failures, looked = policy.failures, False
        try:
            looked = self._is_to_be_looked_at(policy)
            if looked:
                self.runs += adoption.look(policy, self.now)
            runs = self._decide(policy)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this schedule's, and the others go on
            policy.failures = failures
            adoption.mark(policy, error, self.now)
            self.looked.append(policy)
            return
        (self.looked if looked or not runs else self.moved).append(policy)
        self.runs += runs
        if any(run.state == State.PENDING for run in runs):
            self.fired.append(policy)

    def _is_to_be_looked_at(self, policy: SchedulePolicy) -> bool:
        return policy.look_at == LOOK_NOW or policy.failures > 0 or has_changed(policy) or not policy.schedule.enabled

    def _decide(self, policy: SchedulePolicy) -> list[Run]:
        due = policy.next_fire_at
        if policy.error or due is None or due > self.now:
            return []
        blackouts = [*self.pauses, *(blackout_of(row) for row in self.blackouts.get(policy.pk, ()))]
        decisions = plan(trigger_of(policy), due=due, now=self.now, policy=policy_of(policy), blackouts=blackouts)
        runs = [self._run(policy, fire) for fire in decisions.fires]
        policy.next_fire_at = policy.look_at = decisions.next_fire_at
        policy.settled_until = settled(policy, self.now)
        if policy.schedule.one_off and any(run.state == State.PENDING for run in runs):
            policy.next_fire_at = policy.look_at = None
        return runs

    def _run(self, policy: SchedulePolicy, fire: Fire) -> Run:
        task = policy.schedule
        run = Run(
            schedule_id=policy.pk,
            schedule_name=task.name,
            job=task.task,
            fire_time=fire.fire_time,
            covers=fire.count,
            covers_until=fire.until,
            reason=fire.reason,
            created_at=self.now,
        )
        problem = ""
        try:
            run.parameters = parameters_of(task)
        except ArgumentsError as error:
            problem = str(error)
        if fire.verdict is not Verdict.RUN:
            state = State.MISSED if fire.verdict is Verdict.MISSED else State.SKIPPED
            return _ended(run, state, fire.reason, self.now)
        if problem:
            return _ended(run, State.FAILED, problem, self.now)
        run.dispatch_at = self.now
        run.time_limit = policy.time_limit
        run.route = _route(task)
        run.expires_at = self.now + timedelta(seconds=task.expire_seconds) if task.expire_seconds else None
        run.max_attempts = policy.crash_attempts if policy.crash == Crash.AGAIN else 1
        run.exclusive_key = exclusive_key(policy)
        return run if run.exclusive_key is None else self._in_its_lane(policy, run, run.exclusive_key)

    def _in_its_lane(self, policy: SchedulePolicy, run: Run, key: str) -> Run:
        lane = self.lanes.get(key)
        if lane is None and policy.overlap == Overlap.SKIP:
            lane = self.keyless.get(policy.pk)
        if lane is None:
            self.lanes[key] = _Lane(None, policy.pk, run.schedule_name, run.fire_time)
            return run
        ahead = lane.ahead_of(policy)
        if policy.overlap == Overlap.SKIP:
            return _ended(run, State.SKIPPED, f"{ahead} was still going", self.now)
        if policy.overlap == Overlap.QUEUE and lane.waiting >= policy.catch_up_cap:
            reason = f"{ahead} was still going, and {lane.waiting:,} runs were waiting for their turn already"
            return _ended(run, State.SKIPPED, reason, self.now)
        lane.waiting += 1
        run.dispatch_at, run.reason = None, claims.waiting_for(ahead)
        if policy.overlap == Overlap.REPLACE:
            self.replacing.append(run)
        return run

    def store(self) -> None:
        # Another beat's decision on the same fire stands: (schedule, fire time, attempt) is unique.
        bulk.insert(self.runs)
        for run in self.replacing:
            this = Run.objects.filter(schedule=run.schedule_id, fire_time=run.fire_time, attempt=1)
            for pk in this.values_list("pk", flat=True):
                claims.replace(str(run.exclusive_key), by=pk, now=self.now)
        fired = PeriodicTask.objects.filter(pk__in=[policy.pk for policy in self.fired])
        if self.fired:
            fired.update(last_run_at=self.now, total_run_count=F("total_run_count") + 1)
        cursors.store(self.moved, cursors.CURSOR)
        cursors.store(self.looked, cursors.EVERYTHING)
        if any(policy.schedule.one_off for policy in self.fired):
            # Last: this change marks the schedule, as anybody's does.
            fired.filter(one_off=True).update(enabled=False)


def _ended(run: Run, state: State, reason: str, now: datetime) -> Run:
    run.state, run.reason, run.finished_at, run.dispatch_at = state, reason, now, None
    return run


def _lanes(policies: Sequence[SchedulePolicy]) -> dict[str, _Lane]:
    """Return what goes on under the keys of *policies*; a key of which nothing goes on is not in it."""
    keys = {exclusive_key(policy): policy for policy in policies}
    keys.pop(None, None)
    _lock_shared([key for key, policy in keys.items() if key and policy.concurrency_key])
    # The end of a run that another is going to wait for has to wait for that: it releases it.
    kept = {exclusive_key(policy) for policy in policies if policy.overlap in {Overlap.QUEUE, Overlap.REPLACE}}
    going = Run.objects.filter(finished_at=None).order_by("pk")
    rows = [
        *going.filter(exclusive_key__in=[key for key in keys if key not in kept]).values(*_OF_A_LANE),
        *going.filter(exclusive_key__in=[key for key in keys if key in kept]).select_for_update().values(*_OF_A_LANE),
    ]
    lanes: dict[str, _Lane] = {}
    for row in sorted(rows, key=lambda row: row["state"] != State.RUNNING):
        key = str(row["exclusive_key"])
        if key not in lanes:
            lanes[key] = _lane(row)
        elif row["dispatch_at"] is None and row["state"] == State.PENDING:
            lanes[key].waiting += 1
    return lanes


def _keyless(policies: Sequence[SchedulePolicy]) -> dict[int, _Lane]:
    """Return what goes on without a key of schedules that skip: it began when they still allowed two at once.

    Only to skip is possible beside it: its end releases nothing.
    """
    ids = [policy.pk for policy in policies if policy.overlap == Overlap.SKIP]
    going = Run.objects.filter(schedule__in=ids, exclusive_key=None, finished_at=None).order_by("-pk")
    return {row["schedule_id"]: _lane(row) for row in going.values(*_OF_A_LANE)} if ids else {}


def _lane(row: Mapping[str, Any]) -> _Lane:
    return _Lane(row["id"], row["schedule_id"], row["schedule_name"] or row["job"], row["fire_time"])


_OF_A_LANE = ("id", "exclusive_key", "schedule_id", "schedule_name", "job", "fire_time", "state", "dispatch_at")


def _lock_shared(keys: Sequence[str]) -> None:
    """Keep other beats from deciding on schedules that share these keys, until the transaction ends.

    The row locks do that for a schedule's own key, and SQLite has one writer at a time.
    """
    if keys and connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for key in sorted(keys):
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])


def _route(task: PeriodicTask) -> dict[str, object] | None:
    headers = json.loads(task.headers or "{}")
    route = {
        "queue": task.queue,
        "exchange": task.exchange,
        "routing_key": task.routing_key,
        "priority": task.priority,
        "headers": headers if isinstance(headers, dict) else None,
    }
    return {name: value for name, value in route.items() if value not in (None, "", {})} or None
