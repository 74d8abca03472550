"""The run that started a run: kept in its route, which every attempt and repetition of it takes over."""

from collections.abc import Mapping
from typing import Any

from jobs.models import ChainedRun, Run

KEY = "started_by"


def with_parent(route: Mapping[str, Any] | None, parent: Run, depth: int) -> dict[str, Any]:
    """Return *route* with *parent* in it; *depth* counts the runs that have started one another."""
    return {**(route or {}), KEY: {"run": parent.pk, "depth": depth}}


def depth(run: Run) -> int:
    """Return how many runs before *run* have started one another."""
    known = (run.route or {}).get(KEY)
    return known["depth"] if known else 0


def parent_number(run: Run) -> int | None:
    """Return the number of the run that started *run*, which may not be kept any more; None when none did."""
    known = (run.route or {}).get(KEY)
    return known["run"] if known else None


def parent_of(run: Run) -> Run | None:
    """Return the run that started *run*; None when none did, or it is no longer kept."""
    number = parent_number(run)
    return Run.objects.filter(pk=number).first() if number else None


def environment(run: Run) -> dict[str, str]:
    """Return what *run*'s job sees of the run that started it; empty when none did."""
    parent = parent_of(run)
    if parent is None:
        return {}
    return {
        "SCHEDULER_PARENT_RUN_ID": str(parent.pk),
        "SCHEDULER_PARENT_SCHEDULE": parent.schedule_name,
        "SCHEDULER_PARENT_STATE": parent.state,
        "SCHEDULER_PARENT_EXIT_CODE": "" if parent.exit_code is None else str(parent.exit_code),
        "SCHEDULER_PARENT_REASON": parent.reason,
    }


def followers_of(run: Run) -> list[Run]:
    """Return the runs that *run* has started."""
    ids = ChainedRun.objects.filter(parent=run.pk).values("run")
    return list(Run.objects.filter(pk__in=ids).order_by("pk"))
