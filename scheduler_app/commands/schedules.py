"""Schedules on the command line: found by name or number, shown, made and changed."""

import json
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from beat_config import adoption, deletion, documents, pausing, running_now
from beat_config import schedules as rows_of_schedules
from beat_config.blackout_rows import blackout_of
from beat_config.documents import DocumentError, ScheduleDocument
from beat_config.models import Schedule
from beat_config.preview import Preview, preview
from beat_config.schedules import ArgumentsError, trigger_of
from beat_config.triggers import TriggerError
from jobs import audit, catalogue
from jobs.errors import near_names
from jobs.models import Run
from scheduler_app.commands import runs
from scheduler_app.commands.problems import CommandProblem
from scheduler_app.commands.tables import Row

HEADINGS = ("number", "schedule", "job", "when", "next run", "last run")
# Of digits: more than this no database can hold.
_LONGEST_NUMBER = 18


def found(wanted: str) -> Schedule:
    """Return the schedule called *wanted*, or else of that number; CommandProblem says which are meant, perhaps."""
    schedules = Schedule.objects.select_related("policy")
    found: Schedule | None = schedules.filter(name=wanted).first()
    if found is None and wanted.isascii() and wanted.isdecimal() and len(wanted) <= _LONGEST_NUMBER:
        found = schedules.filter(pk=int(wanted)).first()
    if found is not None:
        return found
    near = _near(wanted)
    hint = f": did you mean {' or '.join(map(repr, near))}?" if near else "; scheduler-app schedule list shows all"
    raise CommandProblem(f"cannot find the schedule {wanted!r}{hint}")


def chosen(*, tag: str | None, job: str | None) -> QuerySet[Schedule]:
    """Return the schedules, by name, that fit what is asked for."""
    schedules: QuerySet[Schedule] = Schedule.objects.order_by("name")
    if tag is not None:
        schedules = schedules.filter(policy__tags__name__iexact=tag)
    if job is not None:
        schedules = schedules.filter(task=catalogue.registry()[job].name)
    return schedules


def rows(schedules: QuerySet[Schedule]) -> list[Row]:
    now = timezone.now()
    return [
        (
            str(each.pk),
            each.name,
            each.task,
            in_words(each),
            _next(each, now),
            last.get_state_display().lower() if (last := _last(each)) else "-",
        )
        for each in schedules.select_related("policy", *_TRIGGERS)
    ]


def all_as_json(schedules: QuerySet[Schedule]) -> list[dict[str, Any]]:
    return [_json(each.schedule, each.document) for each in documents.readings(schedules)]


def as_json(schedule: Schedule) -> dict[str, Any]:
    """Return what programs get of *schedule*: its number, its next time and its document."""
    return _json(schedule, documents.read(schedule))


def in_words(schedule: Schedule) -> str:
    """Return when *schedule* runs."""
    words = rows_of_schedules.in_words(schedule.policy)
    return words if schedule.enabled else f"{words} (disabled)"


def lines(schedule: Schedule) -> list[str]:
    """Return all about *schedule* for people: what differs from a schedule that nobody has touched."""
    now = timezone.now()
    document = documents.read(schedule)
    plain = ScheduleDocument(name=document.name, job=document.job)
    said = [f"{schedule.name} (schedule {schedule.pk})", f"When:       {in_words(schedule)}"]
    said.append(f"Next run:   {_next(schedule, now)}")
    said.append(f"Job:        {catalogue.title(schedule.task)} ({schedule.task})")
    shown = catalogue.shown_parameters(schedule.task, document.parameters)
    said += [f"Parameter:  {label} = {value}" for label, value in shown]
    differences = documents.differences(plain, document)
    said += [
        f"{name}: {becomes}"
        for name, (_, becomes) in differences.items()
        if becomes is not None and not name.startswith("parameters.") and name not in _SHOWN_ABOVE
    ]
    if last := _last(schedule):
        said.append(f"Last run:   {last.pk}, {last.get_state_display().lower()}")
    return said


_SHOWN_ABOVE = frozenset({"every", "cron", "once", "sun", "time_zone", "day_rule", "enabled"})
_TRIGGERS = ("interval", "crontab", "clocked", "solar")


def add(fields: dict[str, Any]) -> Schedule:
    """Make the schedule that *fields* say."""
    try:
        return documents.write(documents.parse(_typed(fields)), by=runs.by())
    except DocumentError as error:
        raise _problem(f"cannot add the schedule {fields.get('name')!r}", error) from error


def change(wanted: str, fields: dict[str, Any], job: str | None, parameters: dict[str, Any]) -> Schedule:
    """Change what *fields* say, and of the job's *parameters* those that are given."""
    schedule = found(wanted)
    before = documents.read(schedule)
    document = before.model_dump(mode="json", exclude_none=True)
    if any(name in fields for name in _TIMES):
        for name in (*_TIMES, "day_rule"):
            document.pop(name, None)
        if "cron" not in fields and "time_zone" not in fields:
            document.pop("time_zone", None)
    if job is not None:
        kept = before.parameters if job == before.job else {}
        fields = {**fields, "job": job, "parameters": {**kept, **parameters}}
    try:
        return documents.write(documents.parse({**document, **_typed(fields)}), schedule=schedule, by=runs.by())
    except DocumentError as error:
        raise _problem(f"cannot change the schedule {schedule.name!r}", error) from error


