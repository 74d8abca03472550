"""Fires at the rising, setting or highest point of the sun: all events of Celery's `solar` schedule.

The astronomy is ephem's (MIT, wheels for CPython on Linux, macOS and Windows), as Celery's is, so that the stock
scheduler pointed at the same tables fires at the same second. astral was the alternative: it answers for a date of a
zone, so that near 180° and in high latitudes an event belongs to the day before or after or to none, and had no
release since 2022. ephem is imported when the first solar trigger is made; nobody else pays for it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

from beat_config.cron import TriggerError, shown
from beat_config.triggers import Count, as_utc, count_by_visiting, visit

ONE_DAY = timedelta(days=1)
# Wherever an event comes at all, it comes within a year.
LONGEST_SEARCH_DAYS = 366
NUMBERING_STARTS = datetime(2000, 1, 1, tzinfo=UTC)
FULL_CIRCLE = 360


class _Event(NamedTuple):
    """How ephem is asked for an event; Celery's own table (celery/schedules.py, class solar)."""

    words: str
    search: Literal["next_rising", "next_setting", "next_transit"]
    horizon: str = "0"
    of_the_centre: bool = False


EVENTS = {
    "dawn_astronomical": _Event("astronomical dawn", "next_rising", "-18", of_the_centre=True),
    "dawn_nautical": _Event("nautical dawn", "next_rising", "-12", of_the_centre=True),
    "dawn_civil": _Event("civil dawn", "next_rising", "-6", of_the_centre=True),
    "sunrise": _Event("sunrise", "next_rising", "-0:34"),
    "solar_noon": _Event("solar noon", "next_transit"),
    "sunset": _Event("sunset", "next_setting", "-0:34"),
    "dusk_civil": _Event("civil dusk", "next_setting", "-6", of_the_centre=True),
    "dusk_nautical": _Event("nautical dusk", "next_setting", "-12", of_the_centre=True),
    "dusk_astronomical": _Event("astronomical dusk", "next_setting", "-18", of_the_centre=True),
}
# The hour of local solar time at which a search starts: far from the event in every season (the sun rises between
# midnight and noon and sets between noon and midnight, near the poles at any hour of these).
SEARCH_FROM_HOUR = {"next_rising": 18, "next_setting": 6, "next_transit": 0}


@dataclass(frozen=True, slots=True)
class Solar:
    """Fires when *event* happens at a place; days without it, in a polar day or night, are left out.

    Latitude in degrees, north is positive; longitude in degrees, east is positive. Times are whole seconds, rounded
    up. Raises TriggerError for an event that does not happen there in a whole year.
    """

    event: str
    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        if self.event not in EVENTS:
            raise TriggerError(
                f"cannot use {shown(str(self.event))} as a solar event: allowed are {', '.join(EVENTS)}",
                field="event",
                value=str(self.event),
            )
        for name, value, limit in (("latitude", self.latitude, 90), ("longitude", self.longitude, 180)):
            degrees = float(value)  # django-celery-beat stores a Decimal
            if not (math.isfinite(degrees) and -limit <= degrees <= limit):
                raise TriggerError(
                    f"cannot use the {name} {value}: it is measured in degrees from -{limit} to {limit}",
                    field=name,
                    value=str(value),
                )
            object.__setattr__(self, name, degrees)
        if not _ever_happens(self.event, self.latitude, self.longitude):
            raise TriggerError(
                f"cannot use {self.event} at latitude {self.latitude:g}, longitude {self.longitude:g}: it does not "
                "happen there in a whole year; choose another event or a place farther from the pole",
                field="event",
                value=self.event,
            )

    def after(self, moment: datetime) -> datetime | None:
        moment = as_utc(moment)
        try:
            first = (moment - _search_starts(self.event, self.longitude, 0)) // ONE_DAY
            for number in range(first, first + LONGEST_SEARCH_DAYS + 1):
                fire = _happens(self.event, self.latitude, self.longitude, number)
                if fire is not None and fire > moment:
                    return fire
        except OverflowError:  # beyond the year 9999
            pass
        return None

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        return visit(self, after, until)

    def count(self, after: datetime, until: datetime, *, limit: int) -> Count:
        return count_by_visiting(self, after, until, limit)


def _search_starts(event: str, longitude: float, number: int) -> datetime:
    """Return when solar day *number* of the event begins."""
    hour = timedelta(hours=SEARCH_FROM_HOUR[EVENTS[event].search])
    return NUMBERING_STARTS + hour - longitude / FULL_CIRCLE * ONE_DAY + number * ONE_DAY


@lru_cache(maxsize=8192)
def _happens(event: str, latitude: float, longitude: float, number: int) -> datetime | None:
    """Return when the event happens on solar day *number*.

    One fixed search a day, never one from the moment asked about: a search that starts beside an event may find it
    again some milliseconds later, and a stored cursor would then fire twice.
    """
    import ephem  # noqa: PLC0415  only solar schedules pay for it

    _, search, horizon, of_the_centre = EVENTS[event]
    start = _search_starts(event, longitude, number)
    observer = ephem.Observer()
    observer.lat, observer.lon, observer.elev = str(latitude), str(longitude), 0
    observer.pressure, observer.horizon = 0, horizon
    centre = {"use_center": True} if of_the_centre else {}
    try:
        found = getattr(observer, search)(ephem.Sun(), start=ephem.Date(start.replace(tzinfo=None)), **centre)
    except ephem.CircumpolarError:
        return None
    exact = found.datetime().replace(tzinfo=UTC)
    fire: datetime = exact.replace(microsecond=0) + timedelta(seconds=exact.microsecond > 0)
    return fire if start <= fire < start + ONE_DAY else None


@lru_cache(maxsize=1024)
def _ever_happens(event: str, latitude: float, longitude: float) -> bool:
    days = range(LONGEST_SEARCH_DAYS)
    return any(_happens(event, latitude, longitude, number) is not None for number in days)
