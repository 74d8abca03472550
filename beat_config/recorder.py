"""Planning and recording what is due: runs and cursors move in one transaction, or not at all."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from beat_config import adoption, cursors, due, pausing
from beat_config.blackout_rows import blackout_of
from beat_config.models import LOOK_NOW, Blackout, Overlap, SchedulePolicy
from beat_config.planner import Fire, Verdict, plan
from beat_config.schedules import (
    ArgumentsError,
    exclusive_key,
    has_changed,
    make_ready,
    parameters_of,
    policy_of,
    settled,
    trigger_of,
)
from jobs import bulk, claims, rows
from jobs.models import EVERY_MACHINE, Run
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
    ids = due.to_look_at(now, BATCH)
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
        batch = _Batch(due.lock(ids, now), now)
        for policy in batch.policies:
            batch.decide(policy)
        batch.store()
    return len(batch.policies)


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
        self.blackouts = due.blackout_rows(self.policies)
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
        fire = policy.next_fire_at
        if policy.error or fire is None or fire > self.now:
            return []
        blackouts = [*self.pauses, *(blackout_of(row) for row in self.blackouts.get(policy.schedule_id, ()))]
        decisions = plan(trigger_of(policy), due=fire, now=self.now, policy=policy_of(policy), blackouts=blackouts)
        runs = [self._run(policy, fire) for fire in decisions.fires]
        policy.next_fire_at = policy.look_at = decisions.next_fire_at
        policy.settled_until = settled(policy, self.now)
        if policy.schedule.one_off and any(run.state == State.PENDING for run in runs):
            policy.next_fire_at = policy.look_at = None
        return runs

    def _run(self, policy: SchedulePolicy, fire: Fire) -> Run:
        task = policy.schedule
        run = rows.new(
            Run,
            schedule_id=task.id,
            schedule_name=task.name,
            job=task.task,
            fire_time=fire.fire_time,
            covers=fire.count,
            covers_until=fire.until,
            reason=fire.reason,
            created_at=self.now,
            parameters={},
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
        make_ready(run, policy, self.now)
        return run if run.exclusive_key is None else self._in_its_lane(policy, run, run.exclusive_key)

    def _in_its_lane(self, policy: SchedulePolicy, run: Run, key: str) -> Run:
        lane = self.lanes.get(key)
        if lane is None and policy.overlap == Overlap.SKIP:
            lane = self.keyless.get(policy.schedule_id)
        if lane is None:
            self.lanes[key] = _Lane(None, policy.schedule_id, run.schedule_name, run.fire_time)
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
            this = Run.objects.filter(schedule=run.schedule_id, fire_time=run.fire_time, attempt=1, part_of=None)
            for pk in this.values_list("pk", flat=True):
                claims.replace(str(run.exclusive_key), by=pk, now=self.now)
        if self.fired:
            _count([policy.schedule_id for policy in self.fired], self.now)
        cursors.store(self.moved, cursors.CURSOR)
        cursors.store(self.looked, cursors.EVERYTHING)
        if off := [policy.schedule_id for policy in self.looked if not policy.schedule.enabled]:
            claims.cancel_switched_off(off, self.now)
        if any(policy.schedule.one_off for policy in self.fired):
            # Last: this change marks the schedule, as anybody's does.
            once = [policy.schedule_id for policy in self.fired if policy.schedule.one_off]
            PeriodicTask.objects.filter(pk__in=once).update(enabled=False)


def _count(ids: Sequence[int], now: datetime) -> None:
    """Tell django-celery-beat's tables, for other tools, that these schedules have fired."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_celery_beat_periodictask SET last_run_at = %s, total_run_count = total_run_count + 1"  # noqa: S608 - constants
            f" WHERE {bulk.among('id')}",
            [bulk.moment(now), bulk.listed(ids)],
        )


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
    found = [
        *_going(bulk.among("exclusive_key", "text"), [key for key in keys if key and key not in kept]),
        *_going(bulk.among("exclusive_key", "text"), [key for key in keys if key and key in kept], lock=True),
    ]
    lanes: dict[str, _Lane] = {}
    for each in sorted(found, key=lambda each: each.state != State.RUNNING):
        key = str(each.exclusive_key)
        if key not in lanes:
            lanes[key] = each.lane()
        elif each.is_held:
            lanes[key].waiting += 1
    return lanes


def _keyless(policies: Sequence[SchedulePolicy]) -> dict[int, _Lane]:
    """Return what goes on without a key of schedules that skip: it began when they still allowed two at once.

    Only to skip is possible beside it: its end releases nothing.
    """
    ids = [policy.schedule_id for policy in policies if policy.overlap == Overlap.SKIP]
    # A run of every machine only waits; its parts have keys, one a machine.
    mine = f"exclusive_key IS NULL AND machine <> '{EVERY_MACHINE}' AND {bulk.among('schedule_id')}"
    going = _going(mine, ids)
    return {each.schedule: each.lane() for each in reversed(going)}


class _Going(NamedTuple):
    """A run that goes on, or waits."""

    id: int
    exclusive_key: str | None
    schedule: int
    schedule_name: str
    job: str
    state: str
    is_held: bool

    def lane(self) -> _Lane:
        return _Lane(self.id, self.schedule, self.schedule_name or self.job, None)


def _going(condition: str, values: Sequence[Any], *, lock: bool = False) -> list[_Going]:
    """Return the runs that go on or wait, oldest first; of these, those with one of *values*, by *condition*."""
    if not values:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, exclusive_key, schedule_id, schedule_name, job, state,"  # noqa: S608 - our own condition
            f" state = 'pending' AND dispatch_at IS NULL FROM jobs_run WHERE finished_at IS NULL AND {condition}"
            " ORDER BY id"
            f"{' FOR UPDATE' if lock and connection.features.has_select_for_update else ''}",
            [bulk.listed(values)],
        )
        return [_Going(*row) for row in cursor.fetchall()]


def _lock_shared(keys: Sequence[str]) -> None:
    """Keep other beats from deciding on schedules that share these keys, until the transaction ends.

    The row locks do that for a schedule's own key, and SQLite has one writer at a time.
    """
    if keys and connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for key in sorted(keys):
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
