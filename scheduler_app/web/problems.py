"""What keeps jobs from running, each in a sentence with what to do: for the overview and the tray."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.urls import reverse

from beat_config.models import SchedulePolicy
from jobs import catalogue, services, wording
from jobs.models import RefusedMessage, Service
from scheduler_app import ballast
from scheduler_app.broker_store import set_aside_at, stores_set_aside
from scheduler_app.web.machinery import waiting_queues

SHOWN = 8
# How long a store that was set aside is news.
TOLD_FOR = timedelta(days=14)
REFUSED_LATELY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Problem:
    """*sentence* says what is wrong and what to do; *address* leads to where that is done, under the name *link*."""

    sentence: str
    link: str = ""
    address: str = ""

    def __str__(self) -> str:
        return self.sentence


def problems(now: datetime) -> list[Problem]:
    """Return all there are; empty when all is well."""
    found = [*_services(now), *_disk(), *_broker(now), *_queues(now), *_schedules()]
    for problem in catalogue.registry().problems:
        folder = settings.SCHEDULER_PATHS.jobs
        found.append(Problem(f"{problem.file} in the jobs folder {folder} cannot be used: {problem.message}"))
    lately = RefusedMessage.objects.filter(repeat=False, received_at__gte=now - REFUSED_LATELY).count()
    if lately:
        sentence = f"{lately} messages from the broker were refused within an hour: see Refused messages for why."
        found.append(Problem(sentence, "Refused messages", reverse("admin:jobs_refusedmessage_changelist")))
    return found


def _services(now: datetime) -> Iterator[Problem]:
    alive = set(services.alive(now).values_list("kind", flat=True))
    if Service.Kind.BEAT not in alive:
        yield Problem("Nothing is being scheduled: no beat runs. Start it with scheduler-app start.")
    if Service.Kind.WORKER not in alive:
        yield Problem("No job can run: there is no worker. Start it with scheduler-app start.")


def _disk() -> Iterator[Problem]:
    if connection.vendor == "sqlite":
        full = ballast.problem(settings.SCHEDULER_PATHS.ballast, settings.SCHEDULER.retention.ballast)
        if full:
            yield Problem(full)


def _schedules() -> Iterator[Problem]:
    failing = SchedulePolicy.objects.filter(error_at__isnull=False).select_related("schedule").order_by("error_at")
    for policy in failing[:SHOWN]:
        address = reverse("admin:beat_config_schedule_change", args=[policy.pk])
        yield Problem(f"The schedule {policy.schedule.name} cannot run: {policy.error}.", "Open it", address)


def _queues(now: datetime) -> Iterator[Problem]:
    for queue in waiting_queues(now):
        if queue.is_read is False:
            runs = "1 run waits" if queue.waiting == 1 else f"{queue.waiting:,} runs wait"
            yield Problem(
                f"{runs} for {queue.name}, which no running worker takes: start a worker that does, or change where the"
                " schedule runs.",
                "The waiting runs",
                f"{reverse('admin:jobs_run_changelist')}?state__exact=queued",
            )


def _broker(now: datetime) -> Iterator[Problem]:
    away = services.alive(now).filter(broker_away_since__isnull=False).order_by("broker_away_since")
    if beat := away.filter(kind=Service.Kind.BEAT).first():
        since = wording.local(beat.broker_away_since, now)
        why = f" ({beat.broker_problem})" if beat.broker_problem else ""
        yield Problem(
            f"The message broker has not answered since {since}{why}: runs wait, and are sent when it is back."
        )
    else:
        for worker in away[:SHOWN]:
            since = wording.local(worker.broker_away_since, now)
            why = f" ({worker.broker_problem})" if worker.broker_problem else ""
            yield Problem(
                f"A worker on {worker.host} has not reached the message broker since {since}{why}: it takes no new runs"
                " until it does."
            )
    for store in stores_set_aside(settings.SCHEDULER_PATHS)[:1]:
        at = set_aside_at(store)
        if now - at < TOLD_FOR:
            yield Problem(
                "RabbitMQ could not use its message store any more and got a new one at"
                f" {wording.local(at, now)}. No run was lost: what waited in it was sent again. The old store is kept"
                f" in {store}; this message ends when you delete it."
            )
