"""Other schedules that come due in the same minute: all of them wait for the same workers then."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from beat_config.models import SchedulePolicy

# So many others are a crowd; and so many are counted at most.
MANY = 10
COUNTED = 500


def crowd_at(moments: Iterable[datetime], *, besides: int | None) -> tuple[datetime, int] | None:
    """Return the first of *moments* in whose minute at least MANY enabled schedules have their next run, and how many.

    Only next runs are known: what comes due later and more often is not counted.
    """
    for moment in moments:
        minute = moment.replace(second=0, microsecond=0)
        due = SchedulePolicy.objects.filter(look_at__gte=minute, look_at__lt=minute + timedelta(minutes=1))
        count = due.exclude(pk=besides)[:COUNTED].count()
        if count >= MANY:
            return moment, count
    return None
