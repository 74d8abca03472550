"""The lines of a list of schedules: all that one page shows of them, in a handful of questions."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from beat_config import places
from beat_config.models import LOOK_NOW, Schedule, SchedulePolicy
from beat_config.schedules import in_words
from jobs import catalogue, recent, wording
from jobs.models import Run
from jobs.permissions import may_use_job
from jobs.states import State

_RELATED = ("policy", "interval", "crontab", "clocked", "solar")


@dataclass(frozen=True, slots=True)
class Row:
    schedule: Schedule
    job: str
    place: str
    when: str
    tags: list[str]
    problem: str
    next_at: datetime | None
    next_text: str
    strip: SafeString
    outcomes: str
    failing: bool
    running_since: datetime | None
    took: str
    usual: str
    slow: bool
    may_use: bool

    @property
    def version(self) -> str:
        """What tells the row as it is shown from another."""
        shown = [self.schedule.name, self.schedule.enabled, self.job, self.place, self.when, self.tags, self.problem]
        shown += [self.next_at, self.strip, self.took if self.running_since is None else "", self.usual, self.may_use]
        return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def rows_of(ids: Sequence[int], user: Any, now: datetime) -> list[Row]:
    """Return the rows of the schedules *ids*, in this order; those that are gone are left out."""
    schedules = (
        Schedule.objects.filter(pk__in=ids)
        .select_related(*_RELATED)
        .prefetch_related("policy__tags", "chained_after__leader")
        .in_bulk()
    )
    runs = recent.of_schedules(schedules)
    usable = {task: may_use_job(user, task) for task in {each.task for each in schedules.values()}}
    return [_row(schedules[pk], runs[pk], usable[schedules[pk].task], now) for pk in ids if pk in schedules]


def _row(schedule: Schedule, runs: list[Run], may_use: bool, now: datetime) -> Row:
    policy: SchedulePolicy = schedule.policy
    place = places.of(schedule)
    usually = recent.usual(runs)
    told = recent.last_told(runs)
    last = next((run for run in reversed(runs) if run.started_at is not None), None)
    took = wording.duration(last, now) if last else None
    next_at = policy.next_fire_at if schedule.enabled and not policy.error and policy.look_at != LOOK_NOW else None
    return Row(
        schedule=schedule,
        job=catalogue.title(schedule.task),
        place="" if place.kind is places.Kind.ANY else place.words,
        when=_when(schedule, policy),
        tags=sorted((tag.name for tag in policy.tags.all()), key=str.casefold),
        problem=policy.error if schedule.enabled else "",
        next_at=next_at,
        next_text=_next(schedule, policy, next_at, now),
        strip=strip(runs, now),
        outcomes=recent.in_words(runs, now),
        failing=told is not None and told.state in recent.WENT_WRONG,
        running_since=last.started_at if last and last.state == State.RUNNING else None,
        took=wording.seconds(took) if last else "",
        usual=wording.seconds(usually) if usually is not None else "",
        slow=recent.is_slow(took, usually),
        may_use=may_use,
    )


def strip(runs: Sequence[Run], now: datetime) -> SafeString:
    """Return a mark for each run, told apart by shape and colour; empty places before the first."""
    empty = SafeString('<i class="outcome"></i>' * (recent.COUNT - len(runs)))
    marks = ((run.state, recent.one_in_words(run, now)) for run in runs)
    return empty + format_html_join("", '<i class="outcome outcome-{}" title="{}"></i>', marks)


def _when(schedule: Schedule, policy: SchedulePolicy) -> str:
    after = [f"after {chain.leader.name}, {chain.get_when_display()}" for chain in schedule.chained_after.all()]
    return "; ".join([*([in_words(policy)] if schedule.enabled or not after else []), *after])


def _next(schedule: Schedule, policy: SchedulePolicy, next_at: datetime | None, now: datetime) -> str:
    if not schedule.enabled:
        return "disabled"
    if policy.error:
        return "cannot run"
    if next_at is not None:
        return wording.moment(timezone.localtime(next_at), now)
    return "not looked at yet" if policy.look_at == LOOK_NOW else "no more"
