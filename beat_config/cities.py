"""The cities of the time zone table, tzdata's zone.tab, with where they are: for schedules with the sun."""

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

# ISO 6709: ±DDMM±DDDMM or ±DDMMSS±DDDMMSS.
_COORDINATES = re.compile(r"([+-])(\d{2})(\d{2})(\d{2})?([+-])(\d{3})(\d{2})(\d{2})?")


class City(NamedTuple):
    """Degrees as the form shows them."""

    zone: str
    latitude: str
    longitude: str

    @property
    def label(self) -> str:
        area, _, name = self.zone.replace("_", " ").rpartition("/")
        return f"{name} ({area})"


@cache
def cities() -> dict[str, City]:
    """Return the cities by their time zone, in the order of their names."""
    table = (resources.files("tzdata.zoneinfo") / "zone.tab").read_text(encoding="utf-8")
    found = [_city(line) for line in table.splitlines() if line and not line.startswith("#")]
    return {city.zone: city for city in sorted(found, key=lambda city: city.label)}


def _city(line: str) -> City:
    _, coordinates, zone, *_ = line.split("\t")
    match = _COORDINATES.fullmatch(coordinates)
    assert match is not None, f"zone.tab, {zone}: {coordinates}"  # noqa: S101 - the table's own format
    parts = match.groups()
    return City(zone, _degrees(*parts[:4]), _degrees(*parts[4:]))


def _degrees(sign: str, degrees: str, minutes: str, seconds: str | None) -> str:
    value = int(degrees) + int(minutes) / 60 + int(seconds or 0) / 3600
    return f"{'-' if sign == '-' and value else ''}{value:.3f}".rstrip("0").rstrip(".")
