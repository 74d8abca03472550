"""Storing what was read from another program's schedules, and telling what could not be carried over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django_celery_beat.models import PeriodicTask

from beat_config.document_form import FOLLOWERS
from beat_config.document_shape import DocumentError, ScheduleDocument, parse
from beat_config.documents import write
from beat_config.importing.found import Found


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one schedule: *done* tells whether it is here now; *notes* what is different, or why it is not."""

    place: str
    name: str
    done: bool
    notes: tuple[str, ...]


def store(found: Sequence[Found], *, by: str, enable: bool, only_tell: bool) -> list[Imported]:
    """Make schedules of all that can be carried over, disabled unless *enable*; a name that is taken stays out.

    *only_tell* tries all of it, and takes it back.
    """
    with transaction.atomic():
        results = [_store(each, by, enable=enable) for each in found]
        done = {result.name for result in results if result.done}
        results = [
            replace(result, notes=(*result.notes, *_follow(each, done, by))) if result.done else result
            for each, result in zip(found, results, strict=True)
        ]
        transaction.set_rollback(only_tell)
    return results


def _store(found: Found, by: str, *, enable: bool) -> Imported:
    if not found.values:
        return Imported(found.place, found.name, done=False, notes=tuple(found.notes))
    if PeriodicTask.objects.filter(name=found.name).exists():
        return Imported(found.place, found.name, done=False, notes=("there is a schedule of this name already",))
    enabled = enable and found.values.get("enabled", True)
    try:
        with transaction.atomic():
            write(_document(found, enabled=enabled, leave_out=FOLLOWERS), by=by)
    except DocumentError as error:
        return Imported(found.place, found.name, done=False, notes=(*map(str, error.problems), *found.notes))
    return Imported(found.place, found.name, done=True, notes=tuple(found.notes))


def _follow(found: Found, done: set[str], by: str) -> Iterator[str]:
    """Give the stored schedule its followers, now that all are there; yield what cannot be."""
    wanted = {field: found.values[field] for field in FOLLOWERS if found.values.get(field)}
    for field, name in wanted.items():
        if name not in done:
            yield f"{field}: {name} is not carried over, so nothing starts it"
    kept = [field for field, name in wanted.items() if name in done]
    if not kept:
        return
    schedule = PeriodicTask.objects.get(name=found.name)
    document = _document(found, enabled=schedule.enabled, leave_out=[field for field in FOLLOWERS if field not in kept])
    try:
        with transaction.atomic():
            write(document, schedule=schedule, by=by)
    except DocumentError as error:
        yield str(error)


def _document(found: Found, *, enabled: bool, leave_out: Any) -> ScheduleDocument:
    said = {name: value for name, value in found.values.items() if name not in leave_out}
    return parse({**said, "enabled": enabled})
