"""The way of a run, step by step: from when it was due to how it ended, and why it did not run, or does not yet.

Only what the database holds is said; what nobody wrote down is not guessed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from jobs import destinations, exit_codes, parents, terms, waiting, wording
from jobs.models import EVERY_MACHINE, Origin, Run
from jobs.states import ACTIVE, State

# Below this nobody calls it late.
PROMPT = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Step:
    """*moment* is None for what has not come yet: what the run waits for. *run* is another run that it is about."""

    moment: datetime | None
    sentence: str
    run: int | None = None


def steps_of(run: Run, now: datetime | None = None) -> list[Step]:
    """Return what became of *run* up to *now*, the present unless given, oldest first; then what it waits for."""
    now = now or timezone.now()
    parts = [_cause(run), _recorded(run, now), _sent(run), _started(run), _ended(run), _afterwards(run, now)]
    done = [step for part in parts for step in part]
    if run.state not in ACTIVE:
        return done
    sentence, another = waiting.waits_for(run, now)
    return [*done, Step(None, sentence, another)]


def _cause(run: Run) -> Iterator[Step]:
    previous = (run.terms or {}).get(terms.PREVIOUS)
    if previous:
        failed = Run.objects.filter(pk=previous).values_list("state", flat=True).first()
        how = f"run {previous} ended as {State(failed).label.lower()}" if failed else f"run {previous} did not succeed"
        yield Step(run.created_at, f"Attempt {run.attempt} of {run.max_attempts}: {how}.", previous)
    elif run.part_of:
        heard = f"{run.machine} heard of run {run.part_of}, which is for every machine."
        yield Step(run.created_at, heard, run.part_of)
    elif run.origin == Origin.CHAIN:
        parent = parents.parent_of(run)
        number = parents.parent_number(run)
        what = f"run {number} ({parent.schedule_name}) ended" if parent else f"run {number} ended"
        yield Step(run.created_at, f"Started because {what}.", number if parent else None)
    elif run.origin != Origin.SCHEDULE:
        yield Step(run.created_at, f"{run.requested_by or 'Somebody'} asked for it, {wording.way(run)}.")
    elif run.fire_time:
        yield Step(run.fire_time, _due(run))


def _due(run: Run) -> str:
    whose = f"by its schedule {run.schedule_name}" if run.schedule_name else "by its schedule"
    if run.covers > 1 and run.covers_until:
        until = timezone.localtime(run.covers_until)
        return f"Due {whose}: {run.covers:,} times until {until:%Y-%m-%d %H:%M:%S}, of which this is the one record."
    return f"Due {whose}."


def _recorded(run: Run, now: datetime) -> Iterator[Step]:
    if run.origin != Origin.SCHEDULE or run.attempt > 1 or run.part_of or run.fire_time is None:
        return
    late = run.created_at - (run.covers_until or run.fire_time)
    if late > PROMPT:
        yield Step(run.created_at, f"Noticed {wording.seconds(late)} late: no beat was running, or it was held up.")
    elif run.started_at is None and run.finished_at is None:
        yield Step(run.created_at, "Recorded by beat.")
    if run.machine == EVERY_MACHINE and run.expires_at:
        until = wording.local(run.expires_at, now)
        yield Step(run.created_at, f"For every machine: each that hears of it until {until} has a run of its own.")


def _sent(run: Run) -> Iterator[Step]:
    if run.queued_at:
        yield Step(run.queued_at, f"Sent to the message broker, for {destinations.words(run.route)}.")


def _started(run: Run) -> Iterator[Step]:
    if run.started_at is None:
        return
    late = run.started_at - run.fire_time if run.fire_time and run.attempt == 1 else run.started_at - run.created_at
    after = "it was due" if run.fire_time and run.attempt == 1 else "it was asked for"
    told = f", {wording.seconds(late)} after {after}" if late > PROMPT else ""
    yield Step(run.started_at, f"Started by the worker {run.worker}{told}." if run.worker else f"Started{told}.")
    if run.cancel_requested_at:
        yield Step(run.cancel_requested_at, f"Told to end: {run.reason or 'somebody asked for it'}.")


def _ended(run: Run) -> Iterator[Step]:
    if run.finished_at is None:
        return
    state, reason = State(run.state), run.reason.rstrip(".")
    if run.started_at is None and run.machine != EVERY_MACHINE:
        yield Step(run.finished_at, _not_run(run, state, reason), waiting.named_run(run.reason))
        return
    took = wording.seconds(wording.duration(run, run.finished_at))
    length = f" after {took}" if run.started_at else ""
    said = f"{_ENDS.get(state, state.label)}{length}" + (f": {reason}" if reason else "")
    code = exit_codes.words(run.exit_code) if run.exit_code else ""
    meaning = f" Exit code {run.exit_code}: {code}." if code else ""
    yield Step(run.finished_at, f"{said}.{meaning}")


_ENDS: Mapping[State, str] = {
    State.TIMED_OUT: "Stopped",
    State.CANCELLED: "Ended on request",
}


def _not_run(run: Run, state: State, reason: str) -> str:
    if state == State.FAILED:
        return f"Not run: {reason}."
    if state == State.CANCELLED:
        return f"Not run: {reason} before it started."
    if state == State.MISSED and run.expires_at and run.created_at < run.expires_at <= run.finished_at:  # type: ignore[operator]  # it has ended
        sent = "had been sent, and no worker took it in time" if run.queued_at else "could not be sent in time"
        until = timezone.localtime(run.expires_at)
        return f"Not run: {reason}. It could start until {until:%Y-%m-%d %H:%M:%S}; it {sent}."
    return f"Not run, {state.label.lower()}: {reason}." if reason else f"Not run: {state.label.lower()}."


def _afterwards(run: Run, now: datetime) -> Iterator[Step]:
    following = (run.terms or {}).get(terms.NEXT)
    if following and (attempt := Run.objects.filter(pk=following).first()):
        later = wording.waits_until(attempt, now)
        when = f", which starts at {wording.local(later, now)}" if later else ""
        yield Step(attempt.created_at, f"Tried again as run {attempt.pk}{when}.", attempt.pk)
    if run.finished_at:
        for each in parents.followers_of(run):
            yield Step(each.created_at, f"Its end started run {each.pk} ({each.schedule_name}).", each.pk)
