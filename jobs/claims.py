"""Taking, keeping and ending a run: every change of state is one conditional UPDATE, and only here.

Runs with the same `exclusive_key` never run at the same time: a unique constraint refuses the second claim. Those
whose turn has not come are held (pending, without a time to be dispatched); the transaction that ends a run releases
the oldest of them.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from jobs.models import Run
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


class Hold(Enum):
    """What a worker learns when it renews its lease."""

    KEPT = "kept"
    CANCEL = "cancel"
    LOST = "lost"


def claim(run_id: int, attempt: int, *, worker: str, lease: timedelta, now: datetime) -> Claim | None:
    """Take the run, or return None when somebody else has it, it has ended, it has expired, or its turn is later."""
    token = uuid.uuid4()
    for _ in range(CLAIM_TRIES):
        try:
            with transaction.atomic():
                taken = (
                    Run.objects.filter(pk=run_id, attempt=attempt, state__in=sources(State.RUNNING))
                    .filter(Q(expires_at=None) | Q(expires_at__gt=now))
                    .update(
                        state=State.RUNNING,
                        token=token,
                        lease_until=now + lease,
                        started_at=now,
                        worker=worker,
                        dispatch_at=None,
                        reason="",
                    )
                )
        except IntegrityError:  # another run with its key goes on
            if _hold(run_id):
                return None
            continue  # it has ended meanwhile
        return Claim(Run.objects.get(pk=run_id), token) if taken == 1 else None
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
            return True
        return _ask_to_end(Run.objects.filter(pk=run_id), reason, now) == 1


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


def interrupt_expired(now: datetime) -> int:
    """Mark the runs whose worker stopped renewing its lease, run those again that want it; return how many."""
    return sum(_interrupt(run, now) for run in _expired(now)[:BATCH])


def expire_waiting(now: datetime) -> int:
    """Mark the runs that nobody started before they expired; return how many."""
    late = Run.objects.filter(state__in=sources(State.MISSED), expires_at__lte=now)
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


_END_OF_A_CLAIM = frozenset(state for state in State if sources(state) >= {State.RUNNING})


def _held(held: Claim) -> QuerySet[Run]:
    return Run.objects.filter(pk=held.run.pk, token=held.token, state=State.RUNNING)


def _end(running: QuerySet[Run], run: Run, now: datetime, *, reason: str, **columns: object) -> bool:
    """End *run* if it is still in *running*, and let what its end allows begin; inside a transaction."""
    columns |= {"finished_at": now, "token": None, "lease_until": None}
    if columns["state"] == State.INTERRUPTED and run.attempt < run.max_attempts:
        again = f"{reason}; run again, attempt {run.attempt + 1} of {run.max_attempts}"
        # One that somebody wants to end is not run again.
        if running.filter(cancel_requested_at=None).update(reason=again, **columns) == 1:
            _begin_again(run, now)
            return True
    if running.update(reason=reason, **columns) != 1:
        return False
    release([run.exclusive_key], now)
    return True


def _interrupt(run: Run, now: datetime) -> bool:
    with transaction.atomic():
        mine = _expired(now).filter(pk=run.pk, token=run.token)
        return _end(mine, run, now, state=State.INTERRUPTED, reason=DISAPPEARED)


def _expired(now: datetime) -> QuerySet[Run]:
    return Run.objects.filter(state=State.RUNNING, lease_until__lt=now).order_by("pk")


def _begin_again(run: Run, now: datetime) -> None:
    """Record the next attempt of *run*; it takes its place, before those that are held."""
    attempt = Run(
        **{name: getattr(run, name) for name in _KEPT_BY_AN_ATTEMPT},
        attempt=run.attempt + 1,
        reason=f"run {run.pk} was interrupted; attempt {run.attempt + 1} of {run.max_attempts}",
        created_at=now,
        dispatch_at=now,
    )
    # The identity of an attempt is unique: one that is there already stands.
    Run.objects.bulk_create([attempt], ignore_conflicts=True)


_KEPT_BY_AN_ATTEMPT = (
    *("schedule_id", "schedule_name", "job", "parameters", "origin", "requested_by", "fire_time", "covers"),
    *("covers_until", "max_attempts", "exclusive_key", "time_limit", "route", "expires_at"),
)


def _cancel_waiting(runs: QuerySet[Run], reason: str, now: datetime) -> int:
    return runs.filter(state__in=sorted(WAITING)).update(
        state=State.CANCELLED, reason=reason, finished_at=now, dispatch_at=None
    )


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
