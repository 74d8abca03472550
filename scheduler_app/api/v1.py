"""Version 1: its parts put together, how it reads requests, and how refusals look."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationErrorContext
from ninja.parser import Parser

from scheduler_app.api import jobs, logs, problems, reading, runs, system
from scheduler_app.api.access import TokenAuth
from scheduler_app.api.problems import Problem

DESCRIPTION = (
    "Everything the admin does, for programs. Sign in with a token (`Authorization: Bearer sch_…`), made in the admin"
    " under *API tokens*. What cannot be done is answered as problem details (RFC 9457) that name the field."
)


class _Parser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        return reading.read_json(request)


class SchedulerAPI(NinjaAPI):
    def validation_error_from_error_contexts(self, error_contexts: list[ValidationErrorContext[Any]]) -> Any:
        """Raise what is wrong with the request's values as a Problem."""
        wrong: list[problems.At] = []
        for context in error_contexts:
            source, model = context.model.__ninja_param_source__, context.model
            errors = context.pydantic_validation_error.errors(include_url=False, include_context=False)
            single = getattr(model, "__read_from_single_attr__", None)
            of_field = model.model_fields[single].annotation if single else None
            for each in errors:
                path = model.__ninja_flatten_map_reverse__.get(each["loc"], each["loc"])
                # What the handler calls the body, or all parameters together, is no name that the sender knows.
                each["loc"] = tuple(path[1:] if path[:1] == (single,) or (len(path) > 1 and not single) else path)
            wrong += problems.of_validation(errors, of_field, in_body=source == "body").errors
        raise problems.unfit(wrong)


api = SchedulerAPI(
    title="Scheduler",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api-v1",
    auth=TokenAuth(),
    parser=_Parser(),
    docs_url=None,
    openapi_url=None,
)
api.add_router("/jobs", jobs.router)
api.add_router("/runs", runs.router)
api.add_router("/runs", logs.router)
api.add_router("/system", system.router)


@api.exception_handler(Problem)
def _refuse(_request: HttpRequest, problem: Problem) -> HttpResponse:
    return problem.response()


@api.exception_handler(HttpError)
def _refuse_body(_request: HttpRequest, error: HttpError) -> HttpResponse:
    # How ninja wraps what the parser raises.
    if isinstance(error.__cause__, Problem):
        return error.__cause__.response()
    return Problem(error.status_code, str(error)).response()


@api.exception_handler(UnreadablePostError)
def _refuse_half(_request: HttpRequest, _error: UnreadablePostError) -> HttpResponse:
    return Problem(HTTPStatus.BAD_REQUEST, "cannot read the body: it ended before its announced length").response()
