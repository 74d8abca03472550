"""A history as long as one likes, over the schedules that `filling` makes, and tags for them."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from django.core.management.color import no_style
from django.db import connection
from django_celery_beat.models import PeriodicTask

from beat_config.models import SchedulePolicy, Tag
from jobs.models import Origin, Run
from jobs.states import ACTIVE, State
from tests.benchmarks.filling import insert

SPAN = timedelta(days=30)
# One in so many schedules runs often: half of all runs are theirs.
BUSY = 100
TAGS = 20
JOBS = ("run_command", "call_web_address", "back_up_files", "check_disk_space", "run_script")
# In a thousand runs.
ENDS = {
    State.SUCCEEDED: 930, State.FAILED: 30, State.TIMED_OUT: 8, State.INTERRUPTED: 5, State.CANCELLED: 5,
    State.SKIPPED: 12, State.MISSED: 10,
}  # fmt: skip
GOING = {State.RUNNING: 20, State.QUEUED: 50}
BY_HAND = 0.002


def fill(runs: int, schedules: int, now: datetime) -> None:
    """Add *runs* runs of the last SPAN, by *schedules* schedules, the newest still going, and TAGS tags."""
    randomly = random.Random(2)
    states, weights = list(ENDS), list(accumulate(ENDS.values()))
    going = [state for state, count in GOING.items() for _ in range(min(count, runs // 100))]

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(1, runs + 1):
            at = now - SPAN + number * SPAN / runs
            busy = randomly.random() < 0.5
            schedule = randomly.randint(1, max(1, schedules // BUSY) if busy else schedules)
            left = runs - number
            state = going[left] if left < len(going) else randomly.choices(states, cum_weights=weights)[0]
            took = timedelta(seconds=randomly.lognormvariate(0, 1))
            ran = state not in {State.SKIPPED, State.MISSED, State.QUEUED}
            by_hand = randomly.random() < BY_HAND
            yield {
                "id": number,
                "schedule_id": schedule,
                "schedule_name": f"schedule {schedule}",
                "job": JOBS[schedule % len(JOBS)],
                "origin": Origin.MANUAL if by_hand else Origin.SCHEDULE,
                "requested_by": "ada" if by_hand else "",
                "fire_time": None if by_hand else at,
                "created_at": at,
                "state": state,
                "reason": "exit code 1" if state == State.FAILED else "",
                "started_at": at if ran else None,
                "finished_at": None if state in ACTIVE else at + took,
                "exit_code": {State.SUCCEEDED: 0, State.FAILED: 1}.get(state),
            }

    insert(Run(parameters={"command": "true"}), rows())
    _jobs(schedules)
    tags = [Tag(pk=number, name=f"tag {number}") for number in range(1, TAGS + 1)]
    Tag.objects.all().delete()
    Tag.objects.bulk_create(tags)
    through = SchedulePolicy.tags.through
    insert(
        through(),
        (
            {"id": number, "schedulepolicy_id": number, "tag_id": randomly.randint(1, TAGS)}
            for number in range(1, schedules + 1)
        ),
    )
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [Run, Tag, through]):
            cursor.execute(statement)
        cursor.execute("ANALYZE")


def _jobs(schedules: int) -> None:
    """Let the schedules run the jobs that the history says."""
    whens = " ".join(f"WHEN {number} THEN '{job}'" for number, job in enumerate(JOBS))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {PeriodicTask._meta.db_table} SET task = CASE id %% {len(JOBS)} {whens} END WHERE id <= %s",
            [schedules],
        )
