"""The start page: is all well, what runs, what comes next, what ran last."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Min
from django.http import HttpRequest
from django.utils import timezone

from beat_config import pausing
from beat_config.models import SchedulePolicy
from jobs import catalogue, wording
from jobs.models import RefusedMessage, Run, Service
from jobs.services import INTERVAL
from jobs.states import State
from scheduler_app import ballast, platforms
from scheduler_app.broker_store import set_aside_at, stores_set_aside
from scheduler_app.config import Broker

SHOWN = 8
# How long a store that was set aside is news.
TOLD_FOR = timedelta(days=14)
# A service is missed after three times without its sign of life.
MISSED_AFTER = timedelta(seconds=3 * INTERVAL)
REFUSED_LATELY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class RunLine:
    run: Run
    state: str
    colour: str
    job: str
    took: str
    when: str


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to *context* what the start page shows; Unfold calls this."""
    now = timezone.now()
    context["problems"] = problems(now)
    context["broker_note"] = broker_note(settings.SCHEDULER.broker)
    if request.user.has_perm("jobs.view_run"):
        context["running"] = [
            _line(run, now) for run in Run.objects.filter(state=State.RUNNING).order_by("-id")[:SHOWN]
        ]
        context["latest"] = [_line(run, now) for run in Run.objects.order_by("-id")[:SHOWN]]
    if request.user.has_perm("beat_config.view_schedule"):
        context["pause"] = pausing.current(now)
        context["pause_lengths"] = pausing.LABELS
        policies = SchedulePolicy.objects.filter(
            next_fire_at__isnull=False, look_at__isnull=False, schedule__enabled=True, error=""
        )
        context["upcoming"] = [
            (policy, wording.moment(timezone.localtime(policy.next_fire_at), now))
            for policy in policies.select_related("schedule").order_by("look_at")[:SHOWN]
        ]
    return context


def problems(now: datetime) -> list[str]:
    """Return what keeps jobs from running, each with what to do; empty when all is well."""
    found = []
    alive = set(Service.objects.filter(seen_at__gte=now - MISSED_AFTER).values_list("kind", flat=True))
    if Service.Kind.BEAT not in alive:
        found.append("Nothing is being scheduled: no beat runs. Start it with scheduler-app start.")
    if Service.Kind.WORKER not in alive:
        found.append("No job can run: there is no worker. Start it with scheduler-app start.")
    size = settings.SCHEDULER.retention.ballast
    full = ballast.problem(settings.SCHEDULER_PATHS.ballast, size) if connection.vendor == "sqlite" else ""
    if full:
        found.append(full)
    found += _broker_problems(now)
    found += [
        f"The schedule {policy.schedule.name} cannot run: {policy.error}."
        for policy in SchedulePolicy.objects.exclude(error="").select_related("schedule")[:SHOWN]
    ]
    found += [
        f"{problem.file} in the jobs folder {settings.SCHEDULER_PATHS.jobs} cannot be used: {problem.message}"
        for problem in catalogue.registry().problems
    ]
    refused = RefusedMessage.objects.filter(repeat=False, received_at__gte=now - REFUSED_LATELY).count()
    if refused:
        found.append(f"{refused} messages from the broker were refused within an hour: see Refused messages for why.")
    return found


def broker_note(broker: Broker) -> str:
    """Return how to get RabbitMQ where the embedded broker is used for want of it; "" elsewhere."""
    if broker.kind != "auto" or broker.url is not None:
        return ""
    found = platforms.find_rabbitmq()
    if found is None:
        to_do = f"For RabbitMQ instead: {platforms.rabbitmq_install_hint()}, then scheduler-app restart."
    else:
        to_do = found.problem() and f"{found.problem()}."
    return to_do and f"Runs travel through the embedded broker. {to_do}"


def _broker_problems(now: datetime) -> list[str]:
    found = []
    away = Service.objects.filter(seen_at__gte=now - MISSED_AFTER, broker_away_since__isnull=False)
    if since := away.filter(kind=Service.Kind.BEAT).aggregate(since=Min("broker_away_since"))["since"]:
        found.append(
            f"The message broker has not answered since {_moment(since, now)}: runs wait, and are sent when it is back."
        )
    else:
        found += [
            f"A worker on {host} has not reached the message broker since {_moment(since, now)}: it takes no new runs"
            " until it does."
            for host, since in away.values_list("host", "broker_away_since")[:SHOWN]
        ]
    for store in stores_set_aside(settings.SCHEDULER_PATHS)[:1]:
        at = set_aside_at(store)
        if now - at < TOLD_FOR:
            found.append(
                f"RabbitMQ could not use its message store any more and got a new one at {_moment(at, now)}. No run was"
                f" lost: what waited in it was sent again. The old store is kept in {store}; this message ends when you"
                " delete it."
            )
    return found


def _moment(when: datetime | None, now: datetime) -> str:
    return wording.moment(timezone.localtime(when), now)


def _line(run: Run, now: datetime) -> RunLine:
    state = State(run.state)
    return RunLine(
        run=run,
        state=state.label,
        colour=wording.COLOURS[state],
        job=catalogue.title(run.job),
        took=wording.seconds(wording.duration(run, now)),
        when=wording.moment(timezone.localtime(run.created_at), now),
    )
