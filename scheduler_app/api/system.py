"""The whole: is it alive, is all well, numbers for Prometheus, and pausing all schedules."""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Min
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from beat_config import pausing
from beat_config.models import SchedulePolicy
from jobs import handing_over, permissions, services
from jobs.models import RefusedMessage, Run, Service
from jobs.states import ACTIVE, State
from scheduler_app.api.access import VIEW_RUN, Caller
from scheduler_app.api.problems import At, at, unfit
from scheduler_app.api.shapes import Strict, Until
from scheduler_app.web.health import health
from scheduler_app.web.problems import problems
from scheduler_app.web.tokens import Scope

router = Router(tags=["system"])

METRICS = "text/plain; version=0.0.4; charset=utf-8"
# Counting a million runs takes 50 ms, and Prometheus asks every few seconds.
COUNT_AGAIN_AFTER = 30.0
_counted: tuple[float, dict[str, int]] | None = None


class ServiceOut(Schema):
    instance: str
    kind: str
    host: str
    pid: int
    started: datetime
    seen: datetime
    broker_away_since: datetime | None


class Status(Schema):
    well: bool
    problems: list[str] = Field(description="What keeps jobs from running, each with what to do.")
    services: list[ServiceOut]
    paused: bool
    paused_until: datetime | None = Field(description="None while paused: until somebody resumes them.")
    waiting: int
    running: int
    next_fire: datetime | None


class PauseOrder(Strict):
    until: Until | None = Field(None, description="A moment, or how long; none: until somebody resumes them.")


class PauseOut(Schema):
    paused: bool
    paused_until: datetime | None


@router.get("/health", auth=None, summary="Is it alive? For probes; needs no token")
def check_health(request: HttpRequest) -> HttpResponse:
    """200 when a request gets as far as the database and back, 503 otherwise."""
    return health(request)


@router.get("/status", response=Status, summary="Is all well?")
def show_status(request: HttpRequest) -> dict[str, Any]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.READ, VIEW_RUN)
    caller.need_everything()
    now = timezone.now()
    wrong, active = [str(each) for each in problems(now)], _active()
    return {
        "well": not wrong,
        "problems": wrong,
        "services": [
            {
                "instance": each.instance,
                "kind": each.kind,
                "host": each.host,
                "pid": each.pid,
                "started": each.started_at,
                "seen": each.seen_at,
                "broker_away_since": each.broker_away_since,
            }
            for each in services.alive(now).order_by("kind", "instance")
        ],
        **_pause(now),
        "waiting": active.get(State.PENDING, 0) + active.get(State.QUEUED, 0),
        "running": active.get(State.RUNNING, 0),
        "next_fire": _firing().aggregate(first=Min("next_fire_at"))["first"],
    }


@router.post("/pause", response=PauseOut, summary="Pause all schedules")
def pause(request: HttpRequest, order: PauseOrder) -> dict[str, Any]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.ADMIN, permissions.RUN_SCHEDULE)
    caller.need_everything()
    now = timezone.now()
    until = now + order.until if isinstance(order.until, timedelta) else order.until
    if until is not None and not now < until <= now + handing_over.LATEST:
        reason = f"it has to be ahead, at most {handing_over.LATEST.days} days"
        raise unfit([At(f"cannot pause until {until.isoformat()}: {reason}", at("until"))])
    pausing.pause(until, by=caller.name, now=now)
    return _pause(now)


@router.post("/resume", response=PauseOut, summary="Have schedules run again")
def resume(request: HttpRequest) -> dict[str, Any]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.ADMIN, permissions.RUN_SCHEDULE)
    caller.need_everything()
    now = timezone.now()
    pausing.resume(now, by=caller.name)
    return _pause(now)


@router.get("/metrics", summary="Numbers in Prometheus' text format")
def show_metrics(request: HttpRequest) -> HttpResponse:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.READ, VIEW_RUN)
    caller.need_everything()
    return HttpResponse("".join(_metrics(timezone.now())), content_type=METRICS)


def _metrics(now: datetime) -> Iterator[str]:
    yield from _metric("scheduler_runs", "Runs in the history, by state.", _by_state(), label="state")
    recorded = Run.objects.aggregate(last=Max("pk"))["last"] or 0
    yield from _metric("scheduler_runs_recorded_total", "Runs recorded so far.", {"": recorded}, kind="counter")
    oldest = Run.objects.filter(dispatch_at__lte=now, state=State.PENDING).aggregate(first=Min("dispatch_at"))["first"]
    behind = (now - oldest).total_seconds() if oldest else 0.0
    yield from _metric(
        "scheduler_send_lag_seconds", "How long the oldest run that is due has not been sent.", {"": behind}
    )
    enabled = SchedulePolicy.objects.filter(schedule__enabled=True).count()
    yield from _metric(
        "scheduler_schedules",
        "Schedules, by whether they are enabled.",
        {"true": enabled, "false": SchedulePolicy.objects.filter(schedule__enabled=False).count()},
        label="enabled",
    )
    wrong = SchedulePolicy.objects.exclude(error="").count()
    yield from _metric("scheduler_schedules_failing", "Schedules that cannot run as they are.", {"": wrong})
    alive = services.alive(now)
    up = dict.fromkeys(Service.Kind.values, 0) | dict(alive.order_by().values_list("kind").annotate(Count("pk")))
    yield from _metric("scheduler_services", "Beats and workers that are alive.", up, label="kind")
    away = alive.filter(broker_away_since__isnull=False).count()
    yield from _metric("scheduler_services_without_broker", "Of these, those without a broker.", {"": away})
    paused = int(pausing.current(now) is not None)
    yield from _metric("scheduler_paused", "1 while all schedules are paused.", {"": paused})
    last = RefusedMessage.objects.aggregate(last=Max("pk"))["last"] or 0
    yield from _metric("scheduler_refused_messages_total", "Messages listed as refused.", {"": last}, kind="counter")


def _metric(
    name: str, words: str, values: Mapping[str, float], *, label: str = "", kind: str = "gauge"
) -> Iterator[str]:
    yield f"# HELP {name} {words}\n# TYPE {name} {kind}\n"
    for value, number in values.items():
        yield f'{name}{{{label}="{value}"}} {number}\n' if label else f"{name} {number}\n"


def _by_state() -> dict[str, float]:
    global _counted  # noqa: PLW0603 - one count a process
    now = time.monotonic()
    if _counted is None or now - _counted[0] >= COUNT_AGAIN_AFTER:
        found = dict(Run.objects.order_by().values_list("state").annotate(Count("pk")))
        _counted = now, {state.value: found.get(state.value, 0) for state in State}
    return {**_counted[1], **{state.value: _active().get(state, 0) for state in ACTIVE}}


def _active() -> dict[str, int]:
    found = Run.objects.filter(state__in=sorted(ACTIVE)).order_by().values_list("state").annotate(Count("pk"))
    return dict(found)


def _firing() -> Any:
    return SchedulePolicy.objects.filter(next_fire_at__isnull=False, schedule__enabled=True, error="")


def _pause(now: datetime) -> dict[str, Any]:
    going_on = pausing.current(now)
    return {"paused": going_on is not None, "paused_until": going_on.end if going_on else None}
