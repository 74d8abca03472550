"""Looking at a schedule: its cursor is put where its rows now say, and nothing fires by that."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from beat_config import cursors
from beat_config.models import SchedulePolicy
from beat_config.schedules import RELATED, cursor_of, has_changed
from jobs.models import Run
from jobs.states import State

logger = logging.getLogger(__name__)

# A schedule that fails is looked at again after this, and twice as much later each time it fails again.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=6)
LONGEST_ERROR = 1_000


def adopt(ids: Iterable[int], now: datetime) -> None:
    """Look at these schedules now, not at beat's next round: so that the admin can show the next run."""
    with transaction.atomic():
        locked = list(SchedulePolicy.objects.filter(pk__in=list(ids)).order_by("pk").select_for_update())
        # Read again under the lock, which every change of a schedule's rows has to take: see change_marks.
        policies = SchedulePolicy.objects.filter(pk__in=[policy.pk for policy in locked]).select_related(*RELATED)
        looked = list(policies)
        missed = [run for policy in looked for run in look(policy, now)]
        Run.objects.bulk_create(missed, ignore_conflicts=True)
        cursors.store(looked, cursors.EVERYTHING)


def look(policy: SchedulePolicy, now: datetime) -> list[Run]:
    """Move the cursor of *policy*, unsaved, to where its rows say it belongs, or mark it with why they say nothing.

    Returns the record of the fire that came due before the change and had no decision yet, if there is one.
    """
    missed: list[Run] = []
    try:
        if has_changed(policy):
            missed = _overtaken(policy, now)
            # Also when the rows say nothing: repaired, even to what they said before, it starts from then.
            policy.next_fire_at, policy.fingerprint = None, ""
        cursor = cursor_of(policy, now)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this schedule's, and the others go on
        mark(policy, error, now)
        return missed
    policy.next_fire_at = policy.look_at = cursor.next_fire_at
    policy.anchor, policy.fingerprint, policy.settled_until = cursor.anchor, cursor.fingerprint, cursor.settled_until
    policy.error, policy.error_at, policy.failures = "", None, 0
    return missed


def mark(policy: SchedulePolicy, error: Exception, now: datetime) -> None:
    """Keep *policy*, unsaved, out of the way of the others, with its error, and its cursor where it is."""
    text = (str(error) or type(error).__name__)[:LONGEST_ERROR].replace("\0", "\\0")
    if policy.error != text:
        logger.error("schedule %s: %s", policy.pk, text)
    policy.error, policy.error_at = text, now
    policy.look_at = now + min(FIRST_PAUSE * 2 ** min(policy.failures, 20), LONGEST_PAUSE)
    policy.failures = min(policy.failures + 1, 1_000)


def _overtaken(policy: SchedulePolicy, now: datetime) -> list[Run]:
    """Return the record that the fire at the cursor, which is due, is not run any more."""
    if policy.next_fire_at is None or policy.next_fire_at > now:
        return []
    task = policy.schedule
    what = "changed" if task.enabled else "disabled"
    return [
        Run(
            schedule_id=policy.pk,
            schedule_name=task.name,
            job=task.task,
            fire_time=policy.next_fire_at,
            state=State.MISSED,
            reason=f"the schedule was {what} before this run was recorded",
            created_at=now,
            finished_at=now,
        )
    ]
