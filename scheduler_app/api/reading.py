"""Request bodies as JSON (RFC 8259), read strictly: whatever somebody sends, the answer is a sentence."""

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest

from scheduler_app.api.problems import Problem

LARGEST = 1_000_000  # bytes
DEEPEST = 64


def read_json(request: HttpRequest) -> Any:
    """Return the body; {} when there is none. Problem says what is wrong with it."""
    body = request.body
    if not body.strip():
        return {}
    if request.content_type != "application/json":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"cannot read the body as {request.content_type or 'nothing'}: send JSON, and say so with"
            " Content-Type: application/json",
        )
    return parse(body)


def check_length(request: HttpRequest) -> None:
    """Refuse a body that is too long before it is read; the server has counted its bytes."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise Problem(HTTPStatus.BAD_REQUEST, "cannot read the body: its announced length is no number") from None
    if length > LARGEST:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"cannot read the body: more than {LARGEST:,} bytes")


def parse(body: bytes) -> Any:
    """Return what *body* says; Problem for what is no JSON, and for what could not be stored."""
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant)
        _check(value)
    except (ValueError, RecursionError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise Problem(HTTPStatus.BAD_REQUEST, f"cannot read the body as JSON: {reason}") from None
    return value


def check_text(text: str) -> None:
    """Raise ValueError for what no database could keep: NUL, and half a character, which only an escape can say."""
    if "\0" in text:
        raise ValueError("a text in it holds a zero character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text in it holds half a character (a lone surrogate)") from None


def _check(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        for each in level:
            if isinstance(each, str):
                check_text(each)
        level = [child for each in level for child in _children(each)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else ()


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
