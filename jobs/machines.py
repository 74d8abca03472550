"""Runs of every machine: one decision, recorded as one run, of which each machine that hears of it makes its own part.

A part is a run as any other: claimed, renewed and ended by `claims`. The whole is never claimed. Until it expires it
lets machines join; then it ends as its parts have. (part_of, machine, attempt) is unique: a message that comes twice,
to two workers of a machine or after a crash, finds the part that is there.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from jobs import claims, terms
from jobs.models import EVERY_MACHINE, Run
from jobs.states import ACTIVE, WAITING, State
from scheduler_app import routing

# How long machines may join when the schedule does not say: as long as a machine's queue lasts without a worker.
WINDOW = timedelta(minutes=10)
# A part whose worker ended between making and claiming it is sent to its machine after this.
SENT_AFTER = timedelta(seconds=60)
LONGEST_KEY = 100


def whole(
    route: dict[str, Any], exclusive_key: str | None, overlap: str, *, expires_at: datetime | None, now: datetime
) -> dict[str, Any]:
    """Return the columns of a run of every machine; on each, its parts exclude each other as *overlap* says."""
    said = {"exclusive_key": exclusive_key, "overlap": overlap} if exclusive_key else {}
    return {
        "machine": EVERY_MACHINE,
        "exclusive_key": None,
        "route": {**route, **said},
        "expires_at": expires_at or now + WINDOW,
    }


def is_whole(route: dict[str, Any] | None) -> bool:
    """Tell whether *route* leads to every machine."""
    return route is not None and route.get("exchange") == routing.MACHINES


def join(run_id: int, attempt: int, *, machine: str, now: datetime) -> int | None:
    """Return the part that *machine* has in the run, made now if there is none; None when it is too late to join."""
    with transaction.atomic():
        # Locked: its end waits for this, and this for its cancelling.
        found = Run.objects.select_for_update().filter(pk=run_id, attempt=attempt, machine=EVERY_MACHINE)
        of = found.filter(state__in=sorted(WAITING), expires_at__gt=now).first()
        if of is None:
            return None
        parts = Run.objects.filter(part_of=of.pk, machine=machine, attempt=attempt).values_list("pk", flat=True)
        if not parts.exists():
            _make(of, machine, now)
        return parts.get()


def end_whole(now: datetime) -> int:
    """End the runs of every machine that nobody can join any more and whose parts have ended; return how many."""
    over = Run.objects.filter(machine=EVERY_MACHINE, finished_at=None, expires_at__lte=now)
    return sum(_end(run, now) for run in over[: claims.BATCH])


def parts_of(run_id: int) -> QuerySet[Run]:
    return Run.objects.filter(part_of=run_id).order_by("machine", "attempt")


def _make(of: Run, machine: str, now: datetime) -> None:
    route = dict(of.route or {})
    key, overlap = route.get("exclusive_key"), route.get("overlap")
    part = Run(
        **{name: getattr(of, name) for name in claims.KEPT_BY_AN_ATTEMPT},
        attempt=of.attempt,
        expires_at=of.expires_at,
        terms=terms.kept(of.terms),
        reason=f"run {of.pk} is for every machine",
        created_at=now,
        dispatch_at=now + SENT_AFTER,
    )
    part.machine, part.part_of = machine, of.pk
    part.route = {"queue": routing.queue_of_machine(machine)}
    part.exclusive_key = _key_of(str(key), machine) if key else None
    ahead = Run.objects.filter(exclusive_key=part.exclusive_key, state__in=sorted(ACTIVE)).first() if key else None
    if ahead is not None and overlap == "skip":
        part.state, part.finished_at, part.dispatch_at = State.SKIPPED, now, None
        part.reason = f"the previous run ({ahead.pk}) was still going on {machine}"
    part.save()
    if ahead is not None and overlap == "replace":
        claims.replace(str(part.exclusive_key), by=part.pk, now=now)


def _key_of(key: str, machine: str) -> str:
    own = f"{key}@{machine}"
    return own if len(own) <= LONGEST_KEY else hashlib.sha256(own.encode()).hexdigest()


def _end(run: Run, now: datetime) -> bool:
    with transaction.atomic():
        mine = Run.objects.select_for_update().filter(pk=run.pk, state__in=sorted(WAITING)).first()
        # The last attempt of each machine is what counts.
        last = {part.machine: part for part in parts_of(run.pk)}
        if mine is None or any(part.finished_at is None for part in last.values()):
            return False
        bad = [f"{part.machine} ({State(part.state).label.lower()})" for part in last.values() if _went_wrong(part)]
        if not last:
            state, reason = State.MISSED, "no machine took it before it expired"
        elif bad:
            state, reason = State.FAILED, f"not done on {', '.join(bad)}"
        else:
            state, reason = State.SUCCEEDED, f"done on {', '.join(last)}"
        return claims.end_waiting(mine, state, reason, now)


def _went_wrong(part: Run) -> bool:
    return part.state not in {State.SUCCEEDED, State.SKIPPED}
