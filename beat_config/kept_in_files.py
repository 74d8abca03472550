"""Schedules that a file says: what applying it would change, applying it, and what was changed by hand since.

A file changes and removes what it owns, which is what it has made or was told to take over; nothing else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction

from beat_config import deletion
from beat_config.document_form import FOLLOWERS
from beat_config.document_shape import DocumentError, Problem, ScheduleDocument, parse
from beat_config.documents import brief, differences, read, write
from beat_config.models import KeptInFile, Schedule
from beat_config.schedule_files import placed
from jobs.durations import format_duration


class Doing(StrEnum):
    ADD = "add"
    ADOPT = "adopt"
    CHANGE = "change"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Change:
    """What applying a file does to one schedule, and what of it somebody has changed by hand since the last time."""

    doing: Doing
    name: str
    details: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()


def apply(
    owner: str,
    documents: Sequence[ScheduleDocument],
    *,
    by: str,
    now: datetime,
    adopt: bool = False,
    only_tell: bool = False,
) -> list[Change]:
    """Make the schedules of *owner* what *documents* say, all or none, and return what that changes.

    Raises DocumentError, with nothing changed, for what makes no schedule, and for names that others' schedules have,
    unless they are to be adopted. *only_tell* tries all of it, and takes it back.
    """
    with transaction.atomic():
        # Read before anything goes: a follower takes its chains along.
        owned = {each.schedule.name: _Owned(each, read(each.schedule)) for each in _kept(file=owner)}
        wanted = {document.name for document in documents}
        changes = _remove([each for name, each in owned.items() if name not in wanted], by, now)
        problems: list[Problem] = []
        for number, document in _followers_first(documents):
            try:
                # A savepoint of its own: the others are tried too, so that all problems are told at once.
                with transaction.atomic():
                    changes += _put(owner, document, owned.get(document.name), by=by, now=now, adopt=adopt)
            except DocumentError as error:
                problems += placed(error, number, document.name)
        if problems:
            raise DocumentError(problems)
        transaction.set_rollback(only_tell)
    return sorted(changes, key=lambda change: change.name)


def changed_by_hand(kept: KeptInFile) -> dict[str, tuple[Any, Any]]:
    """Return what of the schedule is no longer as its file said, as `differences` does."""
    return _Owned(kept, read(kept.schedule)).by_hand


def of(schedule: int) -> KeptInFile | None:
    kept: KeptInFile | None = _kept(schedule=schedule).first()
    return kept


def in_words(found: dict[str, tuple[Any, Any]]) -> Iterator[str]:
    """Yield a line for each difference: the field, what it was, and what it becomes."""
    for name, (before, after) in found.items():
        yield f"{name}: {_shown(before)} → {_shown(after)}"


@dataclass(frozen=True, slots=True)
class _Owned:
    kept: KeptInFile
    now: ScheduleDocument

    @property
    def by_hand(self) -> dict[str, tuple[Any, Any]]:
        return differences(parse(self.kept.document), self.now)


def _kept(**conditions: Any) -> Any:
    return KeptInFile.objects.filter(**conditions).select_related("schedule")


def _remove(gone: Sequence[_Owned], by: str, now: datetime) -> list[Change]:
    changes = [Change(Doing.REMOVE, each.now.name, (), tuple(in_words(each.by_hand))) for each in gone]
    deletion.delete([each.kept.schedule.pk for each in gone], by=by, now=now)
    return changes


def _put(
    owner: str, document: ScheduleDocument, owned: _Owned | None, *, by: str, now: datetime, adopt: bool
) -> Iterator[Change]:
    schedule = owned.kept.schedule if owned else Schedule.objects.filter(name=document.name).first()
    doing = Doing.CHANGE if owned else Doing.ADOPT if schedule else Doing.ADD
    if doing is Doing.ADOPT and not adopt:
        other = of(schedule.pk)
        whose = f"it is kept in {other.file}" if other else "no file has made it"
        raise DocumentError(
            [Problem("name", document.name, f"there is such a schedule, and {whose}; --adopt takes it")]
        )
    before = owned.now if owned else read(schedule) if schedule else None
    details = tuple(in_words(differences(before, document))) if before else ()
    by_hand = tuple(in_words(owned.by_hand)) if owned else ()
    stored = write(document, schedule=schedule, by=by)
    KeptInFile.objects.update_or_create(
        schedule_id=stored.pk, defaults={"file": owner, "document": _as_json(document), "applied_at": now}
    )
    if doing is not Doing.CHANGE or details:
        yield Change(doing, document.name, details, by_hand)


def _as_json(document: ScheduleDocument) -> dict[str, Any]:
    plain = ScheduleDocument.model_construct(**brief(document))
    return plain.model_dump(mode="json", exclude_unset=True)


def _followers_first(documents: Sequence[ScheduleDocument]) -> Iterator[tuple[int, ScheduleDocument]]:
    """Yield the documents, each after those that it starts, with their numbers: what it names is then there.

    In a circle one comes before what it starts; the form refuses it.
    """
    numbers = {document.name: number for number, document in enumerate(documents)}
    done: set[str] = set()
    for document in documents:
        waiting = [document]
        seen: set[str] = set()
        while waiting:
            current = waiting[-1]
            names = [getattr(current, field) for field in FOLLOWERS]
            ahead = [documents[numbers[name]] for name in names if name in numbers and name not in done | seen]
            seen.add(current.name)
            if ahead:
                waiting += ahead
                continue
            waiting.pop()
            if current.name not in done:
                done.add(current.name)
                yield numbers[current.name] + 1, current


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else text[:99] + "…"  # noqa: PLR2004 - a line
