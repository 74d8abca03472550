import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice, pairwise

import pytest
from celery.schedules import solar as celery_solar

from beat_config.solar import EVENTS, Solar
from beat_config.triggers import Count, Trigger, TriggerError

YEAR = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
PLACES = {
    "Tromsø": (69.6492, 18.9553),
    "Longyearbyen": (78.2232, 15.6267),
    "Quito": (-0.1807, -78.4678),
    "Sydney": (-33.8688, 151.2093),
    "Greenwich": (51.4769, 0.0),
    "Taveuni, on 180°": (-16.8, 180.0),
    "the same from the west": (-16.8, -180.0),
    "McMurdo": (-77.8419, 166.6863),
    "85° north": (85.0, -100.0),
}


def altitude(moment, latitude, longitude):
    """Return the altitude of the sun's centre in degrees, without refraction, to 0.01° between 1950 and 2050.

    The low-precision formulas of the Astronomical Almanac (page C24), written down here a second time so that nothing
    of ephem checks ephem.
    """
    days = (moment - datetime(2000, 1, 1, 12, tzinfo=UTC)) / timedelta(days=1)
    mean = math.radians((357.528 + 0.9856003 * days) % 360)
    ecliptic = math.radians(280.460 + 0.9856474 * days + 1.915 * math.sin(mean) + 0.020 * math.sin(2 * mean))
    obliquity = math.radians(23.439 - 0.0000004 * days)
    ascension = math.atan2(math.cos(obliquity) * math.sin(ecliptic), math.cos(ecliptic))
    declination = math.asin(math.sin(obliquity) * math.sin(ecliptic))
    sidereal = math.radians((280.46061837 + 360.98564736629 * days + longitude) % 360)
    phi, hour_angle = math.radians(latitude), sidereal - ascension
    height = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour_angle)
    return math.degrees(math.asin(height)), math.degrees(math.remainder(hour_angle, math.tau))


# The sun's radius is 0.2666° on average, 0.2622° to 0.2711° over the year.
HORIZONS = {
    "astronomical": -18,
    "nautical": -12,
    "civil": -6,
    "sunrise": -34 / 60 - 0.2666,
    "sunset": -34 / 60 - 0.2666,
}


def horizon_of(event):
    return next(height for name, height in HORIZONS.items() if name in event)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(("latitude", "longitude"), PLACES.values(), ids=PLACES)
def test_at_each_fire_of_a_year_the_sun_stands_where_the_event_says(latitude, longitude, event):
    for fire in Solar(event, latitude, longitude).between(*YEAR):
        before, _ = altitude(fire - timedelta(minutes=2), latitude, longitude)
        height, hour_angle = altitude(fire, latitude, longitude)
        if event == "solar_noon":
            assert abs(hour_angle) < 0.03
        else:
            assert abs(height - horizon_of(event)) < 0.02
            # At the edge of the polar day or night the sun moves along the horizon: no side to tell there.
            grazes = abs(height - before) < 0.01
            assert grazes or (height > before) == ("dawn" in event or event == "sunrise")


@pytest.mark.parametrize("event", ["dawn_nautical", "sunrise", "sunset", "dusk_civil"])
@pytest.mark.parametrize("place", ["Tromsø", "Longyearbyen", "Taveuni, on 180°"])
def test_every_crossing_of_the_horizon_in_a_year_is_a_fire(place, event):
    """A walk in steps of ten minutes meets the same crossings; two a year may be too close to the edge to tell."""
    latitude, longitude = PLACES[place]
    fires = list(Solar(event, latitude, longitude).between(*YEAR))
    step, moment, rises = timedelta(minutes=10), YEAR[0], "dawn" in event or event == "sunrise"
    unmatched, crossings = [], 0
    height = altitude(moment, latitude, longitude)[0] - horizon_of(event)
    while moment < YEAR[1]:
        moment, last = moment + step, height
        height = altitude(moment, latitude, longitude)[0] - horizon_of(event)
        if (last < 0 <= height) if rises else (last >= 0 > height):
            crossings += 1
            if not any(abs(fire - moment) <= 3 * step for fire in fires):
                unmatched.append(moment)
    assert crossings > 100
    assert abs(crossings - len(fires)) <= 2
    assert len(unmatched) <= 2


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(("latitude", "longitude"), PLACES.values(), ids=PLACES)
def test_celery_fires_at_the_same_seconds(latitude, longitude, event):
    stock = celery_solar(event, latitude, longitude)
    moment, theirs = YEAR[0], []
    while moment < YEAR[0] + timedelta(days=366):
        found = stock._next_event(stock.ephem.Date(moment.replace(tzinfo=None))).datetime().replace(tzinfo=UTC)
        if found >= YEAR[1]:
            break
        theirs.append(found)
        moment = found + timedelta(minutes=5)  # straight after an event ephem may find it once more
    ours = list(Solar(event, latitude, longitude).between(*YEAR))
    assert len(ours) == len(theirs)
    for mine, exact in zip(ours, theirs, strict=True):
        assert -timedelta(milliseconds=500) < mine - exact < timedelta(seconds=1.5)


