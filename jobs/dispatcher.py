"""The one way a run gets to the broker: take what is due to be sent, publish it, mark it queued."""

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import DatabaseError, connection, transaction
from django.db.models import Case, F, QuerySet, Value, When
from django.utils import timezone

from jobs.bulk import Among, among, listed, moment
from jobs.envelope import Way
from jobs.messages import Message
from jobs.models import Run
from jobs.publisher import BrokerUnavailable, Publisher, Shipment
from jobs.rows import reader
from jobs.states import WAITING, State
from scheduler_app import routing

logger = logging.getLogger(__name__)

BATCH = 1_000
POLL = 0.2
# How long a taken row stays away from other dispatchers: longer than a batch can wait for its confirms.
TAKEN_FOR = timedelta(seconds=60)
# A queued run is sent again after this long; the second message is harmless, only one claim succeeds.
SEND_AGAIN_AFTER = timedelta(minutes=15)
# What a broker that was restarted had been sent: soon, but not what workers take from it meanwhile.
FORGOTTEN_AGAIN_AFTER = timedelta(seconds=10)
REFUSED_AGAIN_AFTER = timedelta(seconds=30)
# With the publisher's own time-outs this sends again within 10 s of the broker's return.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 3.0
# The broker is asked this often whether it is there and remembers, also while there is nothing to send.
LOOK_EVERY = 3.0
# A broker that stays away is a line in the log this often, not a line for each try.
SAY_AGAIN_AFTER = 30.0


class _Taken(NamedTuple):
    """What is sent of a run; the names are those of its columns."""

    id: int
    attempt: int
    fire_time: datetime | None
    expires_at: datetime | None
    route: Mapping[str, Any] | None


class Dispatcher:
    """Sends waiting runs through *publisher*; any number of dispatchers may work on one database."""

    def __init__(
        self, publisher: Publisher, default_queue: str, turns: AbstractContextManager[None] | None = None
    ) -> None:
        self._publisher = publisher
        # Held for each transaction, never while it waits for the broker.
        self._turns = nullcontext() if turns is None else turns
        self._usual_way = Way(default_queue)

    def send_due(self, now: datetime) -> int:
        """Send a batch of the runs that are due to be sent; return how many the broker took over.

        Raises BrokerUnavailable after giving the batch back, so that it goes first when the broker is back.
        """
        runs = self._take(now)
        if not runs:
            return 0
        try:
            receipt = self._publisher.publish([self._shipment(run, now) for run in runs])
        except BrokerUnavailable:
            with self._turns:
                _waiting(run.id for run in runs).update(dispatch_at=now)
            raise
        with self._turns, transaction.atomic():
            first = When(state=State.PENDING, then=Value(timezone.now()))
            _waiting(receipt.confirmed).update(
                state=State.QUEUED,
                queued_at=Case(first, default=F("queued_at")),
                reason="",
                dispatch_at=now + SEND_AGAIN_AFTER,
            )
            for run_id, reason in receipt.refused.items():
                logger.warning("Run %s %s", run_id, reason)
                _waiting([run_id]).update(reason=reason, dispatch_at=now + REFUSED_AGAIN_AFTER)
        return len(receipt.confirmed)

    def look_at_broker(self, now: datetime) -> int:
        """Send again soon what is at a broker that was restarted or made anew; return how many runs that are.

        Raises BrokerUnavailable.
        """
        if not self._publisher.has_been_forgotten():
            return 0
        soon = now + FORGOTTEN_AGAIN_AFTER
        with self._turns:
            again = Run.objects.filter(state=State.QUEUED, dispatch_at__gt=soon).update(dispatch_at=soon)
        self._publisher.remember()  # last: a beat that is killed before this looks again
        return again

    def close(self) -> None:
        self._publisher.close()

    def _take(self, now: datetime) -> Sequence[_Taken]:
        due = Run.objects.filter(dispatch_at__lte=now)  # which only those that wait have
        if not due.exists():  # without opening a write transaction, which on SQLite keeps others out
            return []
        # In SQL: Django takes three times as long, for the moments above all.
        read = reader(Run, "run", only=_Taken._fields)
        locking = " FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update else ""
        with self._turns, transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {read.columns} FROM jobs_run run WHERE dispatch_at <= %s"  # noqa: S608 - names of our own columns
                f" ORDER BY dispatch_at, id LIMIT {BATCH}{locking}",
                [moment(now)],
            )
            runs = [_Taken(*row) for row in read.rows(cursor.fetchall())]
            cursor.execute(
                f"UPDATE jobs_run SET dispatch_at = %s WHERE {among('id')}",  # noqa: S608 - as above
                [moment(now + TAKEN_FOR), listed(run.id for run in runs)],
            )
        return runs

    def _shipment(self, run: _Taken, now: datetime) -> Shipment:
        message = Message.of_run(run.id, run.attempt, fire_time=run.fire_time, expires_at=run.expires_at, now=now)
        return Shipment(message, self._usual_way if run.route is None else self._way(run.route))

    def _way(self, route: Mapping[str, Any]) -> Way:
        exchange, queue = route.get("exchange", ""), route.get("queue", routing.ANY)
        headers = route.get("headers", {})
        # The default exchange routes by the name of the queue.
        key = self._usual_way.routing_key if queue == routing.ANY else queue
        return Way(
            routing_key=route.get("routing_key", "") if exchange else key,
            exchange=exchange,
            priority=route.get("priority"),
            headers=routing.asked(headers) if exchange == routing.LABELS else headers,
        )


