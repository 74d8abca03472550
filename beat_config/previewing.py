"""What a schedule form that is being filled in would do: in words, the next fires, and what is special about them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from beat_config import celery_terms, form_sections
from beat_config.blackout_rows import blackout_of
from beat_config.composed import Weeks, compose
from beat_config.crowds import crowd_at
from beat_config.forms import ScheduleForm
from beat_config.preview import Preview, preview, warnings_about
from beat_config.timing import Every, Once, Times, Timing
from beat_config.triggers import Trigger, TriggerError, parse_zone
from beat_config.wording import describe, lateness

SHOWN = 10
# The fields that say when; mistakes in others are no reason to show nothing.
FIELDS = frozenset(
    {
        *("when", "every", "unit", "cron", "time_zone", "once", "event", "latitude", "longitude"),
        *("start_time", "expires", "every_nth_week", "weeks_from", "spread"),
    }
)
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Line:
    """One coming fire: in the schedule's zone, in the viewer's (empty where both clocks show the same), and more."""

    when: str
    there: str
    notes: list[str]
    runs: bool


def outlook(form: ScheduleForm, now: datetime, viewer_zone: str = "") -> dict[str, Any]:
    """Return the context of the preview: problems, or words, lines and warnings; and the summaries of all sections."""
    form.full_clean()
    return {
        **_coming(form, now, viewer_zone),
        "summaries": [
            (section.key, form_sections.summary(form, section))
            for section in (*form_sections.SECTIONS, form_sections.DETAILS)
        ],
        "celery": celery_terms.terms_of(form.cleaned_data, form.instance),
    }


def _coming(form: ScheduleForm, now: datetime, viewer_zone: str) -> dict[str, Any]:
    wanted: Timing | None = form.cleaned_data.get("timing")
    wrong = FIELDS & form.errors.keys()
    problems = [str(error) for name in wrong if form[name].data not in _NOTHING for error in form.errors[name]]
    if wrong or wanted is None:
        return {"problems": problems, "asks": [str(error) for name in wrong - {"when"} for error in form.errors[name]]}
    viewer = _viewer(viewer_zone)
    zone = wanted.zone if isinstance(wanted, Times) else _chosen_zone(form, wanted)
    try:
        trigger = _trigger(form, wanted, now, zone)
        blackouts = [blackout_of(row) for row in form.cleaned_data.get("blackouts") or ()]
        fires = preview(trigger, after=now, count=SHOWN, blackouts=blackouts)
        return {
            "words": describe(trigger, zone),
            "soon": f"next in {lateness(fires[0].fire_time - now)}" if fires and not fires[0].skipped else "",
            "lines": [_line(each, zone, viewer) for each in fires],
            "last": len(fires) < SHOWN,
            "warnings": [*warnings_about(trigger, after=now), *_crowd(form, wanted, fires, now)],
            "zone": zone,
            "viewer": viewer,
        }
    except TriggerError as error:
        return {"problems": [str(error)]}


_NOTHING = (None, "", ["", ""], [None, None])


def _viewer(name: str) -> ZoneInfo:
    try:
        return parse_zone(name)
    except TriggerError:
        return ZoneInfo(settings.TIME_ZONE)


def _chosen_zone(form: ScheduleForm, wanted: Timing) -> ZoneInfo:
    chosen = form.cleaned_data.get("time_zone") if isinstance(wanted, Once) else None
    return ZoneInfo(chosen or settings.TIME_ZONE)


def _crowd(form: ScheduleForm, wanted: Timing, fires: tuple[Preview, ...], now: datetime) -> list[str]:
    """Return the sentence about many others of the same minute, for what comes within a day."""
    runs = [fire.fire_time for fire in fires if not fire.skipped and fire.fire_time < now + _ONE_DAY]
    found = crowd_at(runs, besides=form.instance.pk)
    if found is None or (isinstance(wanted, Every) and wanted.unit == "seconds"):
        return []
    moment, count = found
    local = moment.astimezone(ZoneInfo(settings.TIME_ZONE))
    they = f"{count} other schedules run in the same minute ({local:%H:%M}) and may have to wait for one another."
    return [f"{they} Another minute helps, or a spread under Limits and exceptions."]


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


def _line(fire: Preview, zone: ZoneInfo, viewer: ZoneInfo) -> Line:
    local = fire.fire_time.astimezone(zone)
    notes = []
    if fire.moved_from is not None:
        notes.append(f"the clocks go forward: there is no {fire.moved_from:%H:%M}")
    if fire.repeated:
        notes.append("the clocks go back: this hour comes twice, it runs once")
    if fire.skipped:
        notes.append(f"skipped, {fire.skipped}")
    there = fire.fire_time.astimezone(viewer)
    differs = there.utcoffset() != local.utcoffset()
    return Line(_moment(local), _moment(there) if differs else "", notes, runs=not fire.skipped)


def _moment(moment: datetime) -> str:
    shown = f"{moment:%a %Y-%m-%d %H:%M}"
    return f"{shown}:{moment:%S}" if moment.second else shown
