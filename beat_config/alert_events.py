"""What is worth an alert: found by looking at the tables every few seconds, so that no run waits for it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Max, Min
from django_celery_beat.models import PeriodicTask

from beat_config.models import AlertChannel, SchedulePolicy
from jobs import catalogue, services, terms
from jobs.models import Run
from jobs.states import ACTIVE, WAITING, State
from scheduler_app import ballast

Event = AlertChannel.Event
BAD = (State.FAILED, State.TIMED_OUT, State.INTERRUPTED)
LATE_AFTER = timedelta(minutes=5)
AWAY_AFTER = timedelta(minutes=1)
# Rows are seen when their transaction ends, a little after the time that stands in them; and clocks differ.
OVERLAP = timedelta(minutes=2)
# Of one kind in one look: a storm is told as such.
MOST = 500


@dataclass(frozen=True, slots=True)
class Happening:
    event: str
    text: str
    schedule: int | None = None


def look(noticed: Mapping[str, Any], now: datetime) -> tuple[dict[str, Any], list[Happening]]:
    """Return what has happened since *noticed*, and what is to be kept of it until the next look, as JSON.

    The first look notices what is wrong at present, and no runs that are over.
    """
    first = "until" not in noticed
    since = now if first else datetime.fromisoformat(noticed["until"])
    newest = Run.objects.aggregate(newest=Max("pk"))["newest"] or 0
    going = Run.objects.filter(finished_at=None, state__in=sorted(ACTIVE)).aggregate(first=Min("pk"))["first"]
    told = {int(pk): moment for pk, moment in noticed.get("told", {}).items()}
    failing = {int(schedule): run for schedule, run in noticed.get("failing", {}).items()}
    found: list[Happening] = []
    for run in _ended(int(noticed.get("floor", newest)), since - OVERLAP):
        if run.pk in told:
            continue
        told[run.pk] = (run.finished_at or now).isoformat()
        # An attempt that is followed by another one is not the end of it.
        if first or (run.terms or {}).get(terms.NEXT):
            continue
        if run.state in BAD and run.schedule_id is not None:
            failing[run.schedule_id] = run.pk
        event = Event.FAILED if run.state in BAD else Event.MISSED
        found.append(Happening(event, _how_it_ended(run), run.schedule_id))
    found += _recovered(failing)
    late = {run.pk: run for run in _late(now)}
    found += [_told_late(run) for pk, run in late.items() if pk not in noticed.get("late", ())]
    broken = list(noticed.get("broken", ()))
    if first or now.replace(second=0, microsecond=0) > since:  # once a minute: it goes through all schedules
        policies = {policy.pk: policy for policy in _broken()}
        found += [
            Happening(Event.BROKEN, f"{policy.schedule.name} cannot run: {policy.error}", pk)
            for pk, policy in policies.items()
            if pk not in broken
        ]
        broken = sorted(policies)
    away, news = _broker(bool(noticed.get("away")), now)
    disk, more_news = _disk(bool(noticed.get("disk")))
    keep = {
        "until": max(since, now).isoformat(),
        # Whatever ends from now on is going at this moment, or newer: the next look begins there.
        "floor": min(going or newest + 1, newest + 1),
        "told": {pk: at for pk, at in told.items() if datetime.fromisoformat(at) > now - 2 * OVERLAP},
        "failing": failing,
        "late": sorted(late),
        "broken": broken,
        "away": away,
        "disk": disk,
    }
    return keep, [*found, *news, *more_news]


def _ended(floor: int, since: datetime) -> Iterable[Run]:
    ended = Run.objects.filter(state__in=[*BAD, State.MISSED], pk__gte=floor, finished_at__gt=since, part_of=None)
    return ended.order_by("pk")[:MOST]


def _late(now: datetime) -> Iterable[Run]:
    # Those that are held wait for a run before them, and attempts for their time: neither is late.
    waiting = Run.objects.filter(state__in=sorted(WAITING), dispatch_at__isnull=False, attempt=1, part_of=None)
    return waiting.filter(fire_time__lt=now - LATE_AFTER).order_by("pk")[:MOST]


def _told_late(run: Run) -> Happening:
    due = f"{run.fire_time:%Y-%m-%d %H:%M} UTC" if run.fire_time else "earlier"
    return Happening(Event.MISSED, f"{_name(run)} is late: due {due}, not started yet", run.schedule_id)


def _recovered(failing: dict[int, int]) -> Iterable[Happening]:
    """Yield those of *failing* that work again; they are failing no more, nor are those that are gone."""
    for schedule, failed in list(failing.items())[:MOST]:
        after = Run.objects.filter(schedule=schedule, pk__gt=failed, state=State.SUCCEEDED).order_by("-pk").first()
        if after is not None:
            del failing[schedule]
            yield Happening(Event.RECOVERED, f"{_name(after)} works again (run {after.pk})", schedule)
        elif not PeriodicTask.objects.filter(pk=schedule).exists():
            del failing[schedule]


def _broken() -> Iterable[SchedulePolicy]:
    return SchedulePolicy.objects.exclude(error="").select_related("schedule").order_by("pk")[:MOST]


def _broker(known: bool, now: datetime) -> tuple[bool, list[Happening]]:
    away = services.alive(now).filter(broker_away_since__lt=now - AWAY_AFTER).order_by("broker_away_since").first()
    if away is None:
        return False, [Happening(Event.BROKER, "The message broker answers again")] if known else []
    text = f"The message broker does not answer since {away.broker_away_since:%Y-%m-%d %H:%M} UTC: runs wait for it"
    return True, [] if known else [Happening(Event.BROKER, text)]


def _disk(known: bool) -> tuple[bool, list[Happening]]:
    problem = ballast.problem(settings.SCHEDULER_PATHS.ballast, settings.SCHEDULER.retention.ballast)
    return bool(problem), [Happening(Event.DISK, problem)] if problem and not known else []


def _how_it_ended(run: Run) -> str:
    reason = f": {run.reason}" if run.reason else ""
    if run.state == State.MISSED:
        many = f" {run.covers} times" if run.covers > 1 else ""
        return f"{_name(run)} was missed{many}{reason}"
    what = {State.FAILED: "failed", State.TIMED_OUT: "took too long", State.INTERRUPTED: "was interrupted"}
    return f"{_name(run)} {what[State(run.state)]} (run {run.pk}){reason}"


def _name(run: Run) -> str:
    return run.schedule_name or catalogue.title(run.job)
