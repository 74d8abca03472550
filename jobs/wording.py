"""Runs in words: what the admin's lists and pages say."""

from datetime import datetime, timedelta

from django.utils import timezone

from jobs import parents, terms
from jobs.models import EVERY_MACHINE, Origin, Run
from jobs.progress_file import Progress
from jobs.states import State

# Unfold's names for its label colours.
COLOURS = {
    State.PENDING: "default",
    State.QUEUED: "default",
    State.RUNNING: "info",
    State.SUCCEEDED: "success",
    State.FAILED: "danger",
    State.TIMED_OUT: "danger",
    State.CANCELLED: "warning",
    State.INTERRUPTED: "danger",
    State.SKIPPED: "warning",
    State.MISSED: "warning",
}


def duration(run: Run, now: datetime) -> timedelta | None:
    """Return how long the run took, or has been going; None when it has not started."""
    if run.started_at is None:
        return None
    return (run.finished_at or now) - run.started_at


def seconds(length: timedelta | None) -> str:
    """Return a length as people read it: 0.42 s, 12.3 s, 3 min 5 s, 2 h 4 min."""
    if length is None:
        return "–"
    total = length.total_seconds()
    if total < 10:  # noqa: PLR2004 - two decimals say nothing beyond that
        return f"{total:.2f} s"
    if total < 60:  # noqa: PLR2004
        return f"{total:.1f} s"
    minutes, rest = divmod(int(total), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(when: datetime, now: datetime) -> str:
    """Return a time as short as it is clear, in the zone of *when*: 18:06:41, Tue 18:06:41, 2026-12-24 18:06:41."""
    away = abs((when.date() - now.astimezone(when.tzinfo).date()).days)
    if away == 0:
        return f"{when:%H:%M:%S}"
    return f"{when:%a %H:%M:%S}" if away < 7 else f"{when:%Y-%m-%d %H:%M:%S}"  # noqa: PLR2004 - days of a week


def local(when: datetime | None, now: datetime) -> str:
    """Return a time as `moment` does, in the zone of this installation."""
    return moment(timezone.localtime(when), now)


def progress(run: Run) -> Progress | None:
    """Return how far the run says it has come."""
    told = (run.terms or {}).get(terms.PROGRESS)
    return Progress(*told) if told else None


def waits_until(run: Run, now: datetime) -> datetime | None:
    """Return when a run that waits for its time is sent to a worker; None when it does not wait for a time."""
    later = run.state == State.PENDING and run.dispatch_at is not None and run.dispatch_at > now
    return run.dispatch_at if later else None


def machine(run: Run) -> str:
    """Return the machine that the run is for; empty for any."""
    return "every machine" if run.machine == EVERY_MACHINE else run.machine


def started_by(run: Run) -> str:
    if run.origin == Origin.SCHEDULE:
        return "its schedule"
    if run.origin == Origin.CHAIN:
        return f"the end of run {parents.parent_number(run)}"
    return f"{run.requested_by or 'somebody'}, {way(run)}"


def way(run: Run) -> str:
    """Return how somebody had the run started that no schedule and no other run started."""
    return _WAYS.get(Origin(run.origin), "by hand")


_WAYS = {
    Origin.API: "through the API",
    Origin.WEBHOOK: "through a web hook",
    Origin.PYTHON: "from Python",
    Origin.EXTERNAL: "as a Celery client",
}
