"""What a wall clock shows, and when: between moments and the readings of a zone's clock, across its changes."""

from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

ONE_SECOND = timedelta(seconds=1)


def reading_of(local: datetime) -> datetime:
    """Return what the wall clock shows, in whole seconds."""
    return local.replace(tzinfo=None, microsecond=0, fold=0)


def moment_of(wall: datetime, zone: ZoneInfo, *, fold: Literal[0, 1] = 0) -> datetime:
    """Return when the wall clock shows *wall*, the first (0) or second (1) time; in a gap: after (0), before it (1).

    So PEP 495 has it: in a gap fold 0 reckons with the offset before the change, fold 1 with the one after it.
    """
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def change_between(zone: ZoneInfo, before: datetime, later: datetime) -> datetime:
    """Return the first moment with another UTC offset than at *before*; at *later* it must be another one."""
    before = before.replace(microsecond=0)
    offset = before.astimezone(zone).utcoffset()
    same, other = 0, -((before - later) // ONE_SECOND)
    while other - same > 1:
        middle = (same + other) // 2
        if (before + middle * ONE_SECOND).astimezone(zone).utcoffset() == offset:
            same = middle
        else:
            other = middle
    return before + other * ONE_SECOND


def reached(wall: datetime, zone: ZoneInfo, *, fold: Literal[0, 1] = 0) -> datetime:
    """Return when the wall clock shows *wall*, the first (0) or the last (1) time; in a gap: the moment after it."""
    moment = moment_of(wall, zone, fold=fold)
    if reading_of(moment.astimezone(zone)) == wall:
        return moment
    return change_between(zone, moment_of(wall, zone, fold=1), moment_of(wall, zone))


def day_begins(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of *day* in *zone*, which is not everywhere and always midnight."""
    return reached(datetime(day.year, day.month, day.day), zone)  # noqa: DTZ001  a wall-clock reading
