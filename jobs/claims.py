"""Taking, keeping and ending a run: every change of state is one conditional UPDATE, and only here.

Runs with the same `exclusive_key` never run at the same time: a unique constraint refuses the second claim. Those
whose turn has not come are held (pending, without a time to be dispatched); the transaction that ends a run releases
the oldest of them.
"""

import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django_celery_beat.models import PeriodicTask

from jobs import limits, terms
from jobs.limits import Limits, Wait
from jobs.models import EVERY_MACHINE, Origin, Run
from jobs.retries import Retry
from jobs.states import WAITING, State, sources

BATCH = 500
# A try fails when another run with the key runs, and again only when that one ends just then.
CLAIM_TRIES = 10
DISAPPEARED = "the worker that ran it disappeared; how far the job came is not known"


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this worker holds; *token* fences off everybody else."""

    run: Run
    token: uuid.UUID


@dataclass(frozen=True, slots=True)
class Outcome:
    state: State
    reason: str = ""
    exit_code: int | None = None
    output_size: int = 0
    output_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """What a job says of its runs; a schedule's own word goes first."""

    attempts: int = 1
    retry: Retry | None = None
    limits: Limits = limits.NONE


NO_RULES = Rules()
# What begins when a run has ended, in the transaction that ends it: beat_config's chains. Called with the run, the
# state in which it ended, and now.
on_end: list[Callable[[Run, State, datetime], None]] = []


class Hold(Enum):
    """What a worker learns when it renews its lease."""

    KEPT = "kept"
    CANCEL = "cancel"
    LOST = "lost"


def waiting(run_id: int, attempt: int) -> Run | None:
    """Return the run if it waits to be started."""
    return _waiting(run_id, attempt).first()


def claim(
    run_id: int,
    attempt: int,
    *,
    worker: str,
    lease: timedelta,
    now: datetime,
    rules: Rules = NO_RULES,
    process: Mapping[str, Any] | None = None,
) -> Claim | None:
    """Take the run, or return None when somebody else has it, it has ended, it has expired, or its turn is later.

    *rules* is what its job says; *process* is what is going to execute it.
    """
    run = waiting(run_id, attempt)
    if run is None:
        return None
    token = uuid.uuid4()
    columns: dict[str, Any] = {
        "state": State.RUNNING,
        "token": token,
        "lease_until": now + lease,
        "started_at": now,
        "worker": worker,
        "dispatch_at": None,
        "reason": "",
        **_agreed(run, rules),
    }
    if process is not None:
        columns["terms"] = {**(columns.get("terms", run.terms) or {}), terms.PROCESS: process}
    if rules.limits.max_running is not None:
        columns["terms"] = {**(columns.get("terms", run.terms) or {}), terms.LIMITED: True}
    mine = _waiting(run_id, attempt).filter(Q(expires_at=None) | Q(expires_at__gt=now)).exclude(_switched_off())
    for _ in range(CLAIM_TRIES):
        try:
            with transaction.atomic():
                wait = limits.wait_of(run, rules.limits, now)
                if wait is not None:
                    _put_off(run, wait)
                    return None
                taken = mine.update(**columns)
        except IntegrityError:  # another run with its key goes on
            if _hold(run_id):
                return None
            continue  # it has ended meanwhile
        if taken != 1:
            _cancel_switched_off(Run.objects.filter(pk=run_id), now)
            return None
        for name, value in columns.items():
            setattr(run, name, value)
        return Claim(run, token)
    return None  # the dispatcher sends it again


def renew(held: Claim, *, lease: timedelta, now: datetime) -> Hold:
    """Extend the lease; tell whether the run is still ours and whether somebody wants it to end."""
    if _held(held).update(lease_until=now + lease) != 1:
        return Hold.LOST
    return look(held)


def look(held: Claim) -> Hold:
    """Tell what renew() would, without writing."""
    row = _held(held).values("cancel_requested_at").first()
    if row is None:
        return Hold.LOST
    return Hold.KEPT if row["cancel_requested_at"] is None else Hold.CANCEL


