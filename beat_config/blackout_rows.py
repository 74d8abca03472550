"""From the row of a blackout to its pure form, and to what is wrong with it."""

from datetime import date
from zoneinfo import ZoneInfo

from beat_config import models
from beat_config.blackouts import EVERY_WEEKDAY, AbsoluteBlackout, Blackout, WeeklyBlackout
from beat_config.cron import TriggerError, shown
from beat_config.holiday_calendars import Holiday, HolidayCalendar


def blackout_of(row: models.Blackout) -> Blackout:
    """Return the blackout that *row* describes; raise TriggerError, naming the field, when it describes none."""
    zone = ZoneInfo(row.zone)
    if row.kind == models.Blackout.Kind.WEEKLY:
        if row.start_time is None or row.end_time is None:
            raise _missing(row, "start_time" if row.start_time is None else "end_time", "a time of day")
        weekdays = frozenset(int(day) for day in row.weekdays) or EVERY_WEEKDAY
        return WeeklyBlackout(row.name, row.start_time, row.end_time, zone, weekdays)
    if row.kind == models.Blackout.Kind.ONCE:
        if row.start_at is None or row.end_at is None:
            raise _missing(row, "start_at" if row.start_at is None else "end_at", "a date and a time")
        return AbsoluteBlackout(row.name, row.start_at, row.end_at, zone)
    if not row.country and not row.own_days.strip():
        raise _missing(row, "country", "a country, or days of your own")
    return HolidayCalendar(row.name, zone, own_days(row.own_days), row.country, row.subdivision)


def own_days(text: str) -> tuple[Holiday, ...]:
    """Return the days of lines such as "2026-12-24 Christmas Eve"; TriggerError names a line that is none."""
    return tuple(_holiday(line) for line in text.splitlines() if line.strip())


def _holiday(line: str) -> Holiday:
    day, _, name = line.strip().partition(" ")
    try:
        return Holiday(date.fromisoformat(day), name.strip() or day)
    except ValueError:
        raise TriggerError(
            f"cannot use the line {shown(line.strip())}: write a date and a name, such as 2026-12-24 Christmas Eve",
            field="own_days",
            value=line,
        ) from None


def _missing(row: models.Blackout, field: str, what: str) -> TriggerError:
    return TriggerError(f"cannot use the blackout {shown(row.name)}: it needs {what}", field=field, value="")
