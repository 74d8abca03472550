"""Every `PeriodicTask`, whoever made it, gets a policy and a cursor that fits what its rows say now."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django_celery_beat.models import PeriodicTask

from beat_config.models import SchedulePolicy
from beat_config.schedules import RELATED, cursor_of
from beat_config.triggers import TriggerError

logger = logging.getLogger(__name__)

BATCH = 500
LOOK_AGAIN_AFTER = timedelta(minutes=5)


def adopt(ids: Iterable[int], now: datetime) -> None:
    """Make the missing policies of these schedules and move the cursors of those whose rows have changed."""
    with transaction.atomic():
        # Asked here: one that was deleted meanwhile would make the whole batch fail.
        there = list(PeriodicTask.objects.filter(pk__in=list(ids)).values_list("pk", flat=True))
        SchedulePolicy.objects.bulk_create(
            [SchedulePolicy(schedule_id=pk, anchor=now) for pk in there], ignore_conflicts=True
        )
        policies = list(
            SchedulePolicy.objects.filter(pk__in=there).select_related(*RELATED).select_for_update(of=("self",))
        )
        for policy in policies:
            move_cursor(policy, now)


def move_cursor(policy: SchedulePolicy, now: datetime) -> None:
    """Store where the cursor of *policy* belongs; a schedule that describes no trigger is marked with why."""
    try:
        cursor = cursor_of(policy, now)
    except TriggerError as error:
        mark(policy, str(error), now)
        return
    policy.next_fire_at, policy.anchor, policy.fingerprint = cursor.next_fire_at, cursor.anchor, cursor.fingerprint
    policy.armed, policy.error, policy.error_at = policy.schedule.enabled, "", None
    policy.save(update_fields=["next_fire_at", "anchor", "fingerprint", "armed", "error", "error_at"])


def mark(policy: SchedulePolicy, error: str, now: datetime) -> None:
    """Keep a schedule that cannot fire out of the way of the others, say why, and look at it again later."""
    if policy.error != error:
        logger.error("%s", error)
    policy.error, policy.error_at = error, now
    # No fire time, but a time to look again: without a fingerprint the cursor is computed anew then.
    policy.next_fire_at, policy.fingerprint, policy.armed = now + LOOK_AGAIN_AFTER, "", policy.schedule.enabled
    policy.save(update_fields=["error", "error_at", "next_fire_at", "fingerprint", "armed"])


def sweep(now: datetime) -> int:
    """Adopt the rows that were made or switched without a signal (bulk_create, update()); return how many.

    A trigger changed by update() is noticed when the schedule is due by its old one.
    """
    ids = list(
        PeriodicTask.objects.filter(Q(policy=None) | ~Q(enabled=F("policy__armed"))).values_list("pk", flat=True)[
            :BATCH
        ]
    )
    if ids:
        adopt(ids, now)
    return len(ids)
