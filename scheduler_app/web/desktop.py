"""What the tray asks for and posts: signed requests from the same installation, answered in JSON."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from beat_config import pausing
from beat_config.models import Schedule, SchedulePolicy
from beat_config.running_now import run_now
from beat_config.schedules import ArgumentsError
from jobs import cancelling, catalogue
from jobs.models import Origin, Run
from jobs.states import State
from scheduler_app import desktop_signature
from scheduler_app.web import person
from scheduler_app.web.problems import problems

SHOWN = 8
LOOK_BACK = timedelta(days=1)
# Of each kind of outcome so many are looked at: enough for what a day's menu shows.
RECENT = 50
BAD = (State.FAILED, State.TIMED_OUT, State.INTERRUPTED, State.MISSED)

View = Callable[[HttpRequest], HttpResponse]


def signed(view: View) -> View:
    """Refuse what this installation's tray has not signed. No cookie counts here, so there is nothing to forge."""

    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        header = request.headers.get(desktop_signature.HEADER, "")
        now = timezone.now().timestamp()
        method = str(request.method)
        if not desktop_signature.is_signed(settings.SECRET_KEY, method, request.path, request.body, header, now):
            return JsonResponse({"error": "cannot answer: the request is not signed by this installation"}, status=403)
        return view(request)

    return never_cache(csrf_exempt(checked))


@signed
@require_GET
def activity(_request: HttpRequest) -> HttpResponse:
    """Tell what runs, what failed, what comes next and what can be started."""
    now = timezone.now()
    running = Run.objects.filter(state=State.RUNNING)
    latest, pause = _latest(now), pausing.current(now)
    failures = [run for run in latest if run.state in BAD]
    return JsonResponse(
        {
            "running": [
                {"run": run.pk, "name": _name(run), "at": run.started_at} for run in running.order_by("-id")[:SHOWN]
            ],
            "running_count": running.count(),
            "failures": [_outcome(run) for run in failures[:SHOWN]],
            "recovered": [_outcome(run) for run in _recovered(latest)][:SHOWN],
            "upcoming": [*_upcoming()],
            "runnable": [*_runnable()],
            "problems": [str(each) for each in problems(now)[:SHOWN]],
            "pause": None if pause is None else {"until": pause.end},
        }
    )


@signed
@require_POST
def run_schedule(request: HttpRequest) -> HttpResponse:
    """Start a schedule's job now: {"schedule": its number}."""
    schedule = Schedule.objects.filter(pk=_number(request, "schedule")).select_related("policy").first()
    if schedule is None:
        return _refused("cannot run it: the schedule is not there any more")
    try:
        return JsonResponse({"run": run_now(schedule, by=person.at_the_tray()).pk})
    except ArgumentsError as error:
        return _refused(f"cannot run {schedule.name}: {error}")


@signed
@require_POST
def cancel_run(request: HttpRequest) -> HttpResponse:
    """Cancel a run: {"run": its number}."""
    if cancelling.cancel(_number(request, "run"), by=person.at_the_tray(), now=timezone.now()):
        return JsonResponse({})
    return _refused("cannot cancel it: the run has ended already")


@signed
@require_POST
def pause_schedules(request: HttpRequest) -> HttpResponse:
    """Pause all schedules: {"length": 15m, 1h, tomorrow or resumed}."""
    now = timezone.now()
    try:
        end = pausing.end_of(str(_value(request, "length")), now, ZoneInfo(settings.TIME_ZONE))
    except ValueError as error:
        return _refused(str(error))
    pausing.pause(end, by=person.at_the_tray(), now=now)
    return JsonResponse({})


@signed
@require_POST
def resume_schedules(_request: HttpRequest) -> HttpResponse:
    """End the pause; nothing happens when there is none."""
    pausing.resume(timezone.now(), by=person.at_the_tray())
    return JsonResponse({})


def _latest(now: datetime) -> list[Run]:
    """Return the latest of each outcome of the last day, newest first."""
    since = now - LOOK_BACK
    found: list[Run] = []
    for state in (*BAD, State.SUCCEEDED):  # one step into the index of states each
        found += Run.objects.filter(state=state).order_by("-id")[:RECENT]
    return sorted((run for run in found if (run.finished_at or now) >= since), key=lambda run: -run.pk)


def _recovered(latest: Iterable[Run]) -> Iterable[Run]:
    """Yield the successes that directly follow a failure of the same schedule."""
    newer: dict[int, Run] = {}
    for run in latest:
        if run.schedule_id is None:
            continue
        following = newer.get(run.schedule_id)
        if following is not None and following.state == State.SUCCEEDED and run.state in BAD:
            yield following
        newer[run.schedule_id] = run


def _upcoming() -> Iterable[Mapping[str, Any]]:
    policies = SchedulePolicy.objects.filter(
        next_fire_at__isnull=False, look_at__isnull=False, schedule__enabled=True, error=""
    )
    for policy in policies.select_related("schedule").order_by("look_at")[:SHOWN]:
        yield {"schedule": policy.pk, "name": policy.schedule.name, "at": policy.next_fire_at}


def _runnable() -> Iterable[Mapping[str, Any]]:
    """Yield what was started by hand last, then what ran last: what is likely to be wanted again."""
    ran = Run.objects.filter(schedule__isnull=False).order_by("-id").values_list("schedule", "origin")[: 4 * RECENT]
    by_hand = [schedule for schedule, origin in ran if origin == Origin.MANUAL]
    wanted = list(dict.fromkeys([*by_hand, *(schedule for schedule, _ in ran)]))[:SHOWN]
    names = dict(Schedule.objects.filter(pk__in=wanted).values_list("pk", "name"))
    if len(names) < SHOWN:
        names |= dict(Schedule.objects.exclude(pk__in=wanted).order_by("name").values_list("pk", "name")[:SHOWN])
    for pk in [*(pk for pk in wanted if pk in names), *(pk for pk in names if pk not in wanted)][:SHOWN]:
        yield {"schedule": pk, "name": names[pk]}


def _outcome(run: Run) -> Mapping[str, Any]:
    what = run.reason or State(run.state).label
    return {"run": run.pk, "name": _name(run), "reason": what, "at": run.finished_at or run.created_at}


def _name(run: Run) -> str:
    return run.schedule_name or catalogue.title(run.job)


def _value(request: HttpRequest, name: str) -> object:
    """Return what the request's JSON has under *name*; None where there is nothing."""
    try:
        return json.loads(request.body)[name]
    except (ValueError, LookupError, TypeError):
        return None


def _number(request: HttpRequest, name: str) -> int:
    """Return the whole number under *name*; 0, which nothing has, where there is none."""
    value = _value(request, name)
    return value if isinstance(value, int) else 0


def _refused(error: str) -> HttpResponse:
    return JsonResponse({"error": error}, status=409)
