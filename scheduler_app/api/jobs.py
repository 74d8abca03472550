"""Jobs: what there is, what each takes, and having one run."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Status

from jobs import catalogue, handing_over, permissions
from jobs.errors import ParameterError, UnknownJob
from jobs.handing_over import OptionError
from jobs.models import Origin
from jobs.once import KeyTakenError
from jobs.registry import Job
from scheduler_app.api import problems, runs
from scheduler_app.api.access import ADD_SCHEDULE, VIEW_SCHEDULE, Caller
from scheduler_app.api.problems import At, Problem
from scheduler_app.api.shapes import JobOut, JobWithSchema, RunOrder, RunOut
from scheduler_app.web.tokens import Scope

router = Router(tags=["jobs"])


@router.get("", response=list[JobOut], summary="List the jobs")
def list_jobs(request: HttpRequest) -> list[dict[str, Any]]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.READ, VIEW_SCHEDULE)
    return [_shown(job) for job in catalogue.registry().values()]


@router.get("/{name}", response=JobWithSchema, summary="One job, with the JSON Schema of its parameters")
def show_job(request: HttpRequest, name: str) -> dict[str, Any]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.READ, VIEW_SCHEDULE)
    job = found(name)
    return {**_shown(job), "parameters": parameter_schema(job)}


@router.post("/{name}/runs", response={201: RunOut, 200: RunOut}, summary="Have a job run")
def run_job(request: HttpRequest, response: HttpResponse, name: str, order: RunOrder) -> Status[dict[str, Any]]:
    """Return at once; a worker does the work. 200 instead of 201: the key's run was there already."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    # Parameters of one's own choice are as much as a schedule of one's own.
    caller.need(Scope.RUN, permissions.RUN_SCHEDULE, ADD_SCHEDULE)
    caller.need_everything()
    job = found(name)
    caller.need_job(job)
    try:
        wanted = handing_over.order(**options_of(order, request), keys_of=f"api of user {caller.user.pk}")
        made = handing_over.hand_over(job, order.parameters, wanted, origin=Origin.API, by=caller.name)
    except OptionError as error:
        raise problems.of_fields(error.problems) from None
    except ParameterError as error:
        raise problems.of_fields(error.problems, "parameters") from None
    except KeyTakenError as error:
        raise key_taken(error) from None
    response["Location"] = f"/api/v1/runs/{made.run_id}"
    return Status(HTTPStatus.CREATED if made.new else HTTPStatus.OK, runs.of_id(made.run_id))


def options_of(order: Any, request: HttpRequest) -> dict[str, Any]:
    """Return what the body says of the run, and the header Idempotency-Key, as `handing_over.order` takes it."""
    options = {name: getattr(order, name) for name in ("at", "delay", "expires", "priority", "queue", "key")}
    return {**options, "key": options["key"] or request.headers.get("Idempotency-Key")}


def key_taken(error: KeyTakenError) -> Problem:
    return Problem(HTTPStatus.CONFLICT, str(error), [At(str(error), problems.at("key"))])


def found(name: str) -> Job:
    try:
        return catalogue.registry()[name]
    except UnknownJob as error:
        raise Problem(HTTPStatus.NOT_FOUND, str(error), [At(str(error), parameter="name")]) from None


def parameter_schema(job: Job) -> dict[str, Any]:
    return job.model.model_json_schema()


def _shown(job: Job) -> dict[str, Any]:
    return {
        "name": job.name,
        "title": job.title,
        "group": job.group,
        "summary": job.summary,
        "description": job.description,
        "needs_permission": job.permission,
    }
