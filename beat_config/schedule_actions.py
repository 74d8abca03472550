"""What can be done to many schedules at once from their list, and how it is undone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F
from django.urls import reverse
from django.utils.html import format_html
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from beat_config import adoption, copies, deletion, snapshots, tags
from beat_config.models import Schedule, SchedulePolicy
from beat_config.running_now import run_now
from beat_config.schedules import ArgumentsError
from beat_config.secret_uses import used_by
from jobs import audit, catalogue
from jobs.bulk import Among
from jobs.permissions import RUN_SCHEDULE, may_use_job

# More are left to beat, which looks at them within a moment: somebody waits for the answer.
LOOKED_AT_ONCE = 50
MOST_RUNS = 50
# More cannot be undone in one go.
MOST_UNDONE = 1_000
ADD, CHANGE, DELETE = (f"beat_config.{verb}_schedule" for verb in ("add", "change", "delete"))


class ActionError(ValueError):
    """What was asked cannot be done; the message is for the person who asked."""


@dataclass(frozen=True, slots=True)
class Undo:
    """What undoes an action: another one, on these."""

    action: str
    ids: list[int]
    tags: str = ""


@dataclass(slots=True)
class Done:
    """What an action has done, in words, and what it could not do."""

    words: Any
    undo: Undo | None = None
    problems: list[str] = field(default_factory=list)
    # Where to go now, if not back to the list.
    address: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants something done with which schedules."""

    ids: Sequence[int]
    user: Any
    now: datetime
    tags: str = ""

    @property
    def by(self) -> str:
        return str(self.user.get_username())

    @property
    def schedules(self) -> Any:
        return Schedule.objects.filter(Among(F("pk"), self.ids))


@dataclass(frozen=True, slots=True)
class Action:
    label: str
    permission: str
    do: Callable[[Order], Done]
    # An action of the bar above the list, not of one row or of undoing alone.
    in_bulk: bool = True


def counted(number: int, what: str = "schedule") -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _run(order: Order) -> Done:
    schedules = list(order.schedules.order_by("name")[: MOST_RUNS + 1])
    if len(schedules) > MOST_RUNS:
        raise ActionError(f"cannot run more than {MOST_RUNS} schedules at once: choose fewer")
    _require_jobs(order, schedules)
    links, problems = [], []
    for schedule in schedules:
        try:
            run = run_now(schedule, by=order.by)
        except ArgumentsError as error:
            problems.append(f"{schedule.name}: {error}")
            continue
        address = reverse("admin:jobs_run_change", args=[run.pk])
        links.append(format_html('{}: <a class="underline" href="{}">run {}</a>', schedule.name, address, run.pk))
    words = format_html("Started {}", links[0]) if len(links) == 1 else f"Started {counted(len(links), 'run')}."
    return Done(words if links else "", problems=problems)


def _enable(order: Order) -> Done:
    _require_jobs(order, order.schedules.filter(enabled=False))
    return _switch(order, enabled=True)


def _disable(order: Order) -> Done:
    return _switch(order, enabled=False)


def _switch(order: Order, *, enabled: bool) -> Done:
    with transaction.atomic():
        changed = list(order.schedules.exclude(enabled=enabled).order_by("pk"))
        if not changed:
            return Done(f"Already {'enabled' if enabled else 'disabled'}: nothing was changed.")
        done = audit.Action.ENABLED if enabled else audit.Action.DISABLED
        audit.record_each(order.by, done, changed, {"enabled": not enabled}, {"enabled": enabled})
        ids = [schedule.pk for schedule in changed]
        PeriodicTask.objects.filter(Among(F("pk"), ids)).update(enabled=enabled)
        if len(ids) <= LOOKED_AT_ONCE:
            adoption.adopt(ids, order.now)
        PeriodicTasks.update_changed()
    state, back = ("enabled", "disable") if enabled else ("disabled", "enable")
    undo = _undo(order, back, ids) if enabled or _may_use_all(order, changed) else None
    subject = f"“{changed[0].name}” is" if len(changed) == 1 else f"{counted(len(changed))} are"
    return Done(f"{subject} {state}.", undo)


def _tag(order: Order) -> Done:
    names = _tag_names(order)
    before = _tagged(order, names)
    with transaction.atomic():
        tags.add_tags(order.ids, names)
        _record_tags(order, {"tags added": names})
    new = [pk for pk in order.ids if pk not in before]
    return Done(f"{counted(len(order.ids))} got {', '.join(names)}.", _undo(order, "untag", new, ", ".join(names)))


