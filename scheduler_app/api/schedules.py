"""Schedules: read, made, changed, deleted, switched, started now; and what a trigger would do."""

import hashlib
import secrets
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field

from beat_config import deletion, documents, previewing, switching
from beat_config.blackout_rows import blackout_of
from beat_config.document_form import filled
from beat_config.document_shape import DocumentError, ScheduleDocument
from beat_config.models import Schedule, SchedulePolicy
from beat_config.preview import preview, warnings_about
from beat_config.running_now import run_now
from beat_config.schedules import ArgumentsError
from beat_config.triggers import TriggerError
from beat_config.wording import describe
from jobs import catalogue, permissions
from jobs.models import Origin
from scheduler_app.api import runs
from scheduler_app.api.access import ADD_SCHEDULE, VIEW_SCHEDULE, Caller
from scheduler_app.api.asking import refuse_unknown
from scheduler_app.api.problems import At, Problem, at, of_document, unfit
from scheduler_app.api.shapes import Id, RunOut, Strict
from scheduler_app.web.tokens import Scope

router = Router(tags=["schedules"])

CHANGE_SCHEDULE, DELETE_SCHEDULE = "beat_config.change_schedule", "beat_config.delete_schedule"
MOST_FIRES = 100
_TIMING = ("every", "cron", "once", "sun", "time_zone", "day_rule", "start", "end", "every_nth_week", "weeks_from")


class ScheduleOut(ScheduleDocument):
    id: int
    next_fire: datetime | None
    cannot_run: str = Field(description="Why it cannot run as it is; empty for most.")


class SchedulePage(Schema):
    items: list[ScheduleOut]
    next: int | None = Field(description="Send it as `after` for the next page; none: this is the last.")


class ScheduleFilter(Strict):
    name: str | None = None
    tag: str | None = None
    job: str | None = None
    enabled: bool | None = None
    after: int = Field(0, ge=0, le=2**63 - 1)
    limit: int = Field(50, ge=1, le=200)


class FireOut(Schema):
    at: datetime
    skipped: str = Field(description="Why it would not run: a blackout. Empty when it runs.")


class FiresFilter(Strict):
    count: int = Field(10, ge=1, le=MOST_FIRES)


class Outlook(Schema):
    words: str
    fires: list[FireOut]
    warnings: list[str]


class TriggerOrder(ScheduleDocument):
    """When: the fields of a schedule that say so."""

    name: str = ""
    job: str = ""
    count: int = Field(10, ge=1, le=MOST_FIRES)


@router.get("", response=SchedulePage, summary="List schedules")
def list_schedules(request: HttpRequest, filters: Query[ScheduleFilter]) -> dict[str, Any]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.READ, VIEW_SCHEDULE)
    refuse_unknown(request, ScheduleFilter)
    wanted = {
        "name": filters.name,
        "task": filters.job,
        "enabled": filters.enabled,
        "policy__tags__name": filters.tag,
        "pk__gt": filters.after,
    }
    found = _visible(caller).filter(**{name: value for name, value in wanted.items() if value is not None})
    ids = list(found.order_by("pk").values_list("pk", flat=True)[: filters.limit + 1])
    page = ids[: filters.limit]
    items = sorted((_shown(each) for each in _readings(page)), key=lambda item: item["id"])
    return {"items": items, "next": page[-1] if len(ids) > len(page) else None}


@router.post("", response={201: ScheduleOut}, summary="Make a schedule")
def make_schedule(request: HttpRequest, response: HttpResponse, document: ScheduleDocument) -> Status[dict[str, Any]]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.EDIT, ADD_SCHEDULE)
    _need_document(caller, document)
    made = _write(caller, document, None)
    shown = _answer(response, made.pk)
    response["Location"] = f"/api/v1/schedules/{made.pk}"
    return Status(HTTPStatus.CREATED, shown)


