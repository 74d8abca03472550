"""`POST /hooks/hook_…`: start the schedule that the address is for."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from beat_config import pausing
from beat_config.models import Schedule
from beat_config.running_now import run_now
from beat_config.schedules import ArgumentsError, parameters_of
from jobs import catalogue, handing_over, once, permissions
from jobs.errors import ParameterError, UnknownJob
from jobs.models import Origin
from jobs.once import KeyTakenError
from scheduler_app.api import problems, reading
from scheduler_app.api.access import check_origin, check_rate
from scheduler_app.api.problems import At, Problem
from scheduler_app.web import hooks
from scheduler_app.web.models import WebHook

CHANGE_SCHEDULE = "beat_config.change_schedule"


@csrf_exempt  # the address is the secret, and no cookie is looked at
@never_cache
@require_POST
def receive(request: HttpRequest, text: str) -> HttpResponse:
    """Answer 202 with the number of the run; the same delivery again gets the same one."""
    try:
        return _receive(request, text)
    except Problem as problem:
        return problem.response()


def _receive(request: HttpRequest, text: str) -> HttpResponse:
    check_origin(request)
    hook = hooks.find(text, timezone.now())
    if hook is None:
        raise Problem(HTTPStatus.NOT_FOUND, "cannot find this web hook: there is none, or it has been revoked")
    check_rate(f"hook {hook.pk}", hook.per_minute)
    reading.check_length(request)
    if hook.signed and not hooks.is_signed(hook, request.body, request.headers.get(hooks.SIGNATURE, "")):
        detail = f"cannot believe this request: sign it, as {hooks.SIGNATURE}: sha256=…"
        raise Problem(HTTPStatus.UNAUTHORIZED, detail, [At(detail, parameter=hooks.SIGNATURE)])
    schedule = Schedule.objects.get(pk=hook.schedule_id)
    _check_it_may(hook, schedule)
    parameters = _parameters(request, hook, schedule)

    def create() -> int:
        return run_now(schedule, by=f"web hook {hook.name}", origin=Origin.WEBHOOK, parameters=parameters).pk

    try:
        made = once.make(_key(request, hook), schedule.task, parameters, create)
    except KeyTakenError as error:
        raise Problem(HTTPStatus.CONFLICT, str(error)) from None
    return JsonResponse({"run": made.run_id, "new": made.new}, status=HTTPStatus.ACCEPTED)


def _check_it_may(hook: WebHook, schedule: Schedule) -> None:
    """Refuse what the hook's owner may no longer have started, and what nobody wants to run at present."""
    owner = hook.owner
    allowed = permissions.may_operate(owner) and permissions.may_use_job(owner, schedule.task)
    if not allowed or (hook.takes and not owner.has_perm(CHANGE_SCHEDULE)):
        raise Problem(HTTPStatus.FORBIDDEN, "cannot start this: the web hook's owner may not do so any more")
    if not schedule.enabled:
        raise Problem(HTTPStatus.CONFLICT, "cannot start this: the schedule is disabled")
    if pausing.current(timezone.now()) is not None:
        paused = "cannot start this: all schedules are paused"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, paused, headers={"Retry-After": "300"})


def _parameters(request: HttpRequest, hook: WebHook, schedule: Schedule) -> dict[str, Any]:
    given = hooks.taken(hook.takes, reading.read_json(request)) if hook.takes else {}
    try:
        job = catalogue.registry()[schedule.task]
        return handing_over.checked_parameters(job, {**parameters_of(schedule), **given})
    except ParameterError as error:
        places = {name: problems.at(*hook.takes.get(name, name).split(".")) for name in error.problems}
        raise problems.unfit(At(sentence, places[name]) for name, sentence in error.problems.items()) from None
    except (UnknownJob, ArgumentsError) as error:
        raise Problem(HTTPStatus.CONFLICT, str(error)) from None


def _key(request: HttpRequest, hook: WebHook) -> str | None:
    """Return the key of the sender's delivery; None when it names none: then every request is one of its own."""
    for header in hooks.DELIVERIES:
        if header in request.headers:
            try:
                return f"hook {hook.pk}:{once.check(request.headers[header])}"
            except ValueError as error:
                detail = f"cannot use {header}: {error}"
                raise problems.unfit([At(detail, parameter=header)]) from None
    return None
