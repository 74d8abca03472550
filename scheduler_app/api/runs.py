"""Runs: the history, page by page; one run, cancelling it, running it again."""

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from http import HTTPStatus
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Status
from pydantic import Field

from beat_config.models import SchedulePolicy
from jobs import cancelling, catalogue, permissions, starting, wording
from jobs.kinds import MASK
from jobs.models import Origin, Run
from jobs.states import ACTIVE, State
from jobs.steps import steps_of
from scheduler_app.api.access import VIEW_RUN, Caller
from scheduler_app.api.asking import refuse_unknown
from scheduler_app.api.problems import At, Problem
from scheduler_app.api.shapes import LARGEST_ID, Id, Moment, RunOut, RunPage, RunWithSteps, Strict
from scheduler_app.web.tokens import Scope

router = Router(tags=["runs"])


class RunFilter(Strict):
    state: list[State] = Field(default_factory=list)
    schedule: Id | None = Field(None, description="The number of a schedule.")
    job: str | None = None
    origin: Origin | None = None
    since: Moment | None = Field(None, description="Recorded at this moment or later.")
    until: Moment | None = Field(None, description="Recorded before this moment.")
    cursor: str | None = None
    limit: int = Field(50, ge=1, le=200)


@router.get("", response=RunPage, summary="List runs, newest first")
def list_runs(request: HttpRequest, filters: Query[RunFilter]) -> dict[str, Any]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.READ, VIEW_RUN)
    refuse_unknown(request, RunFilter)
    history = visible(caller)
    wanted = {
        "state__in": sorted(filters.state),
        "schedule": filters.schedule,
        "job": filters.job,
        "origin": filters.origin,
        "created_at__gte": filters.since,
        "created_at__lt": filters.until,
        "pk__lt": _position(filters.cursor) if filters.cursor else None,
    }
    history = history.filter(**{name: value for name, value in wanted.items() if value not in (None, [])})
    rows = list(history.order_by("-pk")[: filters.limit + 1])
    page = rows[: filters.limit]
    return {"items": [shown(run) for run in page], "next": _cursor(page[-1].pk) if len(rows) > len(page) else None}


@router.get("/{run_id}", response=RunWithSteps, summary="One run, and how it came to where it is")
def show_run(request: HttpRequest, run_id: Id) -> dict[str, Any]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.READ, VIEW_RUN)
    run = found(caller, run_id)
    steps = [{"moment": step.moment, "sentence": step.sentence} for step in steps_of(run)]
    return {**shown(run), "steps": steps}


@router.post("/{run_id}/cancel", response={202: RunOut}, summary="Cancel a run")
def cancel_run(request: HttpRequest, run_id: Id) -> Status[dict[str, Any]]:
    """Return at once; a run that goes on ends within seconds."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.RUN, VIEW_RUN, permissions.RUN_SCHEDULE)
    run = found(caller, run_id)
    if not cancelling.cancel(run.pk, by=caller.name, now=timezone.now()):
        state = Run.objects.values_list("state", flat=True).get(pk=run.pk)
        raise Problem(HTTPStatus.CONFLICT, f"cannot cancel run {run.pk}: it has ended already ({state})")
    return Status(HTTPStatus.ACCEPTED, of_id(run.pk))


@router.post("/{run_id}/retry", response={201: RunOut}, summary="Run a run's job again, with the same parameters")
def retry_run(request: HttpRequest, response: HttpResponse, run_id: Id) -> Status[dict[str, Any]]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.RUN, VIEW_RUN, permissions.RUN_SCHEDULE)
    run = found(caller, run_id)
    jobs = catalogue.registry()
    if run.job in jobs:
        caller.need_job(jobs[run.job])
    new = starting.start_again(run, by=caller.name)
    response["Location"] = f"/api/v1/runs/{new.pk}"
    return Status(HTTPStatus.CREATED, shown(new))


def visible(caller: Caller) -> QuerySet[Run]:
    """Return the runs that the token may see: all, or those of schedules with its tags."""
    if not caller.tags:
        return Run.objects.all()
    return Run.objects.filter(schedule__in=SchedulePolicy.objects.filter(tags__name__in=caller.tags).values("pk"))


def of_id(run_id: int) -> dict[str, Any]:
    """Return the run as answers show it; only its number when retention has deleted it meanwhile."""
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        raise Problem(HTTPStatus.GONE, f"cannot show run {run_id}: it has been deleted from the history")
    return shown(run)


def shown(run: Run) -> dict[str, Any]:
    return {
        "id": run.pk,
        "state": run.state,
        "ended": run.state not in ACTIVE,
        "job": run.job,
        "schedule": {"id": run.schedule_id, "name": run.schedule_name} if run.schedule_id else None,
        "parameters": _masked(run),
        "origin": run.origin,
        "requested_by": run.requested_by,
        "reason": run.reason,
        "due": run.fire_time,
        "created": run.created_at,
        "not_before": wording.waits_until(run, timezone.now()),
        "expires": run.expires_at,
        "started": run.started_at,
        "finished": run.finished_at,
        "attempt": run.attempt,
        "max_attempts": run.max_attempts,
        "worker": run.worker,
        "machine": wording.machine(run),
        "exit_code": run.exit_code,
        "covers": run.covers,
        "log_size": run.output_size - run.output_dropped,
    }


def _masked(run: Run) -> dict[str, Any]:
    jobs = catalogue.registry()
    if run.job not in jobs:
        return dict(run.parameters)
    parameters: dict[str, Any] = run.parameters
    return jobs[run.job].map_secrets(parameters, lambda _, value: MASK if isinstance(value, str) else value)


def found(caller: Caller, run_id: int) -> Run:
    run = visible(caller).filter(pk=run_id).first()
    if run is None:
        detail = f"cannot find run {run_id}"
        raise Problem(HTTPStatus.NOT_FOUND, detail, [At(detail, parameter="run_id")])
    return run


def _cursor(run_id: int) -> str:
    return urlsafe_b64encode(json.dumps({"before": run_id}).encode()).decode().rstrip("=")


def _position(cursor: str) -> int:
    try:
        said = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        before = said["before"]
        if type(before) is int and 0 < before <= LARGEST_ID:
            return before
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        pass
    detail = "cannot use this cursor: send the one that a page gave as next"
    raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, [At(detail, parameter="cursor")])
