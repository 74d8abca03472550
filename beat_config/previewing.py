"""What a schedule form that is being filled in would do: in words, the next fires, and what is special about them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from beat_config import schedules
from beat_config.blackout_rows import blackout_of
from beat_config.composed import Weeks, compose
from beat_config.forms import ScheduleForm
from beat_config.models import SchedulePolicy
from beat_config.preview import Preview, preview, warnings_about
from beat_config.timing import Times, Timing
from beat_config.triggers import Trigger, TriggerError
from beat_config.wording import describe

SHOWN = 10
# The fields that say when; mistakes in others are no reason to show nothing.
FIELDS = frozenset(
    {
        *("when", "every", "unit", "cron", "time_zone", "once", "event", "latitude", "longitude"),
        *("start_time", "expires", "every_nth_week", "weeks_from", "spread"),
    }
)


@dataclass(frozen=True, slots=True)
class Line:
    """One coming fire: in the schedule's zone, here (empty where that is the same), and what is special about it."""

    when: str
    here: str
    notes: list[str]
    runs: bool


def outlook(form: ScheduleForm, now: datetime) -> dict[str, Any]:
    """Return the context of the preview: problems, or words, lines and warnings."""
    form.full_clean()
    wanted: Timing | None = form.cleaned_data.get("timing")
    problems = [str(error) for name in FIELDS & form.errors.keys() for error in form.errors[name]]
    if problems or wanted is None:
        return {"problems": problems}
    here = ZoneInfo(settings.TIME_ZONE)
    zone = wanted.zone if isinstance(wanted, Times) else here
    try:
        trigger = _trigger(form, wanted, now, zone)
        blackouts = [blackout_of(row) for row in form.cleaned_data.get("blackouts") or ()]
        return {
            "words": describe(trigger, here),
            "lines": [
                _line(each, zone, here) for each in preview(trigger, after=now, count=SHOWN, blackouts=blackouts)
            ],
            "warnings": warnings_about(trigger, after=now),
            "zone": zone,
            "here": here,
        }
    except TriggerError as error:
        return {"problems": [str(error)]}


def trigger_of(form: ScheduleForm, now: datetime) -> Trigger:
    """Return the trigger that the valid *form* describes; raise TriggerError."""
    wanted = form.cleaned_data["timing"]
    return _trigger(form, wanted, now, wanted.zone if isinstance(wanted, Times) else ZoneInfo(settings.TIME_ZONE))


def coming(policy: SchedulePolicy, now: datetime, count: int) -> tuple[Preview, ...]:
    """Return the next *count* fires of a stored schedule; none when it is disabled. Raises TriggerError."""
    if not policy.schedule.enabled:
        return ()
    blackouts = [blackout_of(row) for row in policy.blackouts.all()]
    return preview(schedules.trigger_of(policy), after=now, count=count, blackouts=blackouts)


def _trigger(form: ScheduleForm, wanted: Timing, now: datetime, zone: ZoneInfo) -> Trigger:
    cleaned, schedule = form.cleaned_data, form.instance
    start = cleaned.get("start_time")
    # An interval that is not changed goes on from its own anchor.
    kept = schedule.pk and not FIELDS & set(form.changed_data)
    anchor = schedule.policy.anchor if kept else start or now
    weeks = Weeks(cleaned["every_nth_week"], cleaned.get("weeks_from") or anchor.astimezone(zone).date(), zone)
    return compose(
        wanted.trigger(anchor),
        weeks=weeks,
        spread=cleaned["spread"],
        seed=f"schedule {schedule.pk}",
        start=start,
        end=cleaned.get("expires"),
    )


def _line(fire: Preview, zone: ZoneInfo, here: ZoneInfo) -> Line:
    local = fire.fire_time.astimezone(zone)
    notes = []
    if fire.moved_from is not None:
        notes.append(f"the clocks go forward: there is no {fire.moved_from:%H:%M}")
    if fire.repeated:
        notes.append("the clocks go back: this hour comes twice, it runs once")
    if fire.skipped:
        notes.append(f"skipped, {fire.skipped}")
    elsewhere = fire.fire_time.astimezone(here)
    differs = elsewhere.utcoffset() != local.utcoffset()
    return Line(_moment(local), _moment(elsewhere) if differs else "", notes, runs=not fire.skipped)


def _moment(moment: datetime) -> str:
    return f"{moment:%a %Y-%m-%d %H:%M:%S}"
