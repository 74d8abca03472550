"""A run of what a schedule form says, once and without a schedule: to see whether it does what it should."""

from typing import Any

from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from beat_config import places
from beat_config.forms import ScheduleForm
from beat_config.models import Overlap
from beat_config.parameter_fields import PREFIX
from jobs import audit, catalogue, machines, starting, vault
from jobs.models import Run


def problems(form: ScheduleForm) -> dict[str, list[str]]:
    """Return what keeps the job of *form* from being run, by field; mistakes elsewhere do not."""
    form.full_clean()
    wrong = {name: errors for name, errors in form.errors.items() if name == "task" or name.startswith(PREFIX)}
    if not wrong and form.cleaned_data.get("parameters") is None:
        wrong["task"] = form.non_field_errors()
    return {name: [str(error) for error in errors] for name, errors in wrong.items()}


def start(form: ScheduleForm, *, by: str) -> Run:
    """Record a run of the *form* that has no such problem; it goes to a worker at once, where the form says."""
    cleaned = form.cleaned_data
    job = catalogue.registry()[cleaned["task"]]
    way = PeriodicTask()
    if cleaned.get("place") is not None:
        places.store(cleaned["place"], way)
    route = places.route_of(way)
    columns: dict[str, Any] = {"route": route, "time_limit": cleaned.get("time_limit")}
    if route is not None and machines.is_whole(route):
        columns |= machines.whole(route, None, Overlap.ALLOW, expires_at=None, now=timezone.now())
    with transaction.atomic():
        parameters, _ = vault.keep(job, cleaned["parameters"], owner=f"Test of {job.title}", by=by)
        run = starting.start(job.name, parameters, by=by, **columns)
        audit.record(by, audit.Action.RUN, run, None, {"Test run": job.title})
    return run
