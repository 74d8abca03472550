"""Holiday calendars: named sets of dates in a zone, on which no fire of a schedule runs.

National and regional holidays come from the `holidays` library (MIT, pure Python, 250 countries, a release a month):
movable feasts, substitute days and new laws are more than people should type in each year, and than we should copy.
It is imported when a calendar names a country; nobody else pays for it. Own dates need no library.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from beat_config.blackouts import Window
from beat_config.cron import TriggerError, shown
from beat_config.triggers import as_utc
from beat_config.wall_clock import day_begins

ONE_DAY = timedelta(days=1)


class Holiday(NamedTuple):
    day: date
    name: str


@dataclass(frozen=True, slots=True)
class HolidayCalendar:
    """A blackout on its own dates and on the public holidays of a country or a part of it.

    *country* is an ISO 3166-1 alpha-2 code (DE), *subdivision* a code of the library for that country (BY); both
    empty for a calendar of own dates. A date is the whole day in *zone*, however long it is.
    """

    name: str
    zone: ZoneInfo
    own: tuple[Holiday, ...] = ()
    country: str = ""
    subdivision: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise TriggerError(
                "cannot use a calendar without a name: skipped fires are recorded under it",
                field="name",
                value=self.name,
            )
        object.__setattr__(self, "own", tuple(sorted(Holiday(*each) for each in self.own)))
        if self.subdivision and not self.country:
            raise TriggerError(
                f"cannot use the subdivision {shown(self.subdivision)}: it needs a country",
                field="subdivision",
                value=self.subdivision,
            )
        if self.country:
            _check(self.country, self.subdivision)

    def next_window(self, moment: datetime) -> Window | None:
        moment = as_utc(moment)
        today = moment.astimezone(self.zone).date()
        try:
            for day, name in self._from(today):
                start, end = day_begins(day, self.zone), day_begins(day + ONE_DAY, self.zone)
                if start < end and moment < end:  # of a date that the zone skipped nothing is left
                    return Window(start, end, f"holiday: {name} (calendar {self.name})")
        except OverflowError:  # beyond the year 9999
            pass
        return None

    def _from(self, today: date) -> list[Holiday]:
        """Return the holidays of this year and the next, and all later own ones; own names go first."""
        years = (today.year, today.year + 1)
        public = [each for year in years for each in public_holidays(self.country, self.subdivision, year)]
        return sorted((each for each in (*self.own, *public) if each.day >= today), key=lambda each: each.day)


@lru_cache(maxsize=256)
def public_holidays(country: str, subdivision: str, year: int) -> tuple[Holiday, ...]:
    """Return the public holidays of a year, by date, in English where the library knows it; none for no country."""
    if not country:
        return ()
    import holidays  # noqa: PLC0415  only calendars of a country pay for it

    language = "en_US" if "en_US" in holidays.list_localized_countries().get(country, ()) else None
    found = holidays.country_holidays(country, subdivision or None, years=year, language=language)
    return tuple(Holiday(day, found[day]) for day in sorted(found))


@lru_cache(maxsize=1)
def countries() -> dict[str, list[str]]:
    """Return the codes of all countries with ready holidays, each with those of its subdivisions."""
    import holidays  # noqa: PLC0415  as above

    return dict(holidays.list_supported_countries(include_aliases=False))


def _check(country: str, subdivision: str) -> None:
    known = countries()
    if country not in known:
        raise TriggerError(
            f"cannot use {shown(country)} as a country: there are no holidays for it; give a two-letter code such as"
            " DE, or dates of your own",
            field="country",
            value=country,
        )
    if subdivision and subdivision not in known[country]:
        allowed = ", ".join(known[country]) or "none"
        raise TriggerError(
            f"cannot use {shown(subdivision)} as a subdivision of {country}: allowed are {allowed}",
            field="subdivision",
            value=subdivision,
        )
