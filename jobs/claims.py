"""Taking, keeping and ending a run: every change of state is one conditional UPDATE, and only here."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from django.db.models import Q, QuerySet

from jobs.models import Run
from jobs.states import WAITING, State, sources


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
    """Take the run, or return None when somebody else has it, it has ended, or it has expired."""
    token = uuid.uuid4()
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
    return Claim(Run.objects.get(pk=run_id), token) if taken == 1 else None


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
    return (
        _held(held).update(
            state=outcome.state,
            reason=outcome.reason,
            exit_code=outcome.exit_code,
            output_size=outcome.output_size,
            output_dropped=outcome.output_dropped,
            finished_at=now,
            token=None,
            lease_until=None,
        )
        == 1
    )


def cancel(run_id: int, *, by: str, now: datetime) -> bool:
    """End a run that waits, ask a running one to end; False when it has already ended."""
    reason = f"cancelled by {by}"
    waiting = Run.objects.filter(pk=run_id, state__in=sorted(WAITING)).update(
        state=State.CANCELLED, reason=reason, finished_at=now, dispatch_at=None
    )
    if waiting == 1:
        return True
    return Run.objects.filter(pk=run_id, state=State.RUNNING).update(cancel_requested_at=now, reason=reason) == 1


def interrupt_expired(now: datetime) -> int:
    """Mark the runs whose worker stopped renewing its lease; return how many."""
    return Run.objects.filter(state=State.RUNNING, lease_until__lt=now).update(
        state=State.INTERRUPTED,
        reason="the worker that ran it disappeared; how far the job came is not known",
        finished_at=now,
        token=None,
        lease_until=None,
    )


def expire_waiting(now: datetime) -> int:
    """Mark the runs that nobody started before they expired; return how many."""
    return Run.objects.filter(state__in=sources(State.MISSED), expires_at__lte=now).update(
        state=State.MISSED,
        reason="expired before a worker could start it",
        finished_at=now,
        dispatch_at=None,
    )


_END_OF_A_CLAIM = frozenset(state for state in State if sources(state) >= {State.RUNNING})


def _held(held: Claim) -> QuerySet[Run]:
    return Run.objects.filter(pk=held.run.pk, token=held.token, state=State.RUNNING)
