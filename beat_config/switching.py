"""Schedules switched on and off."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from beat_config import adoption
from beat_config.models import Schedule
from jobs import audit
from jobs.bulk import Among

# More are left to beat, which looks at them within a moment: somebody waits for the answer.
LOOKED_AT_ONCE = 50


def switch(ids: Iterable[int], *, enabled: bool, by: str, now: datetime) -> list[Schedule]:
    """Enable these schedules, or disable them; return those that were not so already."""
    with transaction.atomic():
        chosen = Schedule.objects.filter(Among(F("pk"), list(ids)))
        changed = list(chosen.exclude(enabled=enabled).order_by("pk"))
        if changed:
            done = audit.Action.ENABLED if enabled else audit.Action.DISABLED
            audit.record_each(by, done, changed, {"enabled": not enabled}, {"enabled": enabled})
            switched = [schedule.pk for schedule in changed]
            PeriodicTask.objects.filter(Among(F("pk"), switched)).update(enabled=enabled)
            if len(switched) <= LOOKED_AT_ONCE:
                adoption.adopt(switched, now)
            PeriodicTasks.update_changed()
    return changed