def _untag(order: Order) -> Done:
    names = _tag_names(order)
    had = _tagged(order, names)
    with transaction.atomic():
        tags.remove_tags(order.ids, names)
        _record_tags(order, {"tags removed": names})
    back = _undo(order, "tag", sorted(had), ", ".join(names)) if len(names) == 1 else None
    return Done(f"{', '.join(names)} is taken from {counted(len(had))}.", back)


def _tag_names(order: Order) -> list[str]:
    names = tags.parse(order.tags)
    if not names:
        raise ActionError("cannot change tags: type one or more first, separated by commas")
    return names


def _tagged(order: Order, names: Sequence[str]) -> set[int]:
    """Return those of the schedules that have one of these tags."""
    wanted = {name.casefold() for name in names}
    rows = SchedulePolicy.tags.through.objects.filter(Among(F("schedulepolicy"), order.ids))
    return {pk for pk, name in rows.values_list("schedulepolicy", "tag__name") if name.casefold() in wanted}


def _record_tags(order: Order, after: dict[str, Any]) -> None:
    audit.record_each(order.by, audit.Action.CHANGED, order.schedules, None, after)


def _delete(order: Order) -> Done:
    if len(order.ids) > MOST_UNDONE:
        raise ActionError(f"cannot delete more than {MOST_UNDONE:,} schedules at once: choose fewer")
    schedules = list(order.schedules)
    kept = deletion.delete(order.ids, by=order.by, now=order.now)
    subject = f"“{schedules[0].name}” is" if len(schedules) == 1 else f"{counted(len(kept))} are"
    undo = _undo(order, "restore", kept) if _may_use_all(order, schedules) else None
    return Done(f"{subject} deleted. What is deleted is kept for {deletion.KEPT.days} days.", undo)


def _restore(order: Order) -> Done:
    """Restore what was deleted: the numbers are those it is kept under."""
    kept = deletion.kept(order.now).filter(pk__in=order.ids)
    jobs = {record.rows["task"]["fields"]["task"] for record in kept}
    if not all(may_use_job(order.user, job) for job in jobs):
        raise PermissionDenied
    made = deletion.restore(order.ids, by=order.by, now=order.now)
    if not made:
        raise ActionError("cannot restore it: it is restored already, or was deleted more than 30 days ago")
    subject = f"“{made[0].name}” is" if len(made) == 1 else f"{counted(len(made))} are"
    return Done(f"{subject} restored.", _undo(order, "delete", [task.pk for task in made]))


def _duplicate(order: Order) -> Done:
    schedule = order.schedules.first()
    if schedule is None:
        raise ActionError("cannot duplicate the schedule: it is gone")
    _require_jobs(order, [schedule])
    job = catalogue.registry().get(schedule.task) if schedule.task in catalogue.registry() else None
    if job is not None and used_by(schedule, job) and not order.user.has_perm("jobs.view_secret"):
        raise PermissionDenied
    with transaction.atomic():
        made = copies.duplicate(schedule.pk, order.now)
        if made is None:
            raise ActionError("cannot duplicate the schedule: it is gone")
        stored = Schedule.objects.get(pk=made.pk)
        audit.record(order.by, audit.Action.ADDED, stored, None, snapshots.of(stored))
    address = reverse("admin:beat_config_schedule_change", args=[made.pk])
    return Done(f"This is a copy of “{schedule.name}”: it is disabled until you enable it.", address=address)


def _may_use_all(order: Order, schedules: Iterable[Schedule]) -> bool:
    return all(may_use_job(order.user, job) for job in {schedule.task for schedule in schedules})


def _require_jobs(order: Order, schedules: Iterable[Schedule]) -> None:
    if not _may_use_all(order, schedules):
        raise PermissionDenied


def _undo(order: Order, action: str, ids: Sequence[int], names: str = "") -> Undo | None:
    """Return how it is undone; None where there is nothing to undo, too much, or the person may not."""
    may = order.user.has_perm(ACTIONS[action].permission)
    return Undo(action, list(ids), names) if may and 0 < len(ids) <= MOST_UNDONE else None


ACTIONS = {
    "run_now": Action("Run now", RUN_SCHEDULE, _run),
    "enable": Action("Enable", CHANGE, _enable),
    "disable": Action("Disable", CHANGE, _disable),
    "tag": Action("Add tags", CHANGE, _tag),
    "untag": Action("Remove tags", CHANGE, _untag),
    "delete": Action("Delete", DELETE, _delete),
    "restore": Action("Restore", ADD, _restore, in_bulk=False),
    "duplicate": Action("Duplicate", ADD, _duplicate, in_bulk=False),
}
