"""What a run's page says, beside what the run printed."""

import hashlib
from datetime import datetime
from typing import Any

from jobs import catalogue, exit_codes, machines, parents, steps, terms, wording
from jobs.models import EVERY_MACHINE, Run
from jobs.states import ACTIVE, State


def facts(run: Run, now: datetime) -> dict[str, Any]:
    """Return the page's context; `version` is the same as long as the page need not be drawn anew."""
    state = State(run.state)
    parts = list(machines.parts_of(run.pk)) if run.machine == EVERY_MACHINE else []
    progress = wording.progress(run)
    told = steps.steps_of(run, now)
    after_due = run.started_at - run.fire_time if run.started_at and run.fire_time else None
    return {
        "run": run,
        "state": state.label,
        "colour": wording.COLOURS[state],
        "active": state in ACTIVE,
        "running": state is State.RUNNING,
        "job_title": catalogue.title(run.job),
        "took": wording.seconds(wording.duration(run, now)),
        "progress": progress,
        "waits_until": wording.waits_until(run, now),
        "attempts": _attempts(run),
        "steps": told,
        "late": wording.seconds(after_due) if after_due and after_due > steps.PROMPT else "",
        "started_by": wording.started_by(run),
        "parent": parents.parent_of(run),
        "followers": parents.followers_of(run) if state not in ACTIVE else [],
        "machine": wording.machine(run) or run.worker.rpartition("@")[2],
        "exit_code": exit_codes.words(run.exit_code) if run.exit_code is not None else "",
        "parts": [(part, State(part.state).label, wording.COLOURS[State(part.state)]) for part in parts],
        "parameters": catalogue.shown_parameters(run.job, run.parameters),
        "neighbours": _neighbours(run),
        "version": _digest(run.state, run.reason, progress, told, [part.state for part in parts]),
    }


def nothing_printed(run: Run) -> str:
    """Return what stands where the output would."""
    if run.machine == EVERY_MACHINE:
        return "Each machine has its own."
    if run.state == State.RUNNING:
        return "Nothing printed yet."
    if run.state in ACTIVE:
        return "It has not started yet."
    return "It printed nothing." if run.started_at else "It did not run."


def _attempts(run: Run) -> list[tuple[int, int | None]]:
    """Return the attempts next to this one that are known, each with its number and its run; None is this one."""
    known = run.terms or {}
    found = [
        (run.attempt - 1, known.get(terms.PREVIOUS)),
        (run.attempt, None),
        (run.attempt + 1, known.get(terms.NEXT)),
    ]
    return [(number, other) for number, other in found if other or number == run.attempt]


def _neighbours(run: Run) -> tuple[Run | None, Run | None]:
    """Return the runs of the same schedule before and after this one, parts of machines left out."""
    if run.schedule_id is None:
        return None, None
    of_schedule = Run.objects.filter(schedule=run.schedule_id, part_of=None)
    before = of_schedule.filter(pk__lt=run.pk).order_by("-pk").first()
    return before, of_schedule.filter(pk__gt=run.pk).order_by("pk").first()


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
