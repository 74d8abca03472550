"""A save of a schedule, or of the interval, crontab or time it shares, moves the cursors it concerns."""

from typing import Any

from django.db.models.signals import post_save
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from beat_config import adoption
from beat_config.models import Schedule


def connect() -> None:
    for model in (PeriodicTask, Schedule):
        post_save.connect(_schedule_saved, sender=model, weak=False)
    for model in (IntervalSchedule, CrontabSchedule, ClockedSchedule, SolarSchedule):
        post_save.connect(_shared_row_saved, sender=model, weak=False)


def _schedule_saved(instance: PeriodicTask, *, raw: bool = False, **_: Any) -> None:
    if not raw:
        adoption.adopt([instance.pk], timezone.now())


def _shared_row_saved(instance: Any, *, created: bool, raw: bool = False, **_: Any) -> None:
    if not raw and not created:
        adoption.adopt(list(instance.periodictask_set.values_list("pk", flat=True)), timezone.now())
