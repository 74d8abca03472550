"""Looking at a schedule: its cursor is put where its rows now say, and nothing fires by that."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from beat_config import cursors, past
from beat_config.models import SchedulePolicy
from beat_config.planner import Fire
from beat_config.schedules import RELATED, cursor_of
from jobs import claims
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
        if off := [policy.schedule_id for policy in looked if not policy.schedule.enabled]:
            claims.cancel_switched_off(off, now)


def look(policy: SchedulePolicy, now: datetime) -> list[Run]:
    """Move the cursor of *policy*, unsaved, to where its rows say it belongs, or mark it with why they say nothing.

    What has changed starts from when it was changed, what is new from when it was made: the cursor may be due. Returns
    the records of the fires that came due before the changes and had no decision yet.
    """
    missed: list[Run] = []
    try:
        fires, since = past.overtaken(policy, now)
        missed = [_missed(policy, fire, now) for fire in fires]
        policy.changes = ""
        if since is not None:
            policy.next_fire_at, policy.fingerprint, policy.anchor = None, "", since
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


def _missed(policy: SchedulePolicy, fire: Fire, now: datetime) -> Run:
    return Run(
        schedule_id=policy.pk,
        schedule_name=policy.schedule.name,
        job=policy.schedule.task,
        fire_time=fire.fire_time,
        covers=fire.count,
        covers_until=fire.until,
        state=State.MISSED,
        reason=fire.reason,
        created_at=now,
        finished_at=now,
    )
