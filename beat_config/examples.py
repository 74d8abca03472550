"""Three schedules that a new installation offers: each is added by one click and works as it is."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.http import QueryDict
from django_celery_beat.models import PeriodicTask

from beat_config import saving, snapshots
from beat_config.forms import form_for
from beat_config.models import Schedule
from beat_config.parameter_fields import PREFIX
from jobs import audit, catalogue

# With more schedules than that nobody is new here.
MOST = 3


class Example(NamedTuple):
    """*values* are what somebody would type into the form; *made_of* gives the parameters, by the machine it is on."""

    name: str
    sentence: str
    icon: str
    job: str
    values: dict[str, str]
    made_of: Callable[[], dict[str, str]]


class Offer(NamedTuple):
    """An example as a person is offered it; *schedule* is what came of it, None where it can be added."""

    key: str
    example: Example
    schedule: int | None


def _disk() -> dict[str, str]:
    return {"folders": str(settings.SCHEDULER_PATHS.data)}


def _page() -> dict[str, str]:
    # Reserved for examples by RFC 2606, and answers.
    return {"url": "https://example.com/"}


def _folders() -> dict[str, str]:
    paths = settings.SCHEDULER_PATHS
    target = paths.data / "backups"
    target.mkdir(mode=0o700, exist_ok=True)
    return {"sources": str(paths.jobs), "target": str(target), "name": "my-jobs"}


EXAMPLES = {
    "disk": Example(
        "Check the disk",
        "Every hour: is there still room on it? The run fails when less than 1 GB or 5 % is free.",
        "hard_drive",
        "check_disk_space",
        {"when": "every", "every": "1", "unit": "hours"},
        _disk,
    ),
    "page": Example(
        "Call a web address",
        "Every 5 minutes: does https://example.com/ answer? Put your own address there.",
        "language",
        "call_web_address",
        {"when": "every", "every": "5", "unit": "minutes"},
        _page,
    ),
    "backup": Example(
        "Back up a folder",
        "Every night at 02:30: the folder of your own jobs, into a zip file; the last 7 stay. Choose your own folder.",
        "folder_zip",
        "back_up_files",
        {"when": "times", "cron": "30 2 * * *", "preset": "once"},
        _folders,
    ),
}


def offers() -> list[Offer]:
    """Return all examples while there is nothing but some of them; none when all are there, or anything else is."""
    names = {example.name: key for key, example in EXAMPLES.items()}
    there = list(PeriodicTask.objects.values_list("name", "pk")[: MOST + 1])
    if len(there) >= len(names) or any(name not in names for name, _ in there):
        return []
    known = dict(there)
    return [Offer(key, example, known.get(example.name)) for key, example in EXAMPLES.items()]


def add(key: str, *, by: str, now: datetime) -> Schedule:
    """Store the example; KeyError when there is none of this name, ValueError with the reason when it is there."""
    example = EXAMPLES[key]
    form: Any = form_for(example.job)
    unbound = form()
    sent = QueryDict(mutable=True)
    sent.update({"name": example.name, "enabled": "on", "task": example.job})
    for parameter in catalogue.registry()[example.job].parameters:
        name = PREFIX + parameter.name
        if (initial := unbound.fields[name].initial) not in (None, False, ""):
            sent[name] = str(initial)
    sent.update({PREFIX + name: value for name, value in example.made_of().items()})
    sent.update(example.values)
    for name in ("catch_up", "overlap"):
        sent[name] = unbound.fields[name].initial
    filled = form(sent)
    if not filled.is_valid():
        raise ValueError(" ".join(str(error) for errors in filled.errors.values() for error in errors))
    with transaction.atomic():
        saving.save(filled, by=by, now=now)
        schedule: Schedule = filled.instance
        audit.record(by, audit.Action.ADDED, schedule, None, snapshots.of(schedule))
    return schedule
