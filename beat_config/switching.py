"""Schedules switched on and off."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from beat_config import adoption
from beat_config.models import Schedule
from jobs import audit


def switch(ids: Iterable[int], *, enabled: bool, by: str, now: datetime) -> None:
    """Enable these schedules, or disable them; those that were so stay as they are."""
    ids = list(ids)
    with transaction.atomic():
        switched = Schedule.objects.filter(pk__in=ids).exclude(enabled=enabled)
        done = audit.Action.ENABLED if enabled else audit.Action.DISABLED
        audit.record_each(by, done, switched, {"enabled": not enabled}, {"enabled": enabled})
        PeriodicTask.objects.filter(pk__in=ids).update(enabled=enabled)
        adoption.adopt(ids, now)
        PeriodicTasks.update_changed()