@router.post("/preview", response=Outlook, summary="When a trigger would fire")
def preview_trigger(request: HttpRequest, order: TriggerOrder) -> dict[str, Any]:
    """Nothing is stored."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.READ, VIEW_SCHEDULE)
    said = {name: getattr(order, name) for name in (*_TIMING, "spread", "blackouts")}
    # A job that there always is: the rules want a whole schedule.
    whole = {"name": f"preview {secrets.token_hex(8)}", "job": "run_command", "parameters": {"command": "true"}}
    try:
        form = filled(documents.parse({**whole, **said}), None)
    except DocumentError as error:
        raise of_document(error) from None
    now = timezone.now()
    try:
        trigger = previewing.trigger_of(form, now)
    except TriggerError as error:
        raise unfit([At(str(error), at(error.field))]) from None
    blackouts = [blackout_of(row) for row in form.cleaned_data.get("blackouts") or ()]
    fires = preview(trigger, after=now, count=order.count, blackouts=blackouts)
    return {
        "words": describe(trigger, timezone.get_default_timezone()),
        "fires": [{"at": fire.fire_time, "skipped": fire.skipped} for fire in fires],
        "warnings": list(warnings_about(trigger, after=now)),
    }


@router.get("/{schedule_id}", response=ScheduleOut, summary="One schedule")
def show_schedule(request: HttpRequest, response: HttpResponse, schedule_id: Id) -> Any:
    """Answers 304 to an If-None-Match that names the state it is in."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.READ, VIEW_SCHEDULE)
    schedule = _found(caller, schedule_id)
    shown = _answer(response, schedule.pk)
    if response["ETag"] in _tags_in(request.headers.get("If-None-Match", "")):
        return HttpResponse(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": response["ETag"]})
    return shown


@router.put("/{schedule_id}", response=ScheduleOut, summary="Change a schedule: what is left out is as in a new one")
def change_schedule(
    request: HttpRequest, response: HttpResponse, schedule_id: Id, document: ScheduleDocument
) -> dict[str, Any]:
    """If-Match, with the ETag of what was read, refuses the change when somebody else has made one meanwhile."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.EDIT, CHANGE_SCHEDULE)
    with transaction.atomic():
        schedule = _locked(caller, request, schedule_id)
        _need_document(caller, document)
        _need_job_of(caller, schedule)
        _write(caller, document, schedule)
    return _answer(response, schedule.pk)


@router.delete("/{schedule_id}", response={204: None}, summary="Delete a schedule; its history stays")
def delete_schedule(request: HttpRequest, schedule_id: Id) -> Status[None]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.EDIT, DELETE_SCHEDULE)
    with transaction.atomic():
        schedule = _locked(caller, request, schedule_id)
        _need_job_of(caller, schedule)
        deletion.delete([schedule.pk], by=caller.name, now=timezone.now())
    return Status(HTTPStatus.NO_CONTENT, None)


@router.post("/{schedule_id}/enable", response=ScheduleOut, summary="Have a schedule run")
def enable_schedule(request: HttpRequest, response: HttpResponse, schedule_id: Id) -> dict[str, Any]:
    return _switch(request, response, schedule_id, enabled=True)


@router.post("/{schedule_id}/disable", response=ScheduleOut, summary="Pause a schedule")
def disable_schedule(request: HttpRequest, response: HttpResponse, schedule_id: Id) -> dict[str, Any]:
    """Until it is enabled again; what comes due meanwhile is not run later."""
    return _switch(request, response, schedule_id, enabled=False)


@router.post("/{schedule_id}/runs", response={201: RunOut}, summary="Run a schedule's job now")
def run_schedule(request: HttpRequest, response: HttpResponse, schedule_id: Id) -> Status[dict[str, Any]]:
    """With the schedule's parameters and policies; its next time stays as it is."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.RUN, VIEW_SCHEDULE, permissions.RUN_SCHEDULE)
    schedule = _found(caller, schedule_id)
    _need_job_of(caller, schedule)
    try:
        run = run_now(schedule, by=caller.name, origin=Origin.API)
    except ArgumentsError as error:
        raise Problem(HTTPStatus.CONFLICT, str(error)) from None
    response["Location"] = f"/api/v1/runs/{run.pk}"
    return Status(HTTPStatus.CREATED, runs.shown(run))


@router.get("/{schedule_id}/next", response=list[FireOut], summary="When a schedule fires next")
def next_fires(request: HttpRequest, schedule_id: Id, filters: Query[FiresFilter]) -> list[dict[str, Any]]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.READ, VIEW_SCHEDULE)
    refuse_unknown(request, FiresFilter)
    schedule = _found(caller, schedule_id)
    policy = SchedulePolicy.objects.prefetch_related("blackouts").get(pk=schedule.pk)
    try:
        fires = previewing.coming(policy, timezone.now(), filters.count)
    except TriggerError as error:
        raise Problem(HTTPStatus.CONFLICT, str(error)) from None
    return [{"at": fire.fire_time, "skipped": fire.skipped} for fire in fires]