def finish(held: Claim, outcome: Outcome, *, now: datetime) -> bool:
    """Write the outcome; False when the token is no longer the one that holds the run."""
    if outcome.state not in _END_OF_A_CLAIM:
        raise ValueError(f"cannot finish run {held.run.pk} as {outcome.state}: a running run does not become that")
    with transaction.atomic():
        return _end(
            _held(held),
            held.run,
            now,
            state=outcome.state,
            reason=outcome.reason,
            exit_code=outcome.exit_code,
            output_size=outcome.output_size,
            output_dropped=outcome.output_dropped,
        )


def cancel(run_id: int, *, by: str, now: datetime) -> bool:
    """End a run that waits, ask a running one to end; False when it has already ended."""
    reason = f"cancelled by {by}"
    with transaction.atomic():
        if _cancel_waiting(Run.objects.filter(pk=run_id), reason, now):
            release(Run.objects.filter(pk=run_id).values_list("exclusive_key", flat=True), now)
            for part in Run.objects.filter(part_of=run_id, finished_at=None).values_list("pk", flat=True):
                cancel(part, by=by, now=now)
            return True
        return _ask_to_end(Run.objects.filter(pk=run_id), reason, now) == 1


def cancel_switched_off(schedules: Sequence[int], now: datetime) -> int:
    """End what waits of these schedules where they are disabled: not what people or other runs started.

    So that nobody waits for it; none of it could have been claimed.
    """
    return _cancel_switched_off(Run.objects.filter(schedule__in=schedules, finished_at=None), now)


def replace(key: str, *, by: int, now: datetime) -> None:
    """Make way for the run *by*: end the earlier runs with *key* that wait, ask the one that runs to end."""
    reason = f"replaced by run {by}"
    with transaction.atomic():
        earlier = Run.objects.filter(exclusive_key=key, finished_at=None, pk__lt=by)
        # In the order in which finish() and release() take them, so that nobody waits in a circle.
        ids = list(earlier.order_by("pk").select_for_update().values_list("pk", flat=True))
        _cancel_waiting(Run.objects.filter(pk__in=ids), reason, now)
        _ask_to_end(Run.objects.filter(pk__in=ids, cancel_requested_at=None), reason, now)
        release([key], now)


def tell_progress(held: Claim, progress: Sequence[Any]) -> None:
    """Store how far the run has come."""
    told = {**(held.run.terms or {}), terms.PROGRESS: [*progress]}
    if _held(held).update(terms=told) == 1:
        held.run.terms = told


def interrupt_expired(now: datetime, is_over: Callable[[Run, datetime], bool] = lambda *_: True) -> int:
    """Mark the runs whose worker stopped renewing its lease, run those again that want it; return how many.

    *is_over* has to make sure that nothing of the run goes on any more; one of which it cannot say so stays as it is.
    """
    return sum(_interrupt(run, now) for run in _expired(now)[:BATCH] if is_over(run, now))


def expire_waiting(now: datetime) -> int:
    """Mark the runs that nobody started before they expired; return how many."""
    late = Run.objects.filter(state__in=sources(State.MISSED), expires_at__lte=now).exclude(machine=EVERY_MACHINE)
    if not late.exists():  # without opening a write transaction, which on SQLite keeps others out
        return 0
    with transaction.atomic():
        ids = dict(late.select_for_update(skip_locked=True).values_list("pk", "exclusive_key")[:BATCH])
        expired = late.filter(pk__in=list(ids)).update(
            state=State.MISSED,
            reason="expired before a worker could start it",
            finished_at=now,
            dispatch_at=None,
        )
        release(ids.values(), now)
    return expired


def release(keys: Iterable[str | None], now: datetime) -> int:
    """Send the oldest held run of each key of which none goes on; return how many. None is no key."""
    return sum(_release(key, now) for key in sorted({key for key in keys if key is not None}))


def release_left_behind(now: datetime) -> int:
    """Release what is held although nothing goes on: a chore, for what a crash or a race left; return how many."""
    same_key = Run.objects.filter(exclusive_key=OuterRef("exclusive_key"))
    stuck = _held_back().filter(~Exists(_on_the_way(same_key)))
    return release(list(stuck.values_list("exclusive_key", flat=True)[:BATCH]), now)


def _waiting(run_id: int, attempt: int) -> QuerySet[Run]:
    found = Run.objects.filter(pk=run_id, attempt=attempt, state__in=sources(State.RUNNING))
    return found.exclude(machine=EVERY_MACHINE)  # of which each machine claims its part


