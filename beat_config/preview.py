"""What a schedule will do next, for people to look at before they save it. Pure; reads no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from beat_config.blackouts import Blackout, window_at
from beat_config.bounds import Bounded
from beat_config.composed import EveryNthWeek, Jittered
from beat_config.cron import compile_line
from beat_config.triggers import Crontab, Trigger, as_utc
from beat_config.wall_clock import ONE_SECOND, moment_of, reading_of
from beat_config.wording import both_days


@dataclass(frozen=True, slots=True)
class Preview:
    """One coming fire, in UTC.

    `moved_from` is the wall-clock time that was asked for, where a clock change swallows it and the fire comes right
    after; None elsewhere. `repeated` says that the wall clock shows the time of this fire twice. `skipped` is the
    reason why a blackout lets it not run, empty when it runs.
    """

    fire_time: datetime
    moved_from: datetime | None = None
    repeated: bool = False
    skipped: str = ""


def preview(
    trigger: Trigger, *, after: datetime, count: int, blackouts: Sequence[Blackout] = ()
) -> tuple[Preview, ...]:
    """Return the next *count* fires after *after*; fewer when there are no more."""
    crontab, offset = _crontab_in(trigger)
    previews: list[Preview] = []
    fire = trigger.after(as_utc(after))
    while fire is not None and len(previews) < count:
        window = window_at(blackouts, fire)
        previews.append(
            Preview(
                fire,
                moved_from=_moved_from(crontab, fire - offset) if crontab else None,
                repeated=_is_repeated(crontab, fire - offset) if crontab else False,
                skipped=window.reason if window else "",
            )
        )
        fire = trigger.after(fire)
    return tuple(previews)


def warnings_about(trigger: Trigger, *, after: datetime) -> tuple[str, ...]:
    """Return sentences about what people may not expect of *trigger*; none for most."""
    warnings: list[str] = []
    if trigger.after(as_utc(after)) is None:
        warnings.append(f"It does not fire after {as_utc(after):%Y-%m-%d %H:%M} (UTC).")
    crontab, _ = _crontab_in(trigger)
    if crontab is not None and (sentence := both_days(crontab)):
        warnings.append(sentence)
    return tuple(warnings)


def _crontab_in(trigger: Trigger) -> tuple[Crontab | None, timedelta]:
    """Return the cron line that a composed trigger is made of, if any, and how much later its fires come."""
    offset = timedelta(0)
    while isinstance(trigger, Bounded | EveryNthWeek | Jittered):
        if isinstance(trigger, Jittered):
            offset += trigger.offset
        trigger = trigger.trigger
    return (trigger if isinstance(trigger, Crontab) else None), offset


def _moved_from(crontab: Crontab, fire: datetime) -> datetime | None:
    """Return the first reading that the line asks for and the clock jumped over right before *fire*."""
    line = compile_line(crontab.expression, crontab.day_rule)
    before, shown = (reading_of(each.astimezone(crontab.zone)) for each in (fire - ONE_SECOND, fire))
    if not line.names_times_of_day or shown - before <= ONE_SECOND:
        return None
    asked = line.first_after(before)
    return asked if asked is not None and asked < shown else None


def _is_repeated(crontab: Crontab, fire: datetime) -> bool:
    wall = reading_of(fire.astimezone(crontab.zone))
    return moment_of(wall, crontab.zone) < moment_of(wall, crontab.zone, fold=1)
