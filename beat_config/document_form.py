"""The schedule form, filled in from a document: every rule is the form's, every complaint at the document's path."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings

from beat_config import tags
from beat_config.document_shape import DocumentError, Problem, ScheduleDocument, Where
from beat_config.forms import ScheduleForm
from beat_config.models import Blackout, Schedule
from beat_config.parameter_fields import PREFIX, Given
from beat_config.places import Kind
from beat_config.presets import PRESETS
from beat_config.timing import Times
from beat_config.triggers import UNITS, TriggerError, parse_period, parse_zone
from beat_config.wall_clock import moment_of, reading_of
from jobs import catalogue
from jobs.durations import parse_duration
from jobs.errors import ParameterError, UnknownJob, near_names
from jobs.kinds import MASK, show
from jobs.registry import Job
from scheduler_app import routing

# The form's fields that a document has under the same name, and those it has under another.
SAME = (
    *("name", "enabled", "description", "cron", "weeks_from", "every_nth_week", "spread", "catch_up"),
    *("catch_up_window", "catch_up_cap", "grace", "expires_after", "overlap", "concurrency_key", "when_wrong"),
    *("attempts", "retry_delay", "retry_doubles", "retry_longest", "retry_varies", "time_limit", "priority"),
)
FOLLOWERS = {"on_success": "after_success", "on_failure": "after_failure", "on_end": "after_always"}
_PATHS = {
    **{form: document for document, form in FOLLOWERS.items()},
    "task": "job",
    "unit": "every",
    "start_time": "start",
    "expires": "end",
    **{name: f"sun.{name}" for name in ("event", "latitude", "longitude")},
    **{f"where_{kind}": f"where.{kind}" for kind in (Kind.QUEUE, Kind.TOPIC, Kind.LABELS)},
}
TRIGGERS = ("every", "cron", "once", "sun")
# A form that is left empty there means none, which people write as 0s.
_MAY_BE_ZERO = ("spread", "retry_delay", "expires_after")
_UNIT_OF_WORD = {word: f"{unit}s" for unit, (_, words) in UNITS.items() for word in words}
_HIGHEST_PRIORITY = 9


class _Raw(forms.Field):
    """Takes a parameter as it is: the job itself checks it."""

    widget = forms.HiddenInput

    def clean(self, value: Any) -> Any:
        return Given(value)


class _Moment(forms.DateTimeField):
    """Takes a moment as it is, to the microsecond and whatever its offset."""

    widget = forms.TextInput


class _DocumentForm(ScheduleForm):
    document: ScheduleDocument
    once = _Moment(required=False)  # type: ignore[assignment]  # not two fields, as on a page
    start_time = _Moment(required=False)  # type: ignore[assignment]  # not two fields, as on a page
    expires = _Moment(required=False)  # type: ignore[assignment]  # not two fields, as on a page

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        priority = self.fields["priority"]
        assert isinstance(priority, forms.ChoiceField)  # noqa: S101 - the form's
        # A page offers three; the broker knows them all.
        priority.choices = [("", ""), *((number, str(number)) for number in range(_HIGHEST_PRIORITY + 1))]
        priority.error_messages["invalid_choice"] = f"A whole number from 0 to {_HIGHEST_PRIORITY} is needed."

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if isinstance(cleaned.get("timing"), Times):
            wanted = replace(cleaned["timing"], day_rule=self.document.day_rule)
            cleaned["timing"] = self._checked("cron", wanted)
        return cleaned


def filled(document: ScheduleDocument, schedule: Schedule | None) -> ScheduleForm:
    """Return the valid form that says what *document* does, for *schedule* or a new one; raise DocumentError."""
    problems: list[Problem] = []
    job = _job(document, problems)
    values = {"preset": "", "task": document.job, **_timing(document, problems), **_rest(document, problems)}
    parameters = {}
    if job is not None:
        parameters = {PREFIX + each.name: _Raw(required=False) for each in job.parameters}
        given = document.parameters
        values |= {PREFIX + each.name: given.get(each.name, each.default) for each in job.parameters}
        missing = {each.name for each in job.parameters if each.required and each.name not in given}
        problems += _parameter_problems(job, document, missing)
    form_class = type("DocumentFormOf", (_DocumentForm,), {"job": job, "document": document, **parameters})
    form: ScheduleForm = form_class(values, instance=schedule)
    told = {problem.path.partition(".")[0] for problem in problems} | {problem.path for problem in problems}
    for name, sentences in form.errors.items():
        path = _path(name)
        if path not in told:
            problems += [Problem(path, _shown(document, path), str(sentence)) for sentence in sentences]
    if problems:
        raise DocumentError(problems)
    return form


def moment(value: datetime | None, zone: ZoneInfo) -> datetime | None:
    """Return *value* in UTC; one without an offset is a reading of the clock in *zone*. ValueError in a gap of it."""
    if value is None or value.utcoffset() is not None:
        return value and value.astimezone(UTC)
    found = moment_of(value, zone)
    if reading_of(found.astimezone(zone)) != reading_of(value):
        raise ValueError(f"there is no such time in {zone}: the clocks go forward over it")
    return found


def zone_of(document: ScheduleDocument) -> ZoneInfo:
    """Return the zone whose clock the document goes by; raise TriggerError."""
    return parse_zone(document.time_zone or settings.TIME_ZONE)


def every(text: str) -> tuple[int, str]:
    """Return the number and the unit that *text* says, in its own unit where it is one; raise TriggerError."""
    period = parse_period(text)
    words = text.lower().replace("every ", "").split()
    if len(words) == 2 and words[0].isascii() and words[0].isdigit():  # noqa: PLR2004 - a number and a unit
        return int(words[0]), _UNIT_OF_WORD[words[1]]
    for unit, (length, _) in UNITS.items():
        if period % length == timedelta(0):
            return period // length, f"{unit}s"
    raise TriggerError(f"cannot use {show(text)} as a period: whole seconds are needed", field="every", value=text)


def _job(document: ScheduleDocument, problems: list[Problem]) -> Job | None:
    try:
        return catalogue.registry()[document.job]
    except UnknownJob as error:
        problems.append(Problem("job", show(document.job), str(error)))
        return None


def _timing(document: ScheduleDocument, problems: list[Problem]) -> dict[str, Any]:
    given = [name for name in TRIGGERS if getattr(document, name) is not None]
    if len(given) != 1:
        said = f"here are {' and '.join(given)}" if given else "there is none of them"
        problems.append(Problem("every", "", f"exactly one of every, cron, once and sun is needed; {said}"))
    zone = ZoneInfo("UTC")
    try:
        zone = zone_of(document)
    except TriggerError as error:
        problems.append(Problem("time_zone", show(document.time_zone), str(error)))
    values: dict[str, Any] = {"when": {"cron": "times"}.get(given[0], given[0]) if given else "every"}
    values["time_zone"] = str(zone)
    for path, name in (("once", "once"), ("start", "start_time"), ("end", "expires")):
        try:
            values[name] = moment(getattr(document, path), zone)
        except ValueError as error:
            problems.append(Problem(path, str(getattr(document, path)), str(error)))
    if document.every is not None:
        try:
            values["every"], values["unit"] = every(document.every)
        except TriggerError as error:
            problems.append(Problem("every", show(document.every), str(error)))
    if document.sun is not None:
        values |= {"event": document.sun.event}
        values |= {name: f"{getattr(document.sun, name):f}" for name in ("latitude", "longitude")}
    return values


def _rest(document: ScheduleDocument, problems: list[Problem]) -> dict[str, Any]:
    preset: Mapping[str, str] = PRESETS[document.preset].values if document.preset else {}
    values: dict[str, Any] = {}
    for name in SAME:
        given = getattr(document, name)
        default = preset.get(name, ScheduleForm.base_fields[name].initial)
        values[name] = default if given is None else "" if name in _MAY_BE_ZERO and _is_zero(given) else given
    values |= {form: getattr(document, path) for path, form in FOLLOWERS.items()}
    values |= _where(document.where, problems)
    try:
        values["tags"] = ", ".join(tags.checked(document.tags))
    except tags.TagError as error:
        problems.append(Problem("tags", show(document.tags), str(error)))
    blackouts = dict(Blackout.objects.values_list("name", "pk"))
    for number, name in enumerate(document.blackouts):
        if name not in blackouts:
            near = near_names(name, blackouts)
            hint = f"did you mean {' or '.join(near)}?" if near else "make it in the admin first"
            problems.append(Problem(f"blackouts.{number}", show(name), f"there is no blackout of that name; {hint}"))
    values["blackouts"] = [blackouts[name] for name in document.blackouts if name in blackouts]
    return values


def _where(where: Where | None, problems: list[Problem]) -> dict[str, Any]:
    given = [] if where is None else [name for name, value in where if value is not None]
    if where is None or not given:
        return {"where": Kind.ANY}
    if len(given) > 1:
        problems.append(Problem("where", "", f"one of them is enough; here are {' and '.join(given)}"))
    values: dict[str, Any] = {"where": Kind.EVERY if where.every_machine else given[0]}
    values |= {"where_queue": where.queue or "", "where_topic": where.topic or ""}
    if where.labels is not None:
        odd = [text for pair in where.labels.items() for text in pair if "," in text or "=" in text]
        if odd:
            problems.append(Problem("where.labels", show(odd[0]), f"{show(odd[0])} holds a comma or an equals sign"))
        values["where_labels"] = routing.write_labels(where.labels)
    return values


def _parameter_problems(job: Job, document: ScheduleDocument, missing: set[str]) -> list[Problem]:
    try:
        job.validate(document.parameters)
    except ParameterError as error:
        return [
            Problem(f"parameters.{name}", "" if name in missing else _shown(document, f"parameters.{name}"), sentence)
            for name, sentence in error.problems.items()
        ]
    return []


def _path(field: str | None) -> str:
    if not field or field == "__all__":
        return ""
    if field.startswith(PREFIX):
        return f"parameters.{field.removeprefix(PREFIX)}"
    return _PATHS.get(field, field)


def _shown(document: ScheduleDocument, path: str) -> str:
    """Return the value at *path* as a sentence repeats it; one of a parameter that may be secret is not."""
    table, _, name = path.partition(".")
    if table == "parameters":
        jobs = catalogue.registry()
        parameters = jobs[document.job].parameters if document.job in jobs else ()
        open_ones = {each.name for each in parameters if not each.secret}
        return show(document.parameters.get(name)) if name in open_ones else MASK
    value: Any = getattr(document, table, None)
    return show(getattr(value, name, None) if name else value)


def _is_zero(text: str) -> bool:
    try:
        return parse_duration(text) == timedelta(0)
    except ValueError:
        return False
