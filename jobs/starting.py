"""Runs that no schedule asked for: started by hand, or again."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from jobs import audit, catalogue, machines, terms
from jobs.models import EVERY_MACHINE, Origin, Run


def start(
    job: str,
    parameters: dict[str, Any],
    *,
    by: str,
    origin: Origin = Origin.MANUAL,
    at: datetime | None = None,
    schedule: Any = None,
    **columns: Any,
) -> Run:
    """Record a run that goes to a worker at once or *at* a moment, and when no run with its exclusive key runs.

    *schedule* is the `PeriodicTask` it is a run of, if any; *columns* are what its policies say.
    """
    return Run.objects.create(
        schedule=schedule,
        schedule_name=schedule.name if schedule else "",
        job=job,
        parameters=parameters,
        origin=origin,
        requested_by=by,
        dispatch_at=at or timezone.now(),
        **columns,
    )


def start_again(run: Run, *, by: str, parameters: dict[str, Any] | None = None) -> Run:
    """Record a new run with the job, way, policies and key of *run*, on its machine or on all of them.

    Its parameters are those of *run*, too, unless others are given, which are checked already.
    """
    now = timezone.now()
    changed = {} if parameters is None else {"Parameters": dict(catalogue.shown_parameters(run.job, parameters))}
    with transaction.atomic():
        new = Run.objects.create(
            schedule_id=run.schedule_id,
            schedule_name=run.schedule_name,
            job=run.job,
            parameters=run.parameters if parameters is None else parameters,
            time_limit=run.time_limit,
            route=run.route,
            machine=run.machine,
            expires_at=now + machines.WINDOW if run.machine == EVERY_MACHINE else None,
            exclusive_key=run.exclusive_key,
            max_attempts=run.max_attempts,
            terms=terms.kept(run.terms),
            origin=Origin.MANUAL,
            requested_by=by,
            dispatch_at=now,
        )
        audit.record(by, audit.Action.RUN, run, None, {"Run": new.pk, **changed})
    return new
