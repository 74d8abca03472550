"""What is going to fire in a stretch of time: looked at in advance, and no further than a page can show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from beat_config import due, pausing
from beat_config.blackout_rows import blackout_of
from beat_config.blackouts import Blackout, window_at
from beat_config.models import SchedulePolicy
from beat_config.schedules import RELATED, in_words, trigger_of
from beat_config.triggers import Trigger, TriggerError

# Reading a schedule's rows and making its trigger costs 0.1 ms, a fire of a cron line 20 µs.
MOST_SCHEDULES, MOST_FIRES = 300, 4_000


@dataclass(frozen=True, slots=True)
class Coming:
    """*fires* ascend; *is_cut*: there are more than were asked for. *skipped* says why some will not run."""

    schedule: int
    name: str
    words: str
    fires: tuple[datetime, ...]
    is_cut: bool
    skipped: dict[datetime, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outlook:
    """*left_out*: there are schedules that were not looked at, which fire later than those that were."""

    schedules: list[Coming]
    left_out: bool


def outlook(begin: datetime, end: datetime, *, each: int) -> Outlook:
    """Return the fires from *begin* up to *end*, at most *each* of a schedule; who fires next goes first."""
    firing = SchedulePolicy.objects.filter(look_at__lt=end, next_fire_at__lt=end, schedule__enabled=True, error="")
    policies = list(firing.select_related(*RELATED).order_by("look_at", "pk")[: MOST_SCHEDULES + 1])
    left_out = len(policies) > MOST_SCHEDULES
    found: list[Coming] = []
    room = MOST_FIRES
    blackouts, pauses = due.blackout_rows(policies), pausing.windows()
    for policy in policies[:MOST_SCHEDULES]:
        if room <= 0:
            return Outlook(found, left_out=True)
        try:
            trigger = trigger_of(policy)
        except (TriggerError, ValueError):  # it is on the overview, among what cannot run
            continue
        fires = list(_fires(trigger, policy, begin, end, min(each, room) + 1))
        room -= len(fires)
        windows = [*pauses, *(blackout_of(row) for row in blackouts.get(policy.pk, ()))]
        shown = tuple(fires[:each])
        if shown:
            name = str(policy.schedule.name)
            cut = len(fires) > len(shown)
            found.append(Coming(policy.pk, name, in_words(policy), shown, cut, _skipped(shown, windows)))
    return Outlook(found, left_out)


def _fires(trigger: Trigger, policy: SchedulePolicy, begin: datetime, end: datetime, most: int) -> Iterator[datetime]:
    fire = policy.next_fire_at
    if fire is not None and fire < begin:
        fire = trigger.after(begin)
    while fire is not None and fire < end and most > 0:
        yield fire
        most -= 1
        fire = None if policy.schedule.one_off else trigger.after(fire)


def _skipped(fires: Sequence[datetime], blackouts: Sequence[Blackout]) -> dict[datetime, str]:
    if not blackouts:
        return {}
    return {fire: window.reason for fire in fires if (window := window_at(blackouts, fire))}