class DispatchThread(threading.Thread):
    """Sends what waits, for as long as it lives: at once when woken, at the latest every POLL seconds."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._dispatcher = dispatcher
        self._work = threading.Event()
        self._stopping = threading.Event()
        self._said_at: float | None = None
        self._look_at = 0.0
        self.broker_away_since: datetime | None = None
        self.broker_problem = ""

    def wake(self) -> None:
        self._work.set()

    def stop(self) -> None:
        """End the thread after the batch it is sending; wait for that."""
        self._stopping.set()
        self._work.set()
        self.join()

    def run(self) -> None:
        pause = FIRST_PAUSE
        try:
            while not self._stopping.is_set():
                try:
                    self._look()
                    if not self._dispatcher.send_due(timezone.now()):
                        self._work.wait(POLL)
                        self._work.clear()
                    self._works()
                    pause = FIRST_PAUSE
                except (BrokerUnavailable, DatabaseError) as error:
                    if isinstance(error, BrokerUnavailable):
                        self.broker_away_since = self.broker_away_since or timezone.now()
                        self.broker_problem = str(error)
                    self._look_at = 0.0
                    self._fails(error)
                    connection.close_if_unusable_or_obsolete()
                    self._stopping.wait(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            self._dispatcher.close()
            connection.close()

    def _look(self) -> None:
        if time.monotonic() < self._look_at:
            return
        if again := self._dispatcher.look_at_broker(timezone.now()):
            logger.warning("the broker was restarted: %s runs that wait at it are sent again", again)
        self.broker_away_since = None
        self._look_at = time.monotonic() + LOOK_EVERY

    def _fails(self, error: Exception) -> None:
        now = time.monotonic()
        if self._said_at is None or now - self._said_at >= SAY_AGAIN_AFTER:
            logger.warning("%s; trying again, runs wait meanwhile", error)
            self._said_at = now

    def _works(self) -> None:
        if self._said_at is not None:
            logger.info("sending again")
            self._said_at = None


def _waiting(ids: Iterable[int]) -> QuerySet[Run]:
    # Not `state__in=WAITING`: SQLite would read all that wait, to find these.
    return Run.objects.filter(Among(F("pk"), list(ids))).exclude(state__in=sorted(set(State) - WAITING))