def _visible(caller: Caller) -> QuerySet[Schedule]:
    found: QuerySet[Schedule] = Schedule.objects.all()
    if not caller.tags:
        return found
    return found.filter(pk__in=SchedulePolicy.objects.filter(tags__name__in=caller.tags).values("pk"))


def _found(caller: Caller, schedule_id: int) -> Schedule:
    schedule = _visible(caller).filter(pk=schedule_id).first()
    if schedule is None:
        detail = f"cannot find schedule {schedule_id}"
        raise Problem(HTTPStatus.NOT_FOUND, detail, [At(detail, parameter="schedule_id")])
    return schedule


def _locked(caller: Caller, request: HttpRequest, schedule_id: int) -> Schedule:
    """Return the schedule, which nobody else changes until the transaction ends; refuse what If-Match rules out."""
    schedule = _found(caller, schedule_id)
    SchedulePolicy.objects.select_for_update().filter(pk=schedule.pk).first()
    wanted = _tags_in(request.headers.get("If-Match", ""))
    if wanted and "*" not in wanted and _tag(documents.read(schedule)) not in wanted:
        raise Problem(
            HTTPStatus.PRECONDITION_FAILED,
            f"cannot change schedule {schedule_id}: somebody else has changed it since you read it; read it again",
            [At("it names another state than the schedule is in", parameter="If-Match")],
        )
    return schedule


def _write(caller: Caller, document: ScheduleDocument, schedule: Schedule | None) -> Schedule:
    try:
        return documents.write(document, schedule=schedule, by=caller.name, user=caller.user)
    except DocumentError as error:
        raise of_document(error) from None
    except PermissionDenied as error:
        raise Problem(HTTPStatus.FORBIDDEN, str(error)) from None


def _need_document(caller: Caller, document: ScheduleDocument) -> None:
    """Refuse a document that asks for more than the token may: its job, jobs that follow, schedules out of sight."""
    jobs = catalogue.registry()
    if document.job in jobs:
        caller.need_job(jobs[document.job])
    tags = {tag.casefold() for tag in document.tags}
    if caller.tags and not tags & {tag.casefold() for tag in caller.tags}:
        detail = f"cannot use this token for a schedule without one of its tags: {', '.join(caller.tags)}"
        raise Problem(HTTPStatus.FORBIDDEN, detail, [At(detail, at("tags"))])
    for field in ("on_success", "on_failure", "on_end"):
        name = getattr(document, field)
        following = _visible(caller).filter(name=name).first() if name else None
        if following is not None:
            _need_job_of(caller, following)
        elif name and Schedule.objects.filter(name=name).exists():
            detail = f"cannot have {name} follow: this token is not for it"
            raise Problem(HTTPStatus.FORBIDDEN, detail, [At(detail, at(field))])


def _need_job_of(caller: Caller, schedule: Any) -> None:
    jobs = catalogue.registry()
    if schedule.task in jobs:
        caller.need_job(jobs[schedule.task])


def _switch(request: HttpRequest, response: HttpResponse, schedule_id: int, *, enabled: bool) -> dict[str, Any]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.EDIT, CHANGE_SCHEDULE)
    with transaction.atomic():
        schedule = _locked(caller, request, schedule_id)
        _need_job_of(caller, schedule)
        switching.switch([schedule.pk], enabled=enabled, by=caller.name, now=timezone.now())
    return _answer(response, schedule.pk)


def _answer(response: HttpResponse, schedule_id: int) -> dict[str, Any]:
    (reading,) = _readings([schedule_id])
    response["ETag"] = _tag(reading.document)
    return _shown(reading)


def _readings(ids: list[int]) -> list[documents.Reading]:
    return list(documents.readings(Schedule.objects.filter(pk__in=ids)))


def _shown(reading: documents.Reading) -> dict[str, Any]:
    policy = SchedulePolicy.objects.get(pk=reading.schedule.pk)
    said = {name: getattr(reading.document, name) for name in ScheduleDocument.model_fields}
    return {**said, "id": policy.pk, "next_fire": policy.next_fire_at, "cannot_run": policy.error}


def _tag(document: ScheduleDocument) -> str:
    return f'"{hashlib.sha256(document.model_dump_json().encode()).hexdigest()[:32]}"'


def _tags_in(header: str) -> set[str]:
    return {each.strip().removeprefix("W/") for each in header.split(",") if each.strip()}
