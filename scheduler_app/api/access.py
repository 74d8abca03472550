"""Who asks, and what they may: a token's scope, and never more than its owner's own permissions.

Tokens are the one way in. The admin's session is none: what a browser sends by itself lets no page act for a person,
and there is nothing here that would have to be told apart from a forged request.
"""

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer

from jobs import permissions
from jobs.registry import Job
from scheduler_app.api import reading
from scheduler_app.api.problems import Problem
from scheduler_app.api.rate import buckets
from scheduler_app.web import tokens
from scheduler_app.web.models import ApiToken
from scheduler_app.web.tokens import Scope

_ORDER = list(Scope)
VIEW_RUN, VIEW_SCHEDULE = "jobs.view_run", "beat_config.view_schedule"
ADD_SCHEDULE = "beat_config.add_schedule"


@dataclass(frozen=True, slots=True)
class Caller:
    """A program with a token, acting for the token's owner."""

    token: ApiToken

    @property
    def user(self) -> Any:
        return self.token.owner

    @property
    def name(self) -> str:
        """Who it was, for the history."""
        return f"{self.user.get_username()} ({self.token.name})"[:150]

    @property
    def tags(self) -> list[str]:
        """The tags of the schedules it may see and change; none: all."""
        return list(self.token.tags)

    def need(self, scope: Scope, *needed: str) -> None:
        """Refuse the request unless the token has *scope* or a higher one, and its owner the permissions *needed*."""
        if _ORDER.index(Scope(self.token.scope)) < _ORDER.index(scope):
            raise _forbidden(f"cannot do this with the token {self.token.name!r}: it needs the scope {scope.value}")
        for permission in needed:
            if not self.user.has_perm(permission):
                raise _forbidden(f"cannot do this as {self.user.get_username()}: the permission {permission} is needed")

    def need_job(self, job: Job) -> None:
        """Refuse the request unless the token's owner may use *job*, and the token commands if it is one."""
        if job.permission is None:
            return
        if not self.token.commands:
            raise _forbidden(f"cannot run {job.name} with the token {self.token.name!r}: it may not run commands")
        if not permissions.may_use_job(self.user, job.name):
            raise _forbidden(f"cannot run {job.name} as {self.user.get_username()}: {job.permission} is needed")

    def need_everything(self) -> None:
        """Refuse what is about no schedule in particular with a token that is for some of them."""
        if self.tags:
            raise _forbidden(
                f"cannot do this with the token {self.token.name!r}: it is for schedules tagged {', '.join(self.tags)}"
            )


class TokenAuth(HttpBearer):
    """`Authorization: Bearer sch_…`."""

    def __call__(self, request: HttpRequest) -> Caller:
        return _caller(request)

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        """Not called: a request without a token is refused with the same words as one with a wrong one."""
        raise NotImplementedError


def _caller(request: HttpRequest) -> Caller:
    check_origin(request)
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    token = tokens.find(text.strip(), timezone.now()) if kind.lower() == "bearer" else None
    if token is None:
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "cannot answer without a token that is good: make one in the admin under API tokens, and send it as"
            " Authorization: Bearer sch_…",
            headers={"WWW-Authenticate": 'Bearer realm="scheduler"'},
        )
    check_rate(f"token {token.pk}", token.per_minute)
    reading.check_length(request)
    return Caller(token)


def check_origin(request: HttpRequest) -> None:
    """Refuse what a page of another server has sent, as the admin does; programs send no Origin."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.get_host():
        raise _forbidden(f"cannot answer a page of {origin[:100]}: only this server's own pages may ask")


def check_rate(name: str, per_minute: int) -> None:
    wait = buckets.take(name, per_minute)
    if wait:
        seconds = math.ceil(wait)
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"cannot answer so many requests: {per_minute} a minute are allowed; ask again in {seconds} s",
            headers={"Retry-After": str(seconds)},
        )


def _forbidden(detail: str) -> Problem:
    return Problem(HTTPStatus.FORBIDDEN, detail)
