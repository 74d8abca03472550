"""A schedule's job, started by a person and not by its time."""

from beat_config.models import Schedule
from beat_config.schedules import exclusive_key, parameters_of
from jobs import starting
from jobs.models import Run


def run_now(schedule: Schedule, *, by: str) -> Run:
    """Record a run of *schedule* that goes to a worker at once; ArgumentsError where it says no parameters."""
    return starting.start(
        schedule.task,
        parameters_of(schedule),
        by=by,
        schedule=schedule,
        exclusive_key=exclusive_key(schedule.policy),
    )
