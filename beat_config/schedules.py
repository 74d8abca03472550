"""From the rows of a schedule to its pure trigger and policy, and to where its cursor belongs."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from beat_config.composed import Weeks, compose
from beat_config.models import Overlap, SchedulePolicy, WhenWrong
from beat_config.places import route_of
from beat_config.planner import Policy
from beat_config.solar import Solar
from beat_config.triggers import Clocked, Crontab, Interval, Trigger, TriggerError
from beat_config.wording import describe
from jobs import machines, terms
from jobs.models import Run
from jobs.retries import Retry
from jobs.states import State

# In the order of a cron line.
CRONTAB_COLUMNS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
# Everything a trigger is made of.
RELATED = ("schedule__interval", "schedule__crontab", "schedule__clocked", "schedule__solar")


class ArgumentsError(ValueError):
    """The arguments of a `PeriodicTask` are not what a job takes: named values, as JSON."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a schedule stands: its next fire, and what this came from."""

    next_fire_at: datetime | None
    anchor: datetime
    fingerprint: str
    settled_until: str


def trigger_of(policy: SchedulePolicy) -> Trigger:
    """Return the trigger that the schedule's rows describe; raise TriggerError when they describe none."""
    return _trigger(policy, policy.anchor)


def trigger_since(policy: SchedulePolicy, since: datetime) -> tuple[Trigger, datetime]:
    """Return the trigger that the rows describe when they hold since *since*, and its anchor; raise as above."""
    anchor = policy.schedule.start_time or since
    return _trigger(policy, anchor), anchor


def in_words(policy: SchedulePolicy) -> str:
    """Return when the schedule fires, in words, or the sentence that says why it cannot."""
    try:
        return describe(trigger_of(policy), timezone.get_current_timezone())
    except TriggerError as error:
        return str(error)


def cron_line(task: PeriodicTask, policy: SchedulePolicy) -> str:
    """Return the cron line of a schedule that has one: what was typed, or what the columns of its crontab say."""
    return policy.expression or " ".join(getattr(task.crontab, column) for column in CRONTAB_COLUMNS)


def policy_of(policy: SchedulePolicy) -> Policy:
    return _policy(policy.catch_up, policy.catch_up_window, policy.catch_up_cap, policy.grace)


@lru_cache(maxsize=4096)
def _policy(catch_up: str, window: timedelta, cap: int, grace: timedelta) -> Policy:
    return Policy(catch_up=catch_up, window=window, cap=cap, grace=grace)  # type: ignore[arg-type]  # the model's choices are the planner's words


def attempts_of(policy: SchedulePolicy) -> tuple[int, dict[str, Any] | None]:
    """Return how often a run of the schedule may be tried in all, and the terms of it; None: as its job says."""
    if policy.when_wrong == WhenWrong.JOB:
        return 1, None
    if policy.when_wrong == WhenWrong.LEAVE:
        return 1, _NEVER_AGAIN
    how = (policy.retry_delay, policy.retry_doubles, policy.retry_longest, policy.retry_varies)
    return policy.attempts, _again(policy.when_wrong, *how)


def columns_of(policy: SchedulePolicy) -> dict[str, Any]:
    """Return what the schedule's policies say of a run that is started by hand."""
    attempts, agreed = attempts_of(policy)
    return {
        "exclusive_key": exclusive_key(policy),
        "time_limit": policy.time_limit,
        "max_attempts": attempts,
        "terms": agreed,
    }


_NEVER_AGAIN = terms.with_retry(None, None)
_WENT_WRONG = {
    WhenWrong.CRASH: frozenset({State.INTERRUPTED}),
    WhenWrong.FAILURE: frozenset({State.FAILED, State.TIMED_OUT}),
    WhenWrong.ANY: frozenset({State.FAILED, State.TIMED_OUT, State.INTERRUPTED}),
}


@lru_cache(maxsize=4096)
def _again(when: str, delay: timedelta, doubles: bool, longest: timedelta, varies: bool) -> dict[str, Any]:
    return terms.with_retry(None, Retry(_WENT_WRONG[WhenWrong(when)], delay, doubles, longest, varies))


def parameters_of(task: PeriodicTask) -> dict[str, Any]:
    """Return the job's parameters; raise ArgumentsError when the row holds something else than named ones."""
    try:
        positional = json.loads(task.args) if task.args not in {"", "[]", None} else []
        named = json.loads(task.kwargs or "{}")
    except ValueError as error:
        raise ArgumentsError(f"cannot read the arguments: not JSON ({error}); save the schedule again") from error
    if positional or not isinstance(named, dict):
        raise ArgumentsError(f"cannot run with positional arguments {task.args}: name them in kwargs")
    return named


def exclusive_key(policy: SchedulePolicy) -> str | None:
    """Return what the schedule's runs share with those they must not run beside; None when they may."""
    if policy.overlap == Overlap.ALLOW:
        return None
    return policy.concurrency_key or f"schedule:{policy.schedule_id}"


def make_ready(run: Run, policy: SchedulePolicy, now: datetime) -> None:
    """Give *run*, unsaved, what its schedule says of every run, and have it sent to a worker at once."""
    task = policy.schedule
    run.dispatch_at = now
    run.time_limit = policy.time_limit
    run.route = route_of(task)
    run.expires_at = now + timedelta(seconds=task.expire_seconds) if task.expire_seconds else None
    run.max_attempts, run.terms = attempts_of(policy)
    run.exclusive_key = exclusive_key(policy)
    if run.route is not None and machines.is_whole(run.route):
        columns = machines.whole(run.route, run.exclusive_key, policy.overlap, expires_at=run.expires_at, now=now)
        for name, value in columns.items():
            setattr(run, name, value)


