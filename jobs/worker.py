"""What a Celery worker does beside its tasks: say that it is alive, and end its jobs in time when it is stopped."""

from datetime import datetime
from typing import Any

from celery import signals
from django.conf import settings

from jobs import stopping
from jobs.models import Service
from jobs.services import AliveThread, ServiceRecord
from scheduler_app import lifeline, routing

# Without a supervisor nobody waits for the jobs; the lifeline's own limit is 8 s.
ORPHAN_LIMIT = 3.0

_alive: AliveThread | None = None


def connect() -> None:
    """Attach to Celery's worker signals; called once the models are loaded."""
    signals.worker_ready.connect(_ready, weak=False)
    signals.worker_shutting_down.connect(_shutting_down, weak=False)
    signals.worker_shutdown.connect(_gone, weak=False)
    # Jobs are ended, and their outcome is written down, before the worker goes: Celery's own quick stop drops them.
    lifeline.on_hurry(lambda: stopping.begin(0))


def broker_away(since: datetime | None, why: str = "") -> None:
    """Note since when the worker does not reach the broker, and why; None: it does."""
    if _alive is not None:
        _alive.broker_away(since, why)


def _ready(sender: Any, **_: Any) -> None:
    global _alive  # noqa: PLW0603 - one worker a process
    queues = set(sender.app.amqp.queues.consume_from) - {routing.DEAD_QUEUE}
    _alive = AliveThread(ServiceRecord(Service.Kind.WORKER, queues, sender.pool.num_processes))
    _alive.start()


def _shutting_down(**_: Any) -> None:
    orphaned = lifeline.ended == "orphaned"
    stopping.begin(ORPHAN_LIMIT if orphaned else settings.SCHEDULER.worker.stop_limit)


def _gone(**_: Any) -> None:
    if _alive is not None:
        _alive.stop()
