"""How many runs of a job may go on at once, and how often one may start, whatever the number of workers.

Kept at the claim: a row a job is locked there, so that two workers decide one after the other. A run whose turn has not
come is put off; it keeps its place in `dispatch_at`, as everything that waits.
"""

import random
from datetime import datetime, timedelta
from typing import NamedTuple

from jobs import terms
from jobs.models import JobLimit, Run
from jobs.states import State

# A run that waits for another to end is sent when one does; by itself it looks again after this, and up to half more.
LOOK_AGAIN = timedelta(seconds=60)
# How late a run may come for the moment it was given, before it needs another one: the way through the broker.
LATE = timedelta(seconds=5)


class Limits(NamedTuple):
    """*pause* is the time from one start to the next."""

    max_running: int | None = None
    pause: timedelta | None = None


class Wait(NamedTuple):
    """Until when a run is put off and why; *turn* is the moment that is kept for it."""

    until: datetime
    reason: str
    turn: datetime | None = None


NONE = Limits()


def wait_of(run: Run, limits: Limits, now: datetime) -> Wait | None:
    """Return how long *run* has to wait, None when it may start now; inside the transaction that claims it."""
    if limits == NONE:
        return None
    JobLimit.objects.get_or_create(job=run.job, defaults={"next_start_at": now})
    row = JobLimit.objects.select_for_update().get(job=run.job)
    if limits.max_running is not None:
        going = Run.objects.filter(state=State.RUNNING, job=run.job).count()
        if going >= limits.max_running:
            again = LOOK_AGAIN * (1 + random.random() / 2)  # noqa: S311 - nothing secret
            return Wait(
                now + again, f"waits: of its job, {going} runs go on, and no more than {limits.max_running} may"
            )
    if limits.pause is None:
        return None
    turn = terms.turn_of(run.terms)
    if turn is None or turn + LATE < now:
        turn = max(now, row.next_start_at)
        JobLimit.objects.filter(pk=row.pk).update(next_start_at=turn + limits.pause)
    if turn <= now:
        return None
    return Wait(turn, f"waits for its turn: its job is started every {limits.pause.total_seconds():g} s at most", turn)
