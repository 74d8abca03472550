"""Deleting schedules so that it can be undone: what is deleted is kept for a while."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet
from django_celery_beat.models import PeriodicTask

from beat_config import copies, snapshots
from beat_config.models import DeletedSchedule, Schedule
from jobs import audit

KEPT = timedelta(days=30)
_BATCH = 500


def delete(ids: Iterable[int], *, by: str, now: datetime) -> list[int]:
    """Delete these schedules; return the numbers under which they are kept, in order."""
    kept: list[int] = []
    wanted = list(ids)
    for start in range(0, len(wanted), _BATCH):
        with transaction.atomic():
            found = copies.rows_of(wanted[start : start + _BATCH])
            records = [
                DeletedSchedule(schedule_id=task.pk, name=task.name, rows=rows, deleted_at=now, deleted_by=by)
                for task, rows in found
            ]
            kept += [record.pk for record in DeletedSchedule.objects.bulk_create(records)]
            for schedule in Schedule.objects.filter(pk__in=[task.pk for task, _ in found]).order_by("pk"):
                audit.record(by, audit.Action.DELETED, schedule, snapshots.of(schedule), None)
            PeriodicTask.objects.filter(pk__in=[task.pk for task, _ in found]).delete()
    DeletedSchedule.objects.filter(deleted_at__lt=now - KEPT).delete()
    return kept


def kept(now: datetime) -> QuerySet[DeletedSchedule]:
    """Return what can be restored, newest first."""
    return DeletedSchedule.objects.filter(deleted_at__gte=now - KEPT).order_by("-pk")


def restore(numbers: Sequence[int], *, by: str, now: datetime) -> list[PeriodicTask]:
    """Make the schedules anew that are kept under these numbers; those that are not kept any more are left out."""
    with transaction.atomic():
        records = list(kept(now).filter(pk__in=numbers).select_for_update().order_by("pk"))
        made = copies.restore([record.rows for record in records], now)
        for schedule in Schedule.objects.filter(pk__in=[task.pk for task in made]).order_by("pk"):
            audit.record(by, audit.Action.ADDED, schedule, None, snapshots.of(schedule))
        DeletedSchedule.objects.filter(pk__in=[record.pk for record in records]).delete()
    return made
