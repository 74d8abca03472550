"""The start page: is all well, what runs, what comes next, what went wrong, how much ran, and on what."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from beat_config import pausing
from beat_config.models import SchedulePolicy
from jobs import catalogue, recent, wording
from jobs.counts import RunCounts
from jobs.models import Run
from jobs.progress_file import Progress
from jobs.states import State
from scheduler_app import platforms
from scheduler_app.config import Broker
from scheduler_app.web import charts, machinery
from scheduler_app.web.problems import problems

SHOWN = 8
DAY, HOURS, DAYS = timedelta(days=1), 24, 30
WENT_WRONG = (State.FAILED, State.TIMED_OUT, State.INTERRUPTED)
# So many of the newest successes are compared with what is usual.
COMPARED = 40

_counts = RunCounts()


@dataclass(frozen=True, slots=True)
class RunLine:
    """*usually* is how long such runs take, empty where nobody knows; *is_slow* when this one takes much longer."""

    run: Run
    name: str
    state: str
    colour: str
    took: str
    when: str
    progress: Progress | None = None
    usually: str = ""
    is_slow: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """*mood* is well, uneasy or bad."""

    mood: str
    headline: str
    details: str


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to *context* what the start page shows; Unfold calls this."""
    now = timezone.now()
    context["problems"] = problems(now)
    context["broker_note"] = broker_note(settings.SCHEDULER.broker)
    context["machinery"] = machinery.parts(now)
    if request.user.has_perm("beat_config.view_schedule"):
        context |= _schedules(now)
    if request.user.has_perm("jobs.view_run"):
        context |= _runs(now)
    context["verdict"] = _verdict(context)
    return context


def broker_note(broker: Broker) -> str:
    """Return how to get RabbitMQ where the embedded broker is used for want of it; "" elsewhere."""
    if broker.kind != "auto" or broker.url is not None:
        return ""
    found = platforms.find_rabbitmq()
    if found is None:
        to_do = f"For RabbitMQ instead: {platforms.rabbitmq_install_hint()}, then scheduler-app restart."
    else:
        to_do = found.problem() and f"{found.problem()}."
    return to_do and f"Runs travel through the embedded broker. {to_do}"


def _schedules(now: datetime) -> dict[str, Any]:
    coming = SchedulePolicy.objects.filter(
        next_fire_at__isnull=False, look_at__isnull=False, schedule__enabled=True, error=""
    )
    upcoming = [
        (policy, wording.local(policy.next_fire_at, now))
        for policy in coming.select_related("schedule").order_by("look_at")[:SHOWN]
    ]
    return {
        "pause": pausing.current(now),
        "pause_lengths": pausing.LABELS,
        "upcoming": upcoming,
        "is_empty": not upcoming and not SchedulePolicy.objects.exists(),
    }


def _runs(now: datetime) -> dict[str, Any]:
    day_ago = (now - DAY).replace(second=0, microsecond=0)
    since = _counts.first_at(day_ago, now)
    (counted,) = _counts.between([day_ago, now], now)
    running = list(Run.objects.filter(state=State.RUNNING).order_by("-pk")[: 2 * SHOWN])
    ended = list(Run.objects.filter(state=State.SUCCEEDED, pk__gte=since).order_by("-pk")[:COMPARED])
    usual = _usual([*running, *ended])
    slow = [run for run in ended if recent.is_slow(wording.duration(run, now), usual.get(run.schedule_id or 0))]
    return {
        "running": [_line(run, now, usual) for run in running],
        "running_count": Run.objects.filter(state=State.RUNNING).count(),
        "failed": [_line(run, now) for run in _newest(WENT_WRONG, since)],
        "failed_count": sum(counted.get(state, 0) for state in WENT_WRONG),
        "missed": [_line(run, now) for run in _newest((State.MISSED,), since)],
        "missed_count": counted.get(State.MISSED, 0),
        "succeeded_count": counted.get(State.SUCCEEDED, 0),
        "slow": [_line(run, now, usual) for run in slow[:SHOWN]],
        "latest": [_line(run, now) for run in Run.objects.order_by("-pk")[:SHOWN]],
        "charts": [
            ("hours", "The last 24 hours", "Hour", _chart(_hours(now), charts.hour, now)),
            ("days", "The last 30 days", "Day", _chart(_days(now), charts.day, now)),
        ],
    }


def _hours(now: datetime) -> list[datetime]:
    this = timezone.localtime(now).replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    return [this + timedelta(hours=number) for number in range(1 - HOURS, 2)]


def _days(now: datetime) -> list[datetime]:
    today, zone = timezone.localdate(now), timezone.get_current_timezone()
    days = [today + timedelta(days=number) for number in range(1 - DAYS, 2)]
    return [datetime(day.year, day.month, day.day, tzinfo=zone) for day in days]


def _chart(moments: list[datetime], label: Callable[[datetime], str], now: datetime) -> charts.Chart:
    labels = [label(timezone.localtime(moment)) for moment in moments[:-1]]
    return charts.chart(labels, _counts.between(moments, now))


def _newest(states: Iterable[State], since: int) -> list[Run]:
    """Return the newest runs that ended so, from number *since* on: a step into the index of states each."""
    found = [run for state in states for run in Run.objects.filter(state=state, pk__gte=since).order_by("-pk")[:SHOWN]]
    return sorted(found, key=lambda run: -run.pk)[:SHOWN]


def _usual(runs: Iterable[Run]) -> dict[int, timedelta]:
    """Return how long a run of each schedule of *runs* takes usually, where that is known."""
    known = recent.of_schedules({run.schedule_id for run in runs if run.schedule_id is not None})
    usual = {schedule: recent.usual(of_schedule) for schedule, of_schedule in known.items()}
    return {schedule: length for schedule, length in usual.items() if length is not None}


def _line(run: Run, now: datetime, usual: Mapping[int, timedelta] = MappingProxyType({})) -> RunLine:
    state = State(run.state)
    length = wording.duration(run, now)
    usually = usual.get(run.schedule_id) if run.schedule_id is not None else None
    return RunLine(
        run=run,
        name=run.schedule_name or catalogue.title(run.job),
        state=state.label,
        colour=wording.COLOURS[state],
        took=wording.seconds(length),
        when=wording.local(run.started_at or run.fire_time or run.created_at, now),
        progress=wording.progress(run),
        usually=wording.seconds(usually) if usually is not None else "",
        is_slow=recent.is_slow(length, usually),
    )


def _verdict(context: Mapping[str, Any]) -> Verdict:
    """Return whether all is well, in words, from what the page shows."""
    wrong, failed = len(context["problems"]), context.get("failed_count", 0)
    counts = [(context.get("succeeded_count", 0), "succeeded"), (failed, "failed")]
    counts.append((context.get("missed_count", 0), "missed"))
    told = ", ".join(f"{count:,} {word}" for count, word in counts if count)
    details = f"In the last 24 hours: {told}." if told else ""
    if wrong:
        return Verdict("bad", "1 thing needs you." if wrong == 1 else f"{wrong} things need you.", details)
    if failed:
        runs = "1 run has" if failed == 1 else f"{failed:,} runs have"
        return Verdict("uneasy", f"Schedules fire and workers run, but {runs} failed.", details)
    if context.get("pause"):
        return Verdict("uneasy", "All is well, and paused: no schedule starts anything.", details)
    return Verdict("well", "All is well: schedules fire and workers take their runs.", details)
