"""Schedules as documents, both ways: `read` a stored one, `write` one through the rules of the schedule form."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from enum import Enum
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from beat_config import cron, places, saving, snapshots, timing
from beat_config.document_form import FOLLOWERS, SAME, TRIGGERS, filled, moment, zone_of
from beat_config.document_shape import DocumentError, Problem, ScheduleDocument, Sun, Where, parse
from beat_config.forms import ScheduleForm
from beat_config.models import CatchUp, DayRule, Overlap, Schedule, SchedulePolicy, WhenWrong
from beat_config.places import Kind
from beat_config.presets import PRESETS
from beat_config.schedules import RELATED, ArgumentsError, parameters_of
from beat_config.timing import Every, Once, Times
from beat_config.triggers import TriggerError
from jobs import audit, catalogue
from jobs.durations import format_duration, parse_duration
from jobs.errors import ParameterError
from jobs.kinds import SecretReference

__all__ = [
    "DocumentError",
    "Problem",
    "Reading",
    "ScheduleDocument",
    "brief",
    "differences",
    "parse",
    "read",
    "readings",
    "write",
]


@dataclass(frozen=True, slots=True)
class Reading:
    """A stored schedule as a document, and in *notes* what of it no document can say."""

    schedule: PeriodicTask
    document: ScheduleDocument
    notes: tuple[str, ...]


def read(schedule: PeriodicTask) -> ScheduleDocument:
    """Return the stored *schedule* as a document; `readings` also tells what it cannot say."""
    return next(readings(Schedule.objects.filter(pk=schedule.pk))).document


def readings(schedules: QuerySet[Schedule]) -> Iterator[Reading]:
    """Yield these schedules as documents, by name."""
    policies = (
        SchedulePolicy.objects.filter(schedule__in=schedules)
        .select_related(*RELATED)
        .prefetch_related("tags", "blackouts", "schedule__chains__follower")
        .order_by("schedule__name")
    )
    for policy in policies.iterator(chunk_size=500):
        yield _reading(policy)


def write(
    document: ScheduleDocument,
    *,
    schedule: PeriodicTask | None = None,
    by: str,
    user: AbstractBaseUser | None = None,
) -> Schedule:
    """Store *document* as *schedule*, or as a new one, in one transaction; raise DocumentError, with nothing changed.

    *user*, if there is one, needs the permissions for its job, its secrets and what it starts: PermissionDenied.
    """
    with transaction.atomic():
        before: Schedule | None = None
        if schedule is not None:
            # Whoever else changes it waits: what is compared is what is replaced.
            SchedulePolicy.objects.select_for_update().get(pk=schedule.pk)
            before = _stored(schedule.pk)
            if not differences(read(before), document):
                return before
        form = filled(document, before)
        if user is not None:
            saving.refuse_what_is_not_allowed(form, user)
        former = snapshots.of(before) if before is not None else None
        try:
            with transaction.atomic():
                saving.save(form, by=by, now=timezone.now())
        except IntegrityError:
            # Somebody made a schedule of that name in this instant: the form says so now.
            filled(document, before)
            raise
        stored = _stored(form.instance.pk)
        action = audit.Action.ADDED if before is None else audit.Action.CHANGED
        audit.record(by, action, stored, former, snapshots.of(stored))
    return stored


def differences(before: ScheduleDocument, after: ScheduleDocument) -> dict[str, tuple[Any, Any]]:
    """Return what is not the same in them, by the path of the field, however each says it."""
    was, becomes = _canonical(before), _canonical(after)
    names = [*was, *(name for name in becomes if name not in was)]
    return {name: (was.get(name), becomes.get(name)) for name in names if was.get(name) != becomes.get(name)}


def brief(document: ScheduleDocument) -> dict[str, Any]:
    """Return what *document* says beyond the defaults, in the order of its fields, the parameters last."""
    timing = {name: getattr(document, name) for name in (*TRIGGERS, "time_zone")}
    bare = ScheduleDocument.model_construct(name=document.name, job=document.job, **timing)
    said, unsaid = _canonical(document), _canonical(bare)
    kept: dict[str, Any] = {"name": document.name, "job": document.job}
    for name in ScheduleDocument.model_fields:
        value = getattr(document, name)
        if name in {*TRIGGERS, "time_zone"} or (name != "parameters" and said.get(name) != unsaid.get(name)):
            kept[name] = value
    found = ScheduleDocument.model_construct(**kept).model_dump(exclude_none=True, exclude_unset=True)
    found = {name: value.value if isinstance(value, Enum) else value for name, value in found.items()}
    jobs = catalogue.registry()
    defaults = {each.name: each.default for each in jobs[document.job].parameters} if document.job in jobs else {}
    given = document.parameters.items()
    parameters = {name: value for name, value in given if name not in defaults or value != defaults[name]}
    return found | ({"parameters": parameters} if parameters else {})


def _stored(pk: int) -> Schedule:
    schedule: Schedule = Schedule.objects.get(pk=pk)
    return schedule


def _reading(policy: SchedulePolicy) -> Reading:
    task, notes = policy.schedule, list[str]()
    seconds = task.expire_seconds
    periods: dict[str, Any] = {name: _period(getattr(policy, name)) for name in _PERIODS}
    followers: dict[str, Any] = {_FOLLOWER_FIELDS[chain.when]: chain.follower.name for chain in task.chains.all()}
    document = ScheduleDocument.model_construct(
        name=task.name,
        job=task.task,
        enabled=bool(task.enabled),
        description=task.description or "",
        tags=sorted((tag.name for tag in policy.tags.all()), key=str.casefold),
        parameters=_parameters(task, notes),
        **_trigger(task, policy, notes),
        start=_utc(task.start_time),
        end=_utc(task.expires),
        every_nth_week=policy.every_nth_week,
        weeks_from=policy.weeks_from,
        blackouts=sorted(each.name for each in policy.blackouts.all()),
        where=_where(task, notes),
        priority=task.priority,
        expires_after=format_duration(timedelta(seconds=seconds)) if seconds else None,
        concurrency_key=policy.concurrency_key or None,
        **{name: kind(getattr(policy, name)) for name, kind in _PLAIN.items()},
        **periods,
        **followers,
    )
    return Reading(task, document, tuple(notes))


_PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "catch_up": CatchUp,
    "catch_up_cap": int,
    "overlap": Overlap,
    "when_wrong": WhenWrong,
    "attempts": int,
    "retry_doubles": bool,
    "retry_varies": bool,
}
_PERIODS = ("spread", "catch_up_window", "grace", "retry_delay", "retry_longest", "time_limit")
_FOLLOWER_FIELDS = {form.removeprefix("after_"): path for path, form in FOLLOWERS.items()}


def _period(value: timedelta | None) -> str | None:
    return None if value is None else format_duration(value)


def _utc(value: Any) -> Any:
    return value and value.astimezone(UTC)


def _trigger(task: PeriodicTask, policy: SchedulePolicy, notes: list[str]) -> dict[str, Any]:
    match timing.of(task, policy):
        case Every(number, unit):
            if unit == "microseconds":
                notes.append(f"it runs every {number} microseconds: the shortest period of a document is 1 second")
            if task.one_off:
                notes.append("it runs once only, after its first period: a document says once = a time")
            return {"every": f"{number} {unit[:-1] if number == 1 else unit}"}
        case Times(line, zone, day_rule):
            if task.one_off:
                notes.append("it runs once only, at the first of its times: a document says once = a time")
            return {"cron": line, "time_zone": str(zone), "day_rule": DayRule(day_rule)}
        case Once(at):
            return {"once": _utc(at)}
        case timing.Sun(event, latitude, longitude):
            return {"sun": Sun(event=event, latitude=float(latitude), longitude=float(longitude))}
        case None:
            notes.append("it has no interval, cron line or time: it never runs")
            return {}


def _parameters(task: PeriodicTask, notes: list[str]) -> dict[str, Any]:
    try:
        values = parameters_of(task)
    except ArgumentsError as error:
        notes.append(f"its arguments are left out: {error}")
        return {}
    jobs = catalogue.registry()
    if task.task not in jobs:
        return values

    def hide(label: str, value: Any) -> Any:
        if SecretReference.of(value) or value in (None, ""):
            return value
        notes.append(f"{label} is a secret that is kept as plain text: it is left out; save the schedule again")
        return ""

    return jobs[task.task].map_secrets(values, hide)


def _where(task: PeriodicTask, notes: list[str]) -> Where | None:
    place = places.of(task)
    match place.kind:
        case Kind.QUEUE:
            return Where(queue=place.name)
        case Kind.TOPIC:
            return Where(topic=place.name)
        case Kind.LABELS:
            return Where(labels=place.labels)
        case Kind.EVERY:
            return Where(every_machine=True)
        case Kind.OTHER:
            notes.append(f"where it runs is left out, another program has set it: {place.words}")
    return None


def _canonical(document: ScheduleDocument) -> dict[str, Any]:
    """Return all that the document says, defaults filled in, with one way to say each thing."""
    said: dict[str, Any] = {name: getattr(document, name) for name in ScheduleDocument.model_fields}
    preset = PRESETS[document.preset].values if document.preset else {}
    for name in SAME:
        initial = preset.get(name, ScheduleForm.base_fields[name].initial)
        value = initial if said[name] is None else said[name]
        said[name] = None if value is None or value == "" else value
    del said["preset"]
    said["every_nth_week"] = int(said["every_nth_week"] or 1)
    said["catch_up_cap"], said["attempts"] = int(said["catch_up_cap"]), int(said["attempts"])
    for name in ("every", "expires_after", *_PERIODS):
        said[name] = _as_period(said[name])
    for name in ("retry_doubles", "retry_varies"):
        said[name] = bool(said[name])
    # What cannot be read stays as it is: it will be refused.
    with contextlib.suppress(TriggerError):
        said["cron"] = cron.normalise(document.cron) if document.cron else None
    with contextlib.suppress(TriggerError, ValueError):
        zone = zone_of(document)
        said |= {name: moment(said[name], zone) for name in ("once", "start", "end")}
        said["time_zone"] = str(zone) if document.cron else None
    said["day_rule"] = DayRule(document.day_rule) if document.cron else None
    said["tags"] = sorted({" ".join(tag.split()).casefold() for tag in document.tags})
    said["blackouts"] = sorted(set(document.blackouts))
    where = said.pop("where")
    said["where"] = (where.model_dump(exclude_none=True) if where is not None else {}) or None
    said["sun"] = document.sun and document.sun.model_dump()
    parameters = said.pop("parameters")
    jobs = catalogue.registry()
    if document.job in jobs:
        with contextlib.suppress(ParameterError):
            parameters = jobs[document.job].validate(parameters)
    return said | {f"parameters.{name}": value for name, value in parameters.items()}


def _as_period(text: Any) -> Any:
    """Return the period that *text* says; no time at all is the same as none."""
    try:
        return (parse_duration(text.lower().removeprefix("every ")) or None) if isinstance(text, str) else text
    except ValueError:
        return text
