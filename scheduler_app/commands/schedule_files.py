"""Files of schedules and other programs' schedules: what the verbs about them do and say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from django.utils import timezone

from beat_config import imported, kept_in_files, schedule_files
from beat_config.document_shape import DocumentError
from beat_config.documents import readings
from beat_config.importing import cronicle, crontab
from beat_config.importing.found import Found, ImportProblem
from beat_config.kept_in_files import Change, Doing
from beat_config.models import Schedule
from jobs.errors import near_names
from scheduler_app.commands.problems import CommandProblem
from scheduler_app.web import person

LARGEST_IMPORT = 8_000_000


def exported(names: Sequence[str], tags: Sequence[str], *, as_json: bool) -> str:
    """Return the schedules called *names*, or of these tags, or all, as a file; CommandProblem names what is not."""
    schedules = Schedule.objects.all()
    if tags:
        schedules = schedules.filter(policy__tags__name__in=tags).distinct()
    if names:
        known = set(schedules.values_list("name", flat=True))
        for name in names:
            if name not in known:
                near = near_names(name, known)
                hint = f": did you mean {' or '.join(map(repr, near))}?" if near else ""
                raise CommandProblem(f"cannot export the schedule {name!r}: there is none of that name{hint}")
        schedules = schedules.filter(name__in=names)
    write = schedule_files.json_of if as_json else schedule_files.toml_of
    return write(readings(schedules))


def changes(file: Path, *, adopt: bool, only_tell: bool) -> list[Change]:
    """Make the schedules what *file* says, or only tell what that would change; CommandProblem says what is wrong."""
    by = person.at_the_command_line()
    try:
        owner, documents = schedule_files.read_file(file)
        now = timezone.now()
        return kept_in_files.apply(owner, documents, by=by, now=now, adopt=adopt, only_tell=only_tell)
    except DocumentError as error:
        raise CommandProblem(f"{error}\nNothing was changed.") from error


_SIGNS = {Doing.ADD: "+ add", Doing.ADOPT: "~ take over", Doing.CHANGE: "~ change", Doing.REMOVE: "- remove"}


def lines_of(found: Sequence[Change]) -> Iterator[str]:
    for change in found:
        yield f"{_SIGNS[change.doing]} {change.name}"
        yield from (f"    {detail}" for detail in change.details)
        yield from (f"    changed by hand since it was applied: {detail}" for detail in change.by_hand)
    if not found:
        yield "Everything is as the file says."


def read_other(kind: str, source: str, *, system: bool) -> list[Found]:
    """Return the schedules of another program that *source* names; CommandProblem says why it cannot be read."""
    try:
        return READERS[kind](source, system)
    except ImportProblem as error:
        raise CommandProblem(f"cannot import {source}: {error}") from error


def bring(found: Sequence[Found], *, enable: bool, only_tell: bool) -> list[imported.Imported]:
    return imported.store(found, by=person.at_the_command_line(), enable=enable, only_tell=only_tell)


def _bytes_of(source: str) -> bytes:
    path = Path(source)
    try:
        if path.stat().st_size > LARGEST_IMPORT:
            raise ImportProblem(f"it has more than {LARGEST_IMPORT} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ImportProblem(error.strerror or str(error)) from error


def _text_of(source: str) -> str:
    try:
        return _bytes_of(source).decode("utf-8-sig")
    except ValueError as error:
        raise ImportProblem("it is no UTF-8 text") from error


READERS: Mapping[str, Callable[[str, bool], list[Found]]] = {
    "crontab": lambda source, system: crontab.read(_text_of(source), system=system),
    "cronicle": lambda source, _system: cronicle.read(_text_of(source)),
}