# What astral 3.2, another library with other formulas, answers for these days (UTC).
ASTRAL = [
    ("Tromsø", "sunrise", "2026-03-20 04:44:22"),
    ("Tromsø", "sunset", "2026-09-01 18:24:00"),
    ("Tromsø", "dawn_civil", "2026-03-20 03:43:06"),
    ("Tromsø", "dusk_astronomical", "2026-12-21 15:56:20"),
    ("Tromsø", "solar_noon", "2026-06-21 10:45:53"),
    ("Longyearbyen", "sunrise", "2026-03-20 04:52:36"),
    ("Longyearbyen", "dusk_astronomical", "2026-12-21 15:14:23"),
    ("Longyearbyen", "solar_noon", "2026-12-21 10:55:19"),
    ("Quito", "sunrise", "2026-06-21 11:12:33"),
    ("Quito", "sunset", "2026-12-21 23:15:56"),
    ("Quito", "dawn_nautical", "2026-09-01 10:25:24"),
    ("Sydney", "sunrise", "2026-06-21 21:00:24"),
    ("Sydney", "sunset", "2026-12-21 09:05:11"),
    ("Sydney", "dusk_astronomical", "2026-12-21 10:49:57"),
    ("Sydney", "solar_noon", "2026-03-20 02:02:44"),
    ("Taveuni, on 180°", "sunrise", "2026-03-20 18:04:07"),
    ("Taveuni, on 180°", "solar_noon", "2026-12-20 23:57:50"),
    ("the same from the west", "sunset", "2026-06-21 05:35:18"),
    ("Greenwich", "sunrise", "2026-12-21 08:03:26"),
    ("Greenwich", "sunset", "2026-06-21 20:20:31"),
    ("Greenwich", "dawn_nautical", "2026-06-21 01:40:08"),
]


@pytest.mark.parametrize(("place", "event", "text"), ASTRAL)
def test_another_library_agrees_within_a_minute(place, event, text):
    expected = datetime.fromisoformat(text).replace(tzinfo=UTC)
    fire = Solar(event, *PLACES[place]).after(expected - timedelta(hours=8))
    assert abs(fire - expected) < timedelta(minutes=1)


def test_days_without_the_event_are_left_out():
    """Tromsø: polar night from the end of November to the middle of January, midnight sun from May to July."""
    trigger = Solar("sunrise", *PLACES["Tromsø"])
    last_of_autumn = trigger.after(datetime(2025, 11, 26, tzinfo=UTC))
    first_of_spring = trigger.after(datetime(2025, 12, 1, tzinfo=UTC))
    assert last_of_autumn.date().isoformat() in {"2025-11-26", "2025-11-27"}
    assert "2026-01-14" <= first_of_spring.date().isoformat() <= "2026-01-16"
    last_of_may = list(trigger.between(datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)))[-1]
    assert "2026-05-16" <= last_of_may.date().isoformat() <= "2026-05-19"
    assert trigger.after(last_of_may) - last_of_may > timedelta(days=60)


def test_solar_noon_comes_in_the_polar_night_too():
    fires = list(Solar("solar_noon", *PLACES["Longyearbyen"]).between(*YEAR))
    assert len(fires) == 365


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("place", ["Tromsø", "Quito", "Taveuni, on 180°"])
def test_any_moment_gives_the_next_of_the_series(place, event):
    """A stored cursor is enough, also one a microsecond beside a fire."""
    trigger = Solar(event, *PLACES[place])
    series = list(islice(trigger.between(YEAR[0], YEAR[0] + timedelta(days=700)), 200))
    tick = timedelta(microseconds=1)
    for fire, following in pairwise(series):
        assert trigger.after(fire - tick) == fire
        assert trigger.after(fire) == following
        assert trigger.after(fire + tick) == following
        assert trigger.after(fire + (following - fire) / 2) == following


def test_solar_is_a_trigger_that_counts():
    trigger = Solar("sunset", *PLACES["Quito"])
    assert isinstance(trigger, Trigger)
    assert trigger.count(*YEAR, limit=1_000) == Count(365, complete=True)
    assert trigger.count(*YEAR, limit=100) == Count(100, complete=False)
    with pytest.raises(TriggerError, match="no time zone"):
        trigger.after(YEAR[0].replace(tzinfo=None))


def test_decimals_of_the_database_are_degrees():
    assert Solar("sunset", Decimal("52.520000"), Decimal("13.405000")) == Solar("sunset", 52.52, 13.405)


def test_a_place_where_the_event_never_comes_is_refused_quickly():
    with pytest.raises(TriggerError, match="does not happen there in a whole year") as caught:
        Solar("sunrise", 90, 0)
    assert caught.value.field == "event"


def test_the_search_across_the_longest_polar_night_is_quick():
    import time

    trigger = Solar("sunrise", 89.5, 0.0)
    started = time.perf_counter()
    assert trigger.after(datetime(2026, 10, 15, tzinfo=UTC)).date().isoformat()[:7] == "2027-03"
    assert time.perf_counter() - started < 0.2


def test_the_calendar_ends_without_an_error():
    assert Solar("sunset", *PLACES["Quito"]).after(datetime(9999, 12, 31, 23, tzinfo=UTC)) is None


REFUSED = {
    "event": ("event", ("moonrise", 0, 0), "allowed are dawn_astronomical, dawn_nautical"),
    "latitude": ("latitude", ("sunset", 90.01, 0), "from -90 to 90"),
    "latitude far south": ("latitude", ("sunset", -91, 0), "from -90 to 90"),
    "latitude that is none": ("latitude", ("sunset", math.nan, 0), "from -90 to 90"),
    "longitude": ("longitude", ("sunset", 0, 180.5), "from -180 to 180"),
    "longitude without end": ("longitude", ("sunset", 0, -math.inf), "from -180 to 180"),
}


@pytest.mark.parametrize(("field", "arguments", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_event_or_no_place_is_refused(field, arguments, words):
    with pytest.raises(TriggerError, match=words) as caught:
        Solar(*arguments)
    assert caught.value.field == field


def test_schedules_without_the_sun_do_not_load_the_astronomy():
    loaded = (
        "import sys, beat_config.planner, beat_config.preview; print('ephem' in sys.modules, 'holidays' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]
