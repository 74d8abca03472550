"""A run that this worker holds, while it goes on: its lease, why it is to end, and its output in the database."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from jobs import claims, stopping
from jobs.claims import Claim, Hold, Outcome
from jobs.models import Run, RunOutput
from jobs.output import OutputBuffer
from jobs.states import State

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0
RENEWALS_A_LEASE = 3


class Holding:
    """Everything but the work itself. Its methods are called by one thread; `output` is fed by any."""

    def __init__(self, held: Claim, lease: timedelta, time_limit: timedelta | None) -> None:
        self._held = held
        self._lease = lease
        self._time_limit = time_limit.total_seconds() if time_limit else None
        self.output = OutputBuffer(settings.SCHEDULER.jobs.output_limit)
        self._started = time.monotonic()
        self._look_at = self._started + LOOK_EVERY
        self._renew_at = self._started + lease.total_seconds() / RENEWALS_A_LEASE
        self.lost = False  # another worker has the run by now

    def reason_to_end(self, now: float) -> Outcome | None:
        """Return why the work has to end, if it has to; renews the lease when that is due."""
        if self._time_limit is not None and now - self._started >= self._time_limit:
            return Outcome(State.TIMED_OUT, f"took longer than its time limit of {self._time_limit:g} s")
        if stopping.is_over():
            return Outcome(State.INTERRUPTED, "the worker was stopped before the job had ended")
        if now < self._look_at:
            return None
        self._look_at = now + LOOK_EVERY
        hold = self.guarded(self._ask)
        if hold is Hold.LOST:
            self.lost = True
            return Outcome(State.INTERRUPTED)
        if hold is Hold.CANCEL:
            reason = Run.objects.filter(pk=self._held.run.pk).values_list("reason", flat=True).first()
            return Outcome(State.CANCELLED, reason or "")
        return None

    def _ask(self) -> Hold:
        now = time.monotonic()
        if now < self._renew_at:
            return claims.look(self._held)
        self._renew_at = now + self._lease.total_seconds() / RENEWALS_A_LEASE
        return claims.renew(self._held, lease=self._lease, now=timezone.now())

    def save_output(self) -> None:
        """Write what has come since the last time; while the database is away it is kept for the next time."""
        self.guarded(self._write_output)

    def _write_output(self) -> None:
        changes = self.output.changes()
        run_id = self._held.run.pk
        try:
            if changes.dropped:
                RunOutput.objects.filter(run_id=run_id, number__range=changes.dropped).delete()
            if changes.added:
                RunOutput.objects.bulk_create(
                    RunOutput(run_id=run_id, number=piece.number, stream=piece.stream, data=bytes(piece.data))
                    for piece in changes.added
                )
        except DatabaseError:
            self.output.undo(changes)
            raise

    def guarded(self, action: Callable[[], Any]) -> Any:
        """Do *action*; while the database is away the job goes on, and the lease decides what becomes of it."""
        try:
            return action()
        except DatabaseError as error:
            logger.warning("run %s: the database does not answer: %s", self._held.run.pk, error)
            connection.close_if_unusable_or_obsolete()
            return None
