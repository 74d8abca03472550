"""Beat and workers say that they are alive, in a table that the supervisor and the admin read."""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.utils import timezone

from jobs.models import Service

logger = logging.getLogger(__name__)

INTERVAL = 5.0
# A service is missed after three times without its sign of life.
MISSED_AFTER = timedelta(seconds=3 * INTERVAL)
FORGET_AFTER = timedelta(days=1)
LONGEST_PROBLEM = 300


def alive(now: datetime) -> "QuerySet[Service]":
    """Return the beats and workers that gave a sign of life lately."""
    return Service.objects.filter(seen_at__gte=now - MISSED_AFTER)


class ServiceRecord:
    """This process's row. The supervisor names it by SCHEDULER_SERVICE_ID; started by hand it names itself."""

    def __init__(self, kind: Service.Kind, queues: Iterable[str] = (), slots: int = 0) -> None:
        host, pid = socket.gethostname(), os.getpid()
        self.instance = os.environ.get("SCHEDULER_SERVICE_ID") or f"{kind}@{host}:{pid}:{uuid.uuid4().hex[:8]}"
        self.broker_away_since: datetime | None = None
        self.broker_problem = ""
        self._columns = {
            "kind": kind,
            "host": host,
            "pid": pid,
            "started_at": timezone.now(),
            "queues": sorted(queues),
            "slots": slots,
        }

    def write(self, now: datetime) -> None:
        """Say alive; the first time, also forget services that nobody has seen for a day."""
        changing = {
            "seen_at": now,
            "broker_away_since": self.broker_away_since,
            "broker_problem": self.broker_problem[:LONGEST_PROBLEM] if self.broker_away_since else "",
        }
        if Service.objects.filter(instance=self.instance).update(**changing) == 1:
            return
        Service.objects.filter(seen_at__lt=now - FORGET_AFTER).delete()
        Service.objects.update_or_create(instance=self.instance, defaults={**self._columns, **changing})

    def remove(self) -> None:
        Service.objects.filter(instance=self.instance).delete()


class AliveThread(threading.Thread):
    """Writes a worker's record every INTERVAL seconds; a solo worker is busy with its job meanwhile."""

    def __init__(self, record: ServiceRecord) -> None:
        super().__init__(name="alive", daemon=True)
        self._record = record
        self._stopping = threading.Event()
        self._news = threading.Event()

    def broker_away(self, since: datetime | None, why: str) -> None:
        """Write at once since when the worker does not reach the broker, and why; None: it does."""
        if since != self._record.broker_away_since:
            self._record.broker_away_since, self._record.broker_problem = since, why
            self._news.set()

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()
        self.join()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._record.write(timezone.now())
                except DatabaseError as error:
                    logger.warning("cannot say in the database that this worker is alive: %s", error)
                    connection.close_if_unusable_or_obsolete()
                self._news.wait(INTERVAL)
                self._news.clear()
            self._record.remove()
        except DatabaseError as error:
            logger.warning("cannot take this worker off the database's list: %s", error)
        finally:
            connection.close()
