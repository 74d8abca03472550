"""The OpenAPI description, with one typed endpoint for each job there is now, and the page that shows it."""

from copy import deepcopy
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from jobs import catalogue
from scheduler_app.api.jobs import parameter_schema
from scheduler_app.api.problems import MEDIA_TYPE
from scheduler_app.api.v1 import api
from scheduler_app.web import tokens

RUN_JOB = "/api/v1/jobs/{name}/runs"
_REFUSALS = {
    "400": "The body cannot be read.",
    "401": "No token that is good.",
    "403": "The token, or its owner, may not do this.",
    "404": "There is nothing at this address.",
    "405": "Not with this method.",
    "409": "Not in the state that this is in.",
    "412": "It has been changed meanwhile.",
    "413": "The body is too large.",
    "415": "The body is not said to be JSON.",
    "422": "Values that cannot be used, with the field of each.",
    "429": "Too many requests.",
    "503": "Not at present.",
}


def description() -> dict[str, Any]:
    """Return the OpenAPI 3.1 description as of now."""
    schema: dict[str, Any] = dict(api.get_openapi_schema())
    schema["servers"] = [{"url": "/"}]
    generic = schema["paths"].pop(RUN_JOB)["post"]
    for job in catalogue.registry().values():
        schema["paths"][RUN_JOB.format(name=job.name)] = {"post": _typed(generic, job, schema["components"]["schemas"])}
    problem = {"$ref": "#/components/schemas/Problem"}
    schema["components"]["schemas"]["Problem"] = _PROBLEM
    for path in schema["paths"].values():
        for operation in path.values():
            for status, words in _REFUSALS.items():
                refusal = {"description": words, "content": {MEDIA_TYPE: {"schema": problem}}}
                operation["responses"].setdefault(status, refusal)
    return schema


@never_cache
@require_safe
def openapi_json(request: HttpRequest) -> HttpResponse:
    """Answer whoever is signed in to the admin, and programs with a token: it tells which jobs there are."""
    if not _may_read(request):
        return HttpResponse(status=HTTPStatus.UNAUTHORIZED)
    return JsonResponse(description())


@never_cache
@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Show the description as a page to read and to try."""
    if not _is_signed_in(request):
        return redirect(f"{reverse('admin:login')}?next={request.path}")
    return render(request, "api/docs.html")


def _may_read(request: HttpRequest) -> bool:
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return tokens.find(text.strip(), timezone.now()) is not None
    return _is_signed_in(request)


def _is_signed_in(request: HttpRequest) -> bool:
    return bool(request.user.is_authenticated and request.user.is_active and request.user.is_staff)


def _typed(generic: dict[str, Any], job: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the operation that has *job* run, its parameters described."""
    operation = deepcopy(generic)
    parameters = parameter_schema(job)
    schemas.update(parameters.pop("$defs", {}))
    order = deepcopy(schemas["RunOrder"])
    order["properties"]["parameters"] = parameters
    if parameters.get("required"):
        order["required"] = ["parameters"]
    operation["operationId"] = f"run_{job.name}"
    operation["summary"] = f"Run: {job.title}"
    operation["description"] = job.description or job.summary
    operation["parameters"] = [each for each in operation["parameters"] if each["name"] != "name"]
    operation["requestBody"] = {
        "required": bool(parameters.get("required")),
        "content": {"application/json": {"schema": order}},
    }
    return operation


_PROBLEM = {
    "title": "Problem",
    "description": "RFC 9457",
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What cannot be done, why, and what to do."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {"type": "string", "description": "Where in the body (RFC 6901)."},
                    "parameter": {"type": "string", "description": "Which parameter of the address, or header."},
                },
            },
        },
    },
}
