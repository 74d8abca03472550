"""A schedule's job, started by a person and not by its time."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from beat_config.models import Schedule
from beat_config.places import route_of
from beat_config.schedules import columns_of, parameters_of
from jobs import audit, machines, starting
from jobs.models import Origin, Run


def run_now(
    schedule: Schedule, *, by: str, origin: Origin = Origin.MANUAL, parameters: dict[str, Any] | None = None
) -> Run:
    """Record a run of *schedule* that goes to a worker at once; ArgumentsError where it says no parameters.

    *parameters* are what to run it with instead of its own.
    """
    columns = columns_of(schedule.policy)
    columns["route"] = route_of(schedule)
    if columns["route"] and machines.is_whole(columns["route"]):
        key, overlap = columns["exclusive_key"], schedule.policy.overlap
        columns |= machines.whole(columns["route"], key, overlap, expires_at=None, now=timezone.now())
    with transaction.atomic():
        given = parameters_of(schedule) if parameters is None else parameters
        run = starting.start(schedule.task, given, by=by, origin=origin, schedule=schedule, **columns)
        audit.record(by, audit.Action.RUN, schedule, None, {"Run": run.pk})
    return run
