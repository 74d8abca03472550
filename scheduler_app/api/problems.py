"""Refusals as problem details (RFC 9457): what cannot be done, and which field of the request is why."""

import json
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from pydantic import BaseModel

from jobs.errors import near_names
from jobs.kinds import show

MEDIA_TYPE = "application/problem+json"
PATHS = ("/api/", "/hooks/")


class At(NamedTuple):
    """One thing that is wrong, and where: a JSON pointer into the body, or the name of a parameter or header."""

    detail: str
    pointer: str = ""
    parameter: str = ""

    def to_json(self) -> dict[str, str]:
        where = {"pointer": self.pointer} if self.pointer else {"parameter": self.parameter} if self.parameter else {}
        return {"detail": self.detail, **where}


class Problem(Exception):  # noqa: N818 - the RFC's word
    """A request that is refused."""

    def __init__(
        self, status: int, detail: str, errors: Iterable[At] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def response(self) -> HttpResponse:
        said: dict[str, Any] = {"title": self.status.phrase, "status": self.status.value, "detail": self.detail}
        if self.errors:
            said["errors"] = [error.to_json() for error in self.errors]
        # Escaped: a value that is repeated may hold half a character, which UTF-8 cannot say.
        return HttpResponse(json.dumps(said), status=self.status, content_type=MEDIA_TYPE, headers=self.headers)


def at(*path: object) -> str:
    """Return the JSON pointer (RFC 6901) to what is at *path* in the body, as a URI fragment's text."""
    return "#" + "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def unfit(errors: Iterable[At]) -> Problem:
    """Return the refusal of a request that can be read, whose values cannot be used."""
    found = list(errors)
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(error.detail for error in found), found)


def of_fields(problems: Mapping[str, str], *under: object) -> Problem:
    """Return the refusal for *problems*, sentences by the field of the body below *under*."""
    return unfit(At(sentence, at(*under, name) if name else at(*under)) for name, sentence in problems.items())


def of_validation(
    errors: Iterable[Mapping[str, Any]], model: type[BaseModel] | None, *, in_body: bool = True
) -> Problem:
    """Return the refusal for what pydantic found wrong with a body, or else with the parameters of an address."""
    found = []
    for each in errors:
        path = each["loc"]
        name = ".".join(map(str, path))
        known = list(model.model_fields) if model and len(path) == 1 else []
        detail = _sentence(each["type"], name, each["input"], each["msg"], known)
        found.append(At(detail, pointer=at(*path)) if in_body else At(detail, parameter=name))
    return unfit(found)


def _sentence(kind: str, name: str, value: object, message: str, known: list[str]) -> str:
    if kind == "extra_forbidden":
        near = near_names(name, known)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}" if known else ""
        return f"cannot use {show(name)}: there is nothing of this name" + (f"; {hint}" if hint else "")
    if kind == "missing":
        return f"cannot do without {name}"
    reason = message.removeprefix("Value error, ")
    return f"cannot use {name or 'the body'} = {show(value)}: {reason[:1].lower()}{reason[1:]}"


class Problems:
    """Middleware: all refusals below PATHS are problem details, also those of Django itself (host, method, address)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if not request.path.startswith(PATHS) or response.status_code < HTTPStatus.BAD_REQUEST:
            return response
        if response.get("Content-Type", "").startswith(MEDIA_TYPE):
            return response
        kept = {name: response[name] for name in ("Allow", "Retry-After") if name in response}
        return Problem(response.status_code, _WORDS.get(response.status_code, ""), headers=kept).response()


_WORDS = {
    400: "cannot answer: the Host header names another host than this server, or the request cannot be read",
    404: "cannot find this address; /api/v1/docs lists what there is",
    405: "cannot do this here: the header Allow says what can be done",
    500: "cannot answer: something is wrong in the server, and its log says what",
}
