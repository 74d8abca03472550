"""Runs that no schedule asked for: started by hand, or again."""

from typing import Any

from django.utils import timezone

from jobs.models import Origin, Run


def start(
    job: str,
    parameters: dict[str, Any],
    *,
    by: str,
    schedule: Any = None,
    exclusive_key: str | None = None,
    route: dict[str, object] | None = None,
) -> Run:
    """Record a run that goes to a worker at once, or when no run with its *exclusive_key* runs any more.

    *schedule* is the `PeriodicTask` it is a run of, if any.
    """
    return Run.objects.create(
        schedule=schedule,
        schedule_name=schedule.name if schedule else "",
        job=job,
        parameters=parameters,
        exclusive_key=exclusive_key,
        route=route,
        origin=Origin.MANUAL,
        requested_by=by,
        dispatch_at=timezone.now(),
    )


def start_again(run: Run, *, by: str) -> Run:
    """Record a new run with the job, parameters, route and exclusive key of *run*."""
    return Run.objects.create(
        schedule_id=run.schedule_id,
        schedule_name=run.schedule_name,
        job=run.job,
        parameters=run.parameters,
        time_limit=run.time_limit,
        route=run.route,
        exclusive_key=run.exclusive_key,
        origin=Origin.MANUAL,
        requested_by=by,
        dispatch_at=timezone.now(),
    )
