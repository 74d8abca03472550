"""The start page: is all well, what runs, what comes next, what ran last."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from beat_config import pausing
from beat_config.models import SchedulePolicy
from jobs import catalogue, wording
from jobs.models import Run, Service
from jobs.services import INTERVAL
from jobs.states import State

SHOWN = 8
# A service is missed after three times without its sign of life.
MISSED_AFTER = timedelta(seconds=3 * INTERVAL)


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
    found += [
        f"The schedule {policy.schedule.name} cannot run: {policy.error}."
        for policy in SchedulePolicy.objects.exclude(error="").select_related("schedule")[:SHOWN]
    ]
    found += [
        f"{problem.file} in the jobs folder {settings.SCHEDULER_PATHS.jobs} cannot be used: {problem.message}"
        for problem in catalogue.registry().problems
    ]
    return found


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