_END_OF_A_CLAIM = frozenset(state for state in State if sources(state) >= {State.RUNNING})


def _held(held: Claim) -> QuerySet[Run]:
    return Run.objects.filter(pk=held.run.pk, token=held.token, state=State.RUNNING)


def _end(running: QuerySet[Run], run: Run, now: datetime, *, state: State, reason: str, **columns: object) -> bool:
    """End *run* if it is still in *running*, and let what its end allows begin; inside a transaction."""
    gone = (*_OF_A_CLAIM, terms.PROGRESS) if state == State.SUCCEEDED else _OF_A_CLAIM
    limited = terms.LIMITED in (run.terms or {})
    left = terms.without(run.terms, *gone)
    columns |= {"terms": left, "state": state, "finished_at": now, "token": None, "lease_until": None}
    retry = terms.retry_of(run.terms)
    if retry and state in retry.on and run.attempt < run.max_attempts:
        again = f"{reason}; run again, attempt {run.attempt + 1} of {run.max_attempts}"
        # One that somebody wants to end is not run again.
        if running.filter(cancel_requested_at=None).update(reason=again, **columns) == 1:
            wait = retry.wait(run.attempt, random.random())  # noqa: S311 - nothing secret
            run.terms = left
            _begin_again(run, _ENDED_AS[state], now, now + wait)
            if limited:
                _let_next_start(run.job, now)
            return True
    if running.update(reason=reason, **columns) != 1:
        return False
    if limited:
        _let_next_start(run.job, now)
    release([run.exclusive_key], now)
    for begin in on_end:
        begin(run, state, now)
    return True


_OF_A_CLAIM = (terms.PROCESS, terms.LIMITED, terms.PUT_OFF, terms.TURN)


def _interrupt(run: Run, now: datetime) -> bool:
    with transaction.atomic():
        mine = _expired(now).filter(pk=run.pk, token=run.token)
        return _end(mine, run, now, state=State.INTERRUPTED, reason=DISAPPEARED)


def _expired(now: datetime) -> QuerySet[Run]:
    return Run.objects.filter(state=State.RUNNING, lease_until__lt=now).order_by("pk")


def _begin_again(run: Run, ended: str, now: datetime, start_at: datetime) -> None:
    """Record the next attempt of *run*; it takes its place, before those that are held, also while it waits."""
    attempt = Run.objects.create(
        **{name: getattr(run, name) for name in KEPT_BY_AN_ATTEMPT},
        attempt=run.attempt + 1,
        terms={**(terms.kept(run.terms) or {}), terms.PREVIOUS: run.pk},
        reason=f"run {run.pk} {ended}; attempt {run.attempt + 1} of {run.max_attempts}",
        created_at=now,
        dispatch_at=start_at,
        # As long after its own beginning as the first one had.
        expires_at=start_at + (run.expires_at - run.created_at) if run.expires_at else None,
    )
    Run.objects.filter(pk=run.pk).update(terms={**(run.terms or {}), terms.NEXT: attempt.pk})


KEPT_BY_AN_ATTEMPT = (
    *("schedule_id", "schedule_name", "job", "parameters", "origin", "requested_by", "fire_time", "covers"),
    *("covers_until", "max_attempts", "exclusive_key", "time_limit", "route", "machine", "part_of"),
)
_ENDED_AS = {
    State.FAILED: "failed",
    State.TIMED_OUT: "took too long",
    State.INTERRUPTED: "was interrupted",
}


def _agreed(run: Run, rules: Rules) -> dict[str, Any]:
    """Return the columns that the job's rules fill in where nobody else has said anything."""
    if rules.retry is None or terms.RETRY in (run.terms or {}):
        return {}
    return {"max_attempts": rules.attempts, "terms": terms.with_retry(run.terms, rules.retry)}


def _cancel_waiting(runs: QuerySet[Run], reason: str, now: datetime) -> int:
    return runs.filter(state__in=sorted(WAITING)).update(
        state=State.CANCELLED, reason=reason, finished_at=now, dispatch_at=None
    )


SWITCHED_OFF = "its schedule was disabled or deleted before it started"


