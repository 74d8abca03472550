"""Beat's thread that keeps the history within its limits, and the ballast for a full disk."""

import logging
import threading
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from jobs.retention import Limits, Sweep
from scheduler_app import ballast

logger = logging.getLogger(__name__)

EVERY = 15 * 60.0
LOOK_EVERY = 5.0
# Between two steps of a sweep: others are to have the database, and the processor, most of the time.
PACE = 0.05
PACE_WHEN_FULL = 0.0


class KeepingThread(threading.Thread):
    """Sweeps every EVERY seconds; at once, after giving up the ballast, when the disk is full."""

    def __init__(self, turns: AbstractContextManager[Any]) -> None:
        super().__init__(name="retention", daemon=True)
        self._turns = turns
        self._stopping = threading.Event()
        self._ballast = settings.SCHEDULER_PATHS.ballast if connection.vendor == "sqlite" else None

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        wait = LOOK_EVERY
        try:
            while not self._stopping.wait(LOOK_EVERY):
                short = self._look_after_ballast()
                wait -= LOOK_EVERY
                if short or wait <= 0:
                    wait = EVERY
                    self._sweep(PACE_WHEN_FULL if short else PACE)
        finally:
            connection.close()

    def _look_after_ballast(self) -> bool:
        """Tell whether the ballast has just been given up."""
        if self._ballast is None:
            return False
        try:
            if not ballast.is_short(self._ballast.parent):
                ballast.take(self._ballast, settings.SCHEDULER.retention.ballast)
                return False
            given_up = ballast.give_up(self._ballast)
        except OSError as error:
            logger.warning("cannot look after the room on the disk of %s: %s", self._ballast.parent, error)
            return False
        if given_up:
            logger.warning("the disk of %s is full: the ballast is given up, old runs go", self._ballast.parent)
        return given_up

    def _sweep(self, pace: float) -> None:
        sweep = Sweep(limits(), timezone.now())
        steps = sweep.steps()
        try:
            while True:
                with self._turns:
                    done = next(steps, None)
                if done is None or self._stopping.wait(pace):
                    break
        except DatabaseError as error:
            logger.warning("cannot keep the history within its limits, trying again later: %s", error)
            connection.close_if_unusable_or_obsolete()
            return
        if pace == PACE_WHEN_FULL and connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # gives back what writing it down took
        if sweep.deleted or sweep.emptied:
            logger.info("history: %d runs deleted, the output of %d deleted", sweep.deleted, sweep.emptied)


def limits() -> Limits:
    configured = settings.SCHEDULER.retention
    return Limits(timedelta(days=configured.days), configured.runs_per_schedule, configured.output)
