"""What a schedule was before each change that nobody has looked at yet, and what came due meanwhile.

A change may be made by any program while no beat runs, and another after it. Each left a line in the policy's `changes`
(see `change_marks`), so that every fire of every trigger that the schedule has had gets its decision.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from beat_config import planner
from beat_config.models import SchedulePolicy
from beat_config.planner import Fire, Verdict
from beat_config.schedules import CRONTAB_COLUMNS, fingerprint_of, trigger_of, trigger_since
from beat_config.triggers import Trigger

# Rows of the past have no keys any more, but have to have some.
NO_KEY = -1
DEGREES = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class _Change:
    at: datetime
    # Unsaved, with unsaved rows beside it.
    before: SchedulePolicy


def overtaken(policy: SchedulePolicy, now: datetime) -> tuple[list[Fire], datetime | None]:
    """Return what changes of *policy* overtook, a record each, and since when its rows say what they say.

    None: they still say what the cursor was computed from.
    """
    changes = [_change(policy.pk, json.loads(line)) for line in policy.changes.split("\n") if line]
    states = [*(change.before for change in changes), policy]
    if policy.fingerprint and policy.fingerprint != fingerprint_of(states[0]):
        return _unmarked(policy, now), now
    fires: list[Fire] = []
    since = None if policy.fingerprint else min(policy.anchor, now)
    if not changes:
        return fires, since
    trigger, due = _settled(policy, states[0]) if since is None else _since(states[0], since)
    for change, after in zip(changes, states[1:], strict=True):
        if fingerprint_of(change.before) == fingerprint_of(after):
            continue
        since = min(change.at, now)
        if trigger is not None and due is not None and due <= since:
            what = "changed" if after.schedule.enabled else "disabled"
            fires.append(planner.overtaken(trigger, due=due, until=since, what=what))
        if after is not policy:
            trigger, due = _since(after, since)
    return fires, since


def _unmarked(policy: SchedulePolicy, now: datetime) -> list[Fire]:
    """Return what can be said when no SQL trigger has seen a change: that the fire at the cursor does not run."""
    due, what = policy.next_fire_at, "changed" if policy.schedule.enabled else "disabled"
    if due is None or due > now:
        return []
    return [Fire(due, Verdict.MISSED, f"the schedule was {what} before this run was recorded")]


def _settled(policy: SchedulePolicy, state: SchedulePolicy) -> tuple[Trigger | None, datetime | None]:
    """Return the trigger that the cursor of *policy* was computed from, and the cursor."""
    if policy.next_fire_at is None:
        return None, None
    state.anchor = policy.anchor
    with suppress(Exception):
        return trigger_of(state), policy.next_fire_at
    return None, None


def _since(state: SchedulePolicy, since: datetime) -> tuple[Trigger | None, datetime | None]:
    """Return the trigger of rows that held since then, and its first fire; None for rows that described none."""
    if state.schedule.enabled:
        with suppress(Exception):
            trigger, _ = trigger_since(state, since)
            return trigger, trigger.after(since)
    return None, None


def _change(schedule: int, told: Mapping[str, Any]) -> _Change:
    task = PeriodicTask(
        pk=schedule,
        enabled=bool(told["enabled"]),
        start_time=_moment(told["start_time"]),
        expires=_moment(told["expires"]),
    )
    # A row that cannot be read, such as a zone that is none, described no trigger.
    with suppress(ValueError, KeyError, ArithmeticError):
        if told["every"] is not None:
            task.interval = IntervalSchedule(pk=NO_KEY, every=told["every"], period=told["period"])
        if told["minute"] is not None:
            columns = {column: told[column] for column in CRONTAB_COLUMNS}
            task.crontab = CrontabSchedule(pk=NO_KEY, timezone=ZoneInfo(told["timezone"]), **columns)
        if told["clocked_time"] is not None:
            task.clocked = ClockedSchedule(pk=NO_KEY, clocked_time=_moment(told["clocked_time"]))
        if told["event"] is not None:
            place = {name: Decimal(str(told[name])).quantize(DEGREES) for name in ("latitude", "longitude")}
            task.solar = SolarSchedule(pk=NO_KEY, event=told["event"], **place)
    weeks_from = told["weeks_from"]
    before = SchedulePolicy(
        expression=told["expression"],
        day_rule=told["day_rule"],
        every_nth_week=told["every_nth_week"],
        weeks_from=datetime.fromisoformat(weeks_from).date() if weeks_from else None,
        spread=timedelta(seconds=float(told["spread"])),
    )
    before.schedule = task
    moment = _moment(told["at"])
    assert moment is not None  # noqa: S101 - the SQL triggers write it
    return _Change(moment, before)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
