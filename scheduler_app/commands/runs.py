"""Runs on the command line: found, listed, and what programs get of one."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from jobs import catalogue, services, steps, wording
from jobs.kinds import SecretReference
from jobs.models import Run, Service
from jobs.states import State
from scheduler_app.commands.problems import CommandProblem, NobodyWorksError
from scheduler_app.commands.tables import Row
from scheduler_app.web import person

HEADINGS = ("run", "state", "what", "due", "started", "took", "why")
# What a shell gets for a run that ended without an exit code of its own, as timeout(1), env(1) and shells say it.
ENDINGS = {
    State.SUCCEEDED: 0,
    State.FAILED: 1,
    State.TIMED_OUT: 124,
    State.SKIPPED: 125,
    State.MISSED: 125,
    State.CANCELLED: 130,
    State.INTERRUPTED: 137,
}
_LONGEST_REASON = 60


def by() -> str:
    """Return who asks, as the history and the audit log name them."""
    return person.at_the_command_line()


def found(number: int) -> Run:
    run = Run.objects.filter(pk=number).first()
    if run is None:
        raise CommandProblem(
            f"cannot find run {number}: the history has none of this number; scheduler-app run list shows the newest"
        )
    return run


def newest(
    count: int,
    *,
    states: Sequence[str] = (),
    schedule: int | None = None,
    job: str | None = None,
    before: int | None = None,
) -> list[Run]:
    """Return the newest *count* runs, newest first, that fit all that is asked for."""
    runs = Run.objects.order_by("-pk")
    if states:
        runs = runs.filter(state__in=states)
    if schedule is not None:
        runs = runs.filter(schedule_id=schedule)
    if job is not None:
        runs = runs.filter(job=catalogue.registry()[job].name)
    if before is not None:
        runs = runs.filter(pk__lt=before)
    return list(runs[:count])


def rows(runs: Iterable[Run]) -> list[Row]:
    now = timezone.now()
    return [
        (
            str(run.pk),
            State(run.state).label.lower(),
            run.schedule_name or run.job,
            moment(run.fire_time, now),
            moment(run.started_at, now),
            wording.seconds(wording.duration(run, now)),
            _shortened(run.reason),
        )
        for run in runs
    ]


def as_json(run: Run) -> dict[str, Any]:
    """Return what programs get of *run*; moments in ISO 8601, secrets by their names."""
    told = wording.progress(run)
    took = wording.duration(run, timezone.now())
    return {
        "run": run.pk,
        "state": run.state,
        "schedule": run.schedule_name or None,
        "job": run.job,
        "parameters": _without_secrets(run),
        "origin": run.origin,
        "requested_by": run.requested_by or None,
        "attempt": run.attempt,
        "due": _iso(run.fire_time),
        "recorded": _iso(run.created_at),
        "started": _iso(run.started_at),
        "finished": _iso(run.finished_at),
        "seconds": took.total_seconds() if took else None,
        "exit_code": run.exit_code,
        "reason": run.reason or None,
        "worker": run.worker or None,
        "progress": {"done": told.done, "total": told.total, "text": told.text} if told else None,
        "output_size": run.output_size,
    }


def lines(run: Run) -> list[str]:
    """Return all about *run* for people."""
    now = timezone.now()
    said = [f"Run {run.pk}: {run.schedule_name or run.job}", f"State:      {State(run.state).label}"]
    if told := wording.progress(run):
        percent = "" if told.percent is None else f" ({told.percent} %)"
        said.append(f"Progress:   {told.done:g}{percent} {told.text}".rstrip())
    said.append(f"Job:        {catalogue.title(run.job)} ({run.job})")
    said += [f"Parameter:  {label} = {value}" for label, value in catalogue.shown_parameters(run.job, run.parameters)]
    said.append(f"Started by: {wording.started_by(run)}")
    said.append(f"Took:       {wording.seconds(wording.duration(run, now))}")
    if run.exit_code is not None:
        said.append(f"Exit code:  {run.exit_code}")
    said.append(f"Output:     {run.output_size:,} bytes")
    for step in steps.steps_of(run, now):
        said.append(
            f"{f'{timezone.localtime(step.moment):%Y-%m-%d %H:%M:%S}' if step.moment else 'now':<19}  {step.sentence}"
        )
    return said


def exit_code(run: Run) -> int:
    """Return what a shell gets for *run*, which has ended: its own exit code where it has one."""
    if run.state == State.FAILED and run.exit_code:
        return run.exit_code
    return ENDINGS[State(run.state)]


def steps_as_json(run: Run) -> list[dict[str, Any]]:
    return [{"at": _iso(each.moment), "said": each.sentence, "run": each.run} for each in steps.steps_of(run)]


def require_worker() -> None:
    """Raise NobodyWorksError where a run would be waited for in vain."""
    if not is_anybody_working():
        raise NobodyWorksError(
            "cannot wait for a run: nothing runs that would start it; start the scheduler with scheduler-app start, or"
            " leave --wait and --follow out"
        )


def is_anybody_working() -> bool:
    """Tell whether a worker, on this machine or another one, gave a sign of life lately."""
    return services.alive(timezone.now()).filter(kind=Service.Kind.WORKER).exists()


def _without_secrets(run: Run) -> dict[str, Any]:
    registry = catalogue.registry()
    if run.job not in registry:
        return run.parameters  # type: ignore[no-any-return]  # of a job that is gone, what is stored are names

    def name_only(_label: str, value: Any) -> Any:
        reference = SecretReference.of(value)
        return reference.to_json() if reference else catalogue.MASK

    return registry[run.job].map_secrets(run.parameters, name_only)


def moment(when: datetime | None, now: datetime) -> str:
    return wording.local(when, now) if when else "-"


def _iso(moment: datetime | None) -> str | None:
    return timezone.localtime(moment).isoformat() if moment else None


def _shortened(reason: str) -> str:
    reason = " ".join(reason.split())
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"
