"""What runs the jobs: beats, workers, queues, broker, database and disk, each with how it does."""

import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.template.defaultfilters import filesizeformat

from jobs import destinations, services, wording
from jobs.models import EVERY_MACHINE, Run, Service
from jobs.services import MISSED_AFTER
from jobs.states import State
from scheduler_app import broker

# Of a long queue so many are looked at: enough to say "at least".
MOST_WAITING = 1_000
# Since when a service that was not stopped, and is not heard of, is still listed.
SILENT_FOR = timedelta(hours=1)
LOW_DISK = 1 << 30


@dataclass(frozen=True, slots=True)
class Part:
    """*is_well* is None where nothing can be said."""

    kind: str
    name: str
    words: str
    is_well: bool | None = True


@dataclass(frozen=True, slots=True)
class Queue:
    """*is_read* is None where no worker has said what it reads."""

    name: str
    waiting: int
    is_read: bool | None


def parts(now: datetime) -> list[Part]:
    """Return everything, in the order in which a run meets it."""
    heard = Service.objects.filter(seen_at__gte=now - SILENT_FOR).order_by("kind", "host", "started_at")
    return [*(_service(each, now) for each in heard), *_queues(now), _broker(now), _database(), _disk()]


def waiting_queues(now: datetime) -> list[Queue]:
    """Return the queues in which runs wait, as far as the database knows, the longest first."""
    # A run of every machine stays queued while machines may join: it waits for nobody.
    queued = Run.objects.filter(state=State.QUEUED).exclude(machine=EVERY_MACHINE).order_by("-pk")
    waiting = Counter(map(_whom, queued.values_list("route", flat=True)[:MOST_WAITING]))
    workers = [worker for worker in services.alive(now) if worker.kind == Service.Kind.WORKER]
    read = {queue for worker in workers for queue in worker.queues}
    # One started by an older version does not say what it reads.
    all_tell = bool(workers) and all(worker.queues for worker in workers)
    return [
        Queue(name, count, queue in read if all_tell and queue else None)
        for (queue, name), count in waiting.most_common()
    ]


def _whom(route: dict[str, Any] | None) -> tuple[str | None, str]:
    queue = destinations.queue_of(route)
    return queue, destinations.people_say(queue) if queue else destinations.words(route)


def _service(service: Service, now: datetime) -> Part:
    what = "Beat" if service.kind == Service.Kind.BEAT else "Worker"
    name = f"{service.host}, process {service.pid}"
    if service.seen_at < now - MISSED_AFTER:
        return Part(what, name, f"silent since {wording.local(service.seen_at, now)}", is_well=False)
    if service.broker_away_since:
        return Part(what, name, f"without a broker since {wording.local(service.broker_away_since, now)}", False)
    since = f"since {wording.local(service.started_at, now)}"
    if service.kind == Service.Kind.BEAT:
        return Part(what, name, f"schedules and sends runs, {since}")
    takes = ", ".join(map(destinations.people_say, service.queues))
    runs = f"{service.slots} at a time" if service.slots > 1 else "one at a time"
    return Part(what, name, f"{runs}, {since}" + (f"; takes {takes}" if takes else ""))


def _queues(now: datetime) -> list[Part]:
    queues = waiting_queues(now)
    if not queues:
        return [Part("Queues", "all", "nothing waits for a worker")]
    return [
        Part(
            "Queue",
            queue.name,
            f"{'at least ' if queue.waiting >= MOST_WAITING else ''}{queue.waiting:,} waiting"
            + (", and no worker takes it" if queue.is_read is False else ""),
            is_well=queue.is_read,
        )
        for queue in queues
    ]


def _broker(now: datetime) -> Part:
    beats = services.alive(now).filter(kind=Service.Kind.BEAT)
    is_well = all(beat.broker_away_since is None for beat in beats) if beats else None
    try:
        choice = broker.choose(settings.SCHEDULER, settings.SCHEDULER_PATHS)
    except broker.BrokerError as error:
        return Part("Broker", "none", str(error), is_well=False)
    words = "answers" if is_well else "does not answer" if is_well is False else "no beat runs that could tell"
    return Part("Broker", _BROKERS[choice.kind], words, is_well)


_BROKERS = {"embedded": "built in", "private": "RabbitMQ, our own", "configured": "as configured"}


def _database() -> Part:
    if connection.vendor == "sqlite":
        file = Path(connection.settings_dict["NAME"])
        size = sum(each.stat().st_size for each in (file, file.with_name(f"{file.name}-wal")) if each.exists())
        return Part("Database", "SQLite", f"{filesizeformat(size)}, {file}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        (size,) = cursor.fetchone()
    return Part("Database", "PostgreSQL", filesizeformat(size))


def _disk() -> Part:
    folder = settings.SCHEDULER_PATHS.data
    free = shutil.disk_usage(folder).free
    return Part("Disk", str(folder), f"{filesizeformat(free)} free", is_well=free > LOW_DISK)
