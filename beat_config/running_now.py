"""A schedule's job, started by a person and not by its time."""

from typing import Any

from django.utils import timezone

from beat_config.models import Schedule
from beat_config.places import route_of
from beat_config.schedules import exclusive_key, parameters_of
from jobs import machines, starting
from jobs.models import Run


def run_now(schedule: Schedule, *, by: str) -> Run:
    """Record a run of *schedule* that goes to a worker at once; ArgumentsError where it says no parameters."""
    route, key = route_of(schedule), exclusive_key(schedule.policy)
    columns: dict[str, Any] = {"route": route, "exclusive_key": key}
    if route and machines.is_whole(route):
        columns = machines.whole(route, key, schedule.policy.overlap, expires_at=None, now=timezone.now())
    return starting.start(schedule.task, parameters_of(schedule), by=by, schedule=schedule, **columns)