def _switched_off() -> Q:
    """Return the condition that a run must not start any more, because somebody disabled or deleted its schedule.

    One that fires once is disabled by its own fire, and what people and other runs start is for disabled schedules too.
    """
    task = PeriodicTask.objects.filter(pk=OuterRef("schedule"))
    disabled = Q(Exists(task.filter(enabled=False, one_off=False)), origin=Origin.SCHEDULE)
    return Q(schedule__isnull=False) & (disabled | Q(~Exists(task)))


def _cancel_switched_off(runs: QuerySet[Run], now: datetime) -> int:
    with transaction.atomic():
        off = runs.filter(_switched_off(), state__in=sorted(WAITING)).order_by("pk").select_for_update(of=("self",))
        keys = dict(off.values_list("pk", "exclusive_key"))
        if not keys:
            return 0
        cancelled = _cancel_waiting(Run.objects.filter(pk__in=keys), SWITCHED_OFF, now)
        release(keys.values(), now)
    return cancelled


def end_waiting(run: Run, state: State, reason: str, now: datetime) -> bool:
    """End *run*, if it still waits, without its having run itself, and let what its end allows begin."""
    waiting = Run.objects.filter(pk=run.pk, state__in=sorted(WAITING))
    if waiting.update(state=state, reason=reason, finished_at=now, dispatch_at=None) != 1:
        return False
    for begin in on_end:
        begin(run, state, now)
    return True


def _ask_to_end(runs: QuerySet[Run], reason: str, now: datetime) -> int:
    return runs.filter(state=State.RUNNING).update(cancel_requested_at=now, reason=reason)


def _hold(run_id: int) -> bool:
    """Put the run back until the one that runs with its key has ended; False when that has ended already."""
    with transaction.atomic():
        key = Run.objects.filter(pk=run_id).values("exclusive_key")
        # Locked: its end waits for this transaction, and then finds the run that is held.
        ahead = Run.objects.filter(exclusive_key__in=key, state=State.RUNNING).select_for_update().first()
        if ahead is None:
            return False
        Run.objects.filter(pk=run_id, state__in=sorted(WAITING)).update(
            state=State.PENDING, dispatch_at=None, reason=waiting_for(f"run {ahead.pk}")
        )
    return True


def _put_off(run: Run, wait: Wait) -> None:
    put_off: dict[str, Any] = {**(terms.without(run.terms, terms.TURN) or {}), terms.PUT_OFF: True}
    if wait.turn is not None:
        put_off[terms.TURN] = wait.turn.isoformat()
    Run.objects.filter(pk=run.pk, state__in=sorted(WAITING)).update(
        state=State.PENDING, dispatch_at=wait.until, reason=wait.reason, terms=put_off
    )


def _let_next_start(job: str, now: datetime) -> None:
    """Send the oldest of the job's runs that wait for one of them to end."""
    waiting = Run.objects.filter(dispatch_at__gt=now, state=State.PENDING, job=job, terms__has_key=terms.PUT_OFF)
    waiting = waiting.exclude(terms__has_key=terms.TURN)
    # Another end may let the same one start: then there is the next.
    while (oldest := waiting.order_by("pk").values_list("pk", flat=True).first()) is not None:
        if waiting.filter(pk=oldest).update(dispatch_at=now) == 1:
            return


def waiting_for(ahead: str) -> str:
    """Return the reason of a held run, of which the run *ahead* goes on."""
    return f"waits for {ahead} to end"


def _held_back() -> QuerySet[Run]:
    # Not `state=PENDING`: SQLite would read all that are, beside the few that are held.
    waiting = Run.objects.filter(finished_at=None, dispatch_at=None).exclude(state=State.RUNNING)
    return waiting.filter(exclusive_key__isnull=False)


def _on_the_way(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Return those of *runs* after whose end the next one is released."""
    return runs.filter(Q(state=State.RUNNING) | Q(state__in=sorted(WAITING), dispatch_at__isnull=False))


def _release(key: str, now: datetime) -> bool:
    if _on_the_way(Run.objects.filter(exclusive_key=key, finished_at=None)).exists():
        return False
    oldest = _held_back().filter(exclusive_key=key).order_by("pk").values_list("pk", flat=True).first()
    return oldest is not None and _held_back().filter(pk=oldest).update(dispatch_at=now, reason="") == 1