_TIMES = ("every", "cron", "once", "sun")


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    """Return *fields* with numbers, switches, lists and tables where the document wants them, and texts elsewhere."""
    return {name: _value(name, value) for name, value in fields.items()}


def _value(name: str, value: Any) -> Any:
    if not isinstance(value, str) or name not in _READ_AS_JSON:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value  # the document's own rules say what is needed


# Of the document, what is no text.
_READ_AS_JSON = frozenset(
    name
    for name in ScheduleDocument.model_fields
    if name not in {"name", "job", "description", "every", "cron", "once", "time_zone", "start", "end"}
)


def _problem(cannot: str, error: DocumentError) -> CommandProblem:
    return CommandProblem("\n".join([f"{cannot}:", *(f"  {each}" for each in error.problems)]))


def switch(schedule: Schedule, *, enabled: bool) -> str:
    """Enable or disable *schedule*; return what to say."""
    state = "enabled" if enabled else "disabled"
    with transaction.atomic():
        if not PeriodicTask.objects.filter(pk=schedule.pk, enabled=not enabled).update(enabled=enabled):
            return f"{schedule.name!r} was {state} already."
        done = audit.Action.ENABLED if enabled else audit.Action.DISABLED
        audit.record(runs.by(), done, schedule, {"enabled": not enabled}, {"enabled": enabled})
        adoption.adopt([schedule.pk], timezone.now())
        PeriodicTasks.update_changed()
    return f"{schedule.name!r} is {state}."


def delete(schedule: Schedule) -> str:
    deletion.delete([schedule.pk], by=runs.by(), now=timezone.now())
    return f"{schedule.name!r} is deleted; its history stays."


def pause(length: str) -> str:
    now = timezone.now()
    pausing.pause(pausing.end_of(length, now, ZoneInfo(settings.TIME_ZONE)), by=runs.by(), now=now)
    return pause_in_words()


def resume() -> str:
    if not pausing.resume(timezone.now(), by=runs.by()):
        return "Schedules were not paused."
    return "Schedules run again. What came due meanwhile is in the history as skipped."


def pause_in_words() -> str:
    """Return that all schedules are paused, and until when; empty when they are not."""
    pause = pausing.current(timezone.now())
    if pause is None:
        return ""
    until = f"{timezone.localtime(pause.end):%Y-%m-%d %H:%M:%S}" if pause.end else "somebody resumes them"
    return f"All schedules are paused until {until}."


def run_now(schedule: Schedule) -> Run:
    try:
        return running_now.run_now(schedule, by=runs.by())
    except ArgumentsError as error:
        raise CommandProblem(f"cannot run the schedule {schedule.name!r}: {error}") from error


def coming(schedule: Schedule, count: int) -> Sequence[Preview]:
    """Return the next *count* times of *schedule*, also while it is disabled."""
    policy = schedule.policy
    try:
        blackouts = [blackout_of(row) for row in policy.blackouts.all()]
        return preview(trigger_of(policy), after=timezone.now(), count=count, blackouts=blackouts)
    except TriggerError as error:
        raise CommandProblem(f"cannot say when {schedule.name!r} runs: {error}") from error


def coming_rows(coming: Sequence[Preview]) -> list[Row]:
    return [
        (f"{timezone.localtime(each.fire_time):%a %Y-%m-%d %H:%M:%S %Z}", "; ".join(_notes(each))) for each in coming
    ]


def coming_as_json(coming: Sequence[Preview]) -> list[dict[str, Any]]:
    return [{"at": timezone.localtime(each.fire_time).isoformat(), "skipped": each.skipped or None} for each in coming]


def _notes(fire: Preview) -> list[str]:
    notes = [f"skipped: {fire.skipped}"] if fire.skipped else []
    if fire.moved_from:
        notes.append(f"the clock skips {fire.moved_from:%H:%M}: right after it")
    if fire.repeated:
        notes.append("the clock shows this time twice: the first one")
    return notes


def _json(schedule: PeriodicTask, document: ScheduleDocument) -> dict[str, Any]:
    next_run = schedule.policy.next_fire_at if schedule.enabled else None
    return {
        "number": schedule.pk,
        "next_run": timezone.localtime(next_run).isoformat() if next_run else None,
        **document.model_dump(mode="json", exclude_none=True),
    }


def _next(schedule: Schedule, now: Any) -> str:
    if not schedule.enabled or schedule.policy.next_fire_at is None:
        return "-"
    return runs.moment(schedule.policy.next_fire_at, now)


def _last(schedule: Schedule) -> Run | None:
    return Run.objects.filter(schedule_id=schedule.pk).order_by("-pk").first()


def _near(wanted: str) -> list[str]:
    """Return the names that *wanted* may have been meant for: written otherwise, or its beginning, or a slip."""
    alike = list(Schedule.objects.filter(name__icontains=wanted).values_list("name", flat=True)[:3])
    return alike or near_names(wanted, Schedule.objects.values_list("name", flat=True)[:10_000])
