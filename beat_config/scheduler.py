"""Celery beat's scheduler class: record what is due, have it sent, heal what was left behind."""

import gc
import logging
import time
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from celery.beat import Scheduler
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from beat_config import recorder, time_zones
from beat_config.alert_thread import AlertThread
from jobs import claims, leftovers, machines
from jobs.dispatcher import Dispatcher, DispatchThread
from jobs.keeping import KeepingThread
from jobs.models import Service
from jobs.publisher import Publisher
from jobs.services import INTERVAL, ServiceRecord
from jobs.standstill import Standstill
from jobs.turns import Turns
from scheduler_app import pulse

logger = logging.getLogger(__name__)

# An edit, and a jump of the clock, is noticed after this long at the latest; one look is one step into an index.
POLL = 0.1
RETRY = 1.0


class DueScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Fires what the database says is due; set as the application's beat_scheduler.

    Any number of beats may run at the same time: rows are locked while they are decided on, and a fire
    has one decision by a unique constraint.
    """

    max_interval = POLL

    def setup_schedule(self) -> None:
        publisher = Publisher(self.app, settings.SECRET_KEY, owns_broker=self.app.conf.get("owns_broker", False))
        # PostgreSQL's writers do not wait for each other.
        self._turns = Turns() if connection.vendor == "sqlite" else nullcontext()
        self._dispatching = DispatchThread(Dispatcher(publisher, self.app.conf.task_default_queue, self._turns))
        self._record = ServiceRecord(Service.Kind.BEAT)
        self._standstill = Standstill(settings.SCHEDULER.worker.lease)
        self._chores_at = 0.0
        self._zones_are_known = False
        # What is there now stays: left out of every later collection, a burst costs a fifth less.
        gc.freeze()
        self._dispatching.start()
        self._keeping = KeepingThread(self._turns)
        self._keeping.start()
        self._alerting = AlertThread()
        self._alerting.start()

    def tick(self, *_: Any, **__: Any) -> float:
        """Do one round; return the seconds until the next."""
        pulse.show()
        try:
            return self._round(timezone.now())
        except DatabaseError as error:
            # Celery's beat would exit. What is due stays due: the cursor has not moved.
            logger.warning("cannot use the database, trying again in %g s: %s", RETRY, error)
            connection.close_if_unusable_or_obsolete()
            return RETRY

    def close(self) -> None:
        self._dispatching.stop()
        self._keeping.stop()
        self._alerting.stop()
        try:
            self._record.remove()
        except DatabaseError as error:
            logger.warning("cannot take this beat off the database's list: %s", error)

    def _round(self, now: datetime) -> float:
        if not self._zones_are_known:  # before anything fires by them
            time_zones.look_at_changed(time_zones.digests())
            self._zones_are_known = True
        if time.monotonic() >= self._chores_at:
            self._chores(now)
            self._chores_at = time.monotonic() + INTERVAL
        nearest = recorder.next_look()
        if nearest is None:
            return POLL
        if nearest > now:
            return min(POLL, (nearest - now).total_seconds())
        with self._turns:
            recorded = recorder.record_due(now)
        if not recorded:  # others are working on it
            return POLL
        self._dispatching.wake()
        return 0.0

    def _chores(self, now: datetime) -> None:
        self._record.broker_away_since = self._dispatching.broker_away_since
        self._record.broker_problem = self._dispatching.broker_problem
        self._record.write(now)
        if self._standstill.is_over(now, time.monotonic()):
            claims.interrupt_expired(now, leftovers.are_gone)
        claims.expire_waiting(now)
        machines.end_whole(now)
        claims.release_left_behind(now)
