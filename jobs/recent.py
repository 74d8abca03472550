"""The newest runs of many schedules in one question, and what they say together: how they ended, how long they take."""

import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from jobs import wording
from jobs.models import Run
from jobs.states import State

COUNT = 20
# So many successes tell what is usual; it is called slow beyond twice that and by more than a moment.
ENOUGH, SLOW, A_MOMENT = 3, 2, timedelta(seconds=5)
WENT_WRONG = frozenset({State.FAILED, State.TIMED_OUT, State.INTERRUPTED})
# What an unfinished or never begun run says nothing about.
_TELLING = WENT_WRONG | {State.SUCCEEDED}
_COLUMNS = "id, schedule_id, state, created_at, started_at, finished_at, fire_time, machine, terms"


def of_schedules(schedules: Iterable[int]) -> dict[int, list[Run]]:
    """Return the newest COUNT runs of each of *schedules*, oldest first; of every machine's runs, the whole."""
    found: dict[int, list[Run]] = {schedule: [] for schedule in schedules}
    if not found:
        return found
    # A window function would read all runs of these schedules; this reads COUNT of each, through jobs_run_by_schedule.
    newest = (
        f"SELECT * FROM (SELECT {_COLUMNS} FROM jobs_run WHERE schedule_id = %s AND part_of IS NULL"  # noqa: S608 - constants only
        f" ORDER BY id DESC LIMIT {COUNT}) AS newest"
    )
    for run in Run.objects.raw(" UNION ALL ".join([newest] * len(found)), list(found)):
        found[run.schedule_id or 0].append(run)
    return {schedule: sorted(runs, key=lambda run: run.pk) for schedule, runs in found.items()}


def usual(runs: Iterable[Run]) -> timedelta | None:
    """Return how long these runs take when they succeed; None when too few have."""
    lengths = [
        (run.finished_at - run.started_at).total_seconds()
        for run in runs
        if run.state == State.SUCCEEDED and run.started_at and run.finished_at
    ]
    return timedelta(seconds=statistics.median(lengths)) if len(lengths) >= ENOUGH else None


def is_slow(length: timedelta | None, usually: timedelta | None) -> bool:
    return length is not None and usually is not None and length > usually * SLOW and length - usually > A_MOMENT


def last_told(runs: Sequence[Run]) -> Run | None:
    """Return the newest of *runs* that says whether the job works; None when none does."""
    return next((run for run in reversed(runs) if run.state in _TELLING), None)


def in_words(runs: Sequence[Run], now: datetime) -> str:
    """Return what somebody who does not see the marks has to know."""
    if not runs:
        return "It has not run yet."
    counts: dict[State, int] = {}
    for run in runs:
        counts[State(run.state)] = counts.get(State(run.state), 0) + 1
    parts = [f"{counts[state]} {state.label.lower()}" for state in State if state in counts]
    return f"Last {len(runs)} runs: {', '.join(parts)}. The newest: {one_in_words(runs[-1], now)}"


def one_in_words(run: Run, now: datetime) -> str:
    """Return "Failed, Tue 18:06:41, took 0.42 s"."""
    at = run.started_at or run.fire_time or run.created_at
    words = [State(run.state).label, wording.moment(timezone.localtime(at), now)]
    if run.started_at is not None:
        took = wording.seconds(wording.duration(run, now))
        words.append(f"{'for' if run.state == State.RUNNING else 'took'} {took}")
    return ", ".join(words)