def cursor_of(policy: SchedulePolicy, now: datetime) -> Cursor:
    """Return where the cursor belongs at *now*: rows that it was computed from keep it, others start after the anchor.

    Unchanged rows whose time zone has new data go on after the last reading of the clock that is settled: what was to
    fire at 02:30 fires at 02:30, and not twice, whatever moment that has become; it may be one that has passed.
    Raises TriggerError when the rows describe no trigger.
    """
    fingerprint = fingerprint_of(policy)
    if not policy.schedule.enabled:
        return Cursor(None, policy.anchor, fingerprint, "")
    if fingerprint != policy.fingerprint:
        begun = min(policy.anchor, now)
        trigger, anchor = trigger_since(policy, begun)
        return Cursor(trigger.after(begun), anchor, fingerprint, settled(policy, begun))
    since = _settled_until(policy)
    if since is not None:
        return Cursor(trigger_of(policy).after(since), policy.anchor, fingerprint, policy.settled_until)
    return Cursor(policy.next_fire_at or trigger_of(policy).after(now), policy.anchor, fingerprint, "")


def settled(policy: SchedulePolicy, moment: datetime) -> str:
    """Return *moment* as the schedule's zone shows it, with its offset from UTC; empty where no zone matters."""
    task = policy.schedule
    return "" if task.crontab_id is None else moment.astimezone(task.crontab.timezone).isoformat()


def _settled_until(policy: SchedulePolicy) -> datetime | None:
    """Return the moment whose reading is settled, by the time zone data of today; None where no zone matters."""
    if not policy.settled_until or policy.schedule.crontab is None:
        return None
    zone = policy.schedule.crontab.timezone
    known = datetime.fromisoformat(policy.settled_until)
    if known.astimezone(zone).utcoffset() == known.utcoffset():
        return known
    return known.replace(tzinfo=zone).astimezone(UTC)


def has_changed(policy: SchedulePolicy) -> bool:
    """Tell whether the rows say something else than what the cursor was computed from."""
    return fingerprint_of(policy) != policy.fingerprint


def _trigger(policy: SchedulePolicy, anchor: datetime) -> Trigger:
    task = policy.schedule
    return compose(
        _unbounded(task, policy, anchor),
        weeks=_weeks(policy, anchor) if policy.every_nth_week > 1 else None,
        spread=policy.spread,
        seed=f"schedule {policy.schedule_id}",
        start=task.start_time,
        end=task.expires,
    )


def _weeks(policy: SchedulePolicy, anchor: datetime) -> Weeks:
    crontab = policy.schedule.crontab
    zone = ZoneInfo(settings.TIME_ZONE) if crontab is None else crontab.timezone
    return Weeks(policy.every_nth_week, policy.weeks_from or anchor.astimezone(zone).date(), zone)


def _unbounded(task: PeriodicTask, policy: SchedulePolicy, anchor: datetime) -> Trigger:
    # Asked for an id first: to find that there is no row takes longer than the rest.
    if task.interval_id is not None or task.interval is not None:
        return Interval(period=_period(task.interval.every, task.interval.period), anchor=anchor)
    if task.crontab is not None:
        return _crontab(cron_line(task, policy), task.crontab.timezone, policy.day_rule)
    if task.clocked is not None:
        return Clocked(at=task.clocked.clocked_time)
    if task.solar is not None:
        return Solar(task.solar.event, float(task.solar.latitude), float(task.solar.longitude))
    raise TriggerError(
        f"cannot fire {task.name!r}: it has no interval, crontab or time", field="schedule", value=str(task.name)
    )


@lru_cache(maxsize=4096)
def _period(every: int, period: str) -> timedelta:
    return timedelta(**{period: every})


@lru_cache(maxsize=4096)
def _crontab(line: str, zone: ZoneInfo, day_rule: str) -> Crontab:
    return Crontab(expression=line, zone=zone, day_rule=day_rule)  # type: ignore[arg-type]  # the model's choices are the trigger's words


def fingerprint_of(policy: SchedulePolicy) -> str:
    """Return a digest of all that the rows say about when the schedule fires."""
    task = policy.schedule
    columns: list[Any] = [task.enabled, _text(task.start_time), _text(task.expires), policy.expression, policy.day_rule]
    columns += [policy.every_nth_week, policy.weeks_from, policy.spread]
    if task.interval_id is not None:
        interval = task.interval
        columns += [interval.every, interval.period]
    if task.crontab_id is not None:
        columns += [cron_line(task, policy), task.crontab.timezone]
    if task.clocked_id is not None:
        columns.append(_text(task.clocked.clocked_time))
    if task.solar_id is not None:
        columns += [task.solar.event, _text(task.solar.latitude), _text(task.solar.longitude)]
    return _digest(tuple(columns))


def _text(value: object) -> str | None:
    """Return *value* as the digest has it: equal moments and numbers may be written in several ways."""
    return None if value is None else str(value)


@lru_cache(maxsize=4096)
def _digest(columns: tuple[Any, ...]) -> str:
    text = json.dumps([str(column) for column in columns])
    return hashlib.sha256(text.encode()).hexdigest()
