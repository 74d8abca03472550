from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from beat_config.blackouts import AbsoluteBlackout, Blackout, WeeklyBlackout, Window, next_window, window_at
from beat_config.holiday_calendars import Holiday, HolidayCalendar, countries, public_holidays
from beat_config.triggers import TriggerError

BERLIN = ZoneInfo("Europe/Berlin")
TICK = timedelta(microseconds=1)


def local(text, zone=BERLIN, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def windows(blackout, start, count):
    moment, found = start, []
    while len(found) < count and (window := blackout.next_window(moment)) is not None:
        found.append(window)
        moment = window.end
    return found


def shown(blackout, start, count):
    """Return the windows in the wall clock of Berlin, or of the blackout's zone."""
    return [
        f"{each.start.astimezone(blackout.zone):%m-%d %H:%M%z} {each.end.astimezone(blackout.zone):%m-%d %H:%M%z}"
        for each in windows(blackout, local(start, blackout.zone), count)
    ]


def nightly(start, end, *weekdays, zone=BERLIN):
    return WeeklyBlackout("Nightly maintenance", time(*start), time(*end), zone, frozenset(weekdays or range(7)))


# --- weekly ------------------------------------------------------------------------------------------------------

WEEKLY = {
    "every night": (nightly((1, 0), (3, 0)), "2026-03-02", ["03-02 01:00+0100 03-02 03:00+0100", "03-03 01:00+0100 03-03 03:00+0100"]),
    "across midnight": (nightly((22, 0), (2, 0), 5), "2026-03-02", ["03-06 22:00+0100 03-07 02:00+0100", "03-13 22:00+0100 03-14 02:00+0100"]),
    "a whole day": (nightly((0, 0), (0, 0), 6, 0), "2026-03-02", ["03-07 00:00+0100 03-08 00:00+0100", "03-08 00:00+0100 03-09 00:00+0100"]),
    "already begun yesterday": (nightly((22, 0), (6, 0), 1), "2026-03-03T05:00", ["03-02 22:00+0100 03-03 06:00+0100"]),
    "its end is over": (nightly((22, 0), (6, 0), 1), "2026-03-03T06:00", ["03-09 22:00+0100 03-10 06:00+0100"]),
    "the gap shortens it": (nightly((1, 0), (4, 0)), "2026-03-29", ["03-29 01:00+0100 03-29 04:00+0200"]),
    "its start lies in the gap": (nightly((2, 30), (4, 0)), "2026-03-29", ["03-29 03:00+0200 03-29 04:00+0200"]),
    "its end lies in the gap": (nightly((1, 0), (2, 30)), "2026-03-29", ["03-29 01:00+0100 03-29 03:00+0200"]),
    "it lies in the gap altogether": (nightly((2, 10), (2, 50)), "2026-03-29", ["03-30 02:10+0200 03-30 02:50+0200"]),
    "the fold lengthens it": (nightly((1, 0), (4, 0)), "2026-10-25", ["10-25 01:00+0200 10-25 04:00+0100"]),
    "its start comes twice": (nightly((2, 30), (4, 0)), "2026-10-25", ["10-25 02:30+0200 10-25 04:00+0100"]),
    "its end comes twice": (nightly((1, 0), (2, 30)), "2026-10-25", ["10-25 01:00+0200 10-25 02:30+0100"]),
    "across midnight into the gap": (
        nightly((22, 0), (2, 30), 6), "2026-03-28T12:00", ["03-28 22:00+0100 03-29 03:00+0200"],
    ),
    "midnight in a gap": (
        nightly((0, 0), (1, 0), 0, zone=ZoneInfo("America/Santiago")), "2025-09-06T12:00",
        ["09-14 00:00-0300 09-14 01:00-0300"],
    ),
    "a weekday that the zone skipped": (
        nightly((9, 0), (17, 0), 5, zone=ZoneInfo("Pacific/Apia")), "2011-12-29",
        ["01-06 09:00+1400 01-06 17:00+1400"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("blackout", "start", "expected"), WEEKLY.values(), ids=WEEKLY)
def test_weekly_window(blackout, start, expected):
    assert shown(blackout, start, len(expected)) == expected


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca", "Pacific/Apia"]
)
@pytest.mark.parametrize(
    ("start", "end"), [((1, 0), (3, 0)), ((23, 30), (2, 15)), ((2, 0), (2, 0)), ((2, 20), (2, 25))]
)
def test_no_reading_between_start_and_end_is_outside(zone, start, end):
    """Minute by minute over two years with clock changes: whatever the wall clock shows inside is inside."""
    blackout = nightly(start, end, 6, 0, 3, zone=ZoneInfo(zone))
    begin, finish = time(*start), time(*end)
    day = datetime(2011, 1, 1, tzinfo=UTC)
    changes = []
    while day < datetime(2013, 1, 1, tzinfo=UTC):
        day += timedelta(days=1)
        if day.astimezone(blackout.zone).utcoffset() != (day - timedelta(days=1)).astimezone(blackout.zone).utcoffset():
            changes.append(day)
    assert changes
    for change in changes:
        for minutes in range(-48 * 60, 36 * 60, 5):
            moment = change + timedelta(minutes=minutes)
            wall = moment.astimezone(blackout.zone)
            yesterday = wall.date() - timedelta(days=1)
            today_in, yesterday_in = (each.isoweekday() % 7 in blackout.weekdays for each in (wall.date(), yesterday))
            if finish > begin:
                inside = today_in and begin <= wall.time() < finish
            else:
                inside = (today_in and wall.time() >= begin) or (yesterday_in and wall.time() < finish)
            if inside:
                assert window_at([blackout], moment) is not None, wall


def test_window_holds_its_start_and_not_its_end():
    (window,) = windows(nightly((1, 0), (3, 0)), local("2026-03-02"), 1)
    assert window_at([nightly((1, 0), (3, 0))], window.start) == window
    assert window_at([nightly((1, 0), (3, 0))], window.start - TICK) is None
    assert window_at([nightly((1, 0), (3, 0))], window.end - TICK) == window
    assert window_at([nightly((1, 0), (3, 0))], window.end) is None


NAMED = {
    "every day": (nightly((1, 0), (3, 0)), "blackout: Nightly maintenance, 01:00-03:00 every day (Europe/Berlin)"),
    "some days": (
        nightly((1, 0), (3, 0, 30), 0, 6, 1),
        "blackout: Nightly maintenance, 01:00-03:00:30 on Monday, Saturday and Sunday (Europe/Berlin)",
    ),
    "from and to": (
        AbsoluteBlackout("Move", local("2026-03-01T09:00"), local("2026-03-02T18:00"), BERLIN),
        "blackout: Move, 2026-03-01 09:00 to 2026-03-02 18:00 (Europe/Berlin)",
    ),
    "on one day": (
        AbsoluteBlackout("Move", local("2026-03-01T09:00"), local("2026-03-01T18:00"), BERLIN),
        "blackout: Move, 2026-03-01 09:00 to 18:00 (Europe/Berlin)",
    ),
}


@pytest.mark.parametrize(("blackout", "reason"), NAMED.values(), ids=NAMED)
def test_reason_names_the_window(blackout, reason):
    assert isinstance(blackout, Blackout)
    assert blackout.next_window(local("2026-02-01")).reason == reason


# --- absolute, several -------------------------------------------------------------------------------------------


def test_absolute_window_comes_once():
    move = AbsoluteBlackout("Move", local("2026-03-01T09:00"), local("2026-03-02T18:00"), BERLIN)
    assert len(windows(move, local("2026-01-01"), 5)) == 1
    assert move.next_window(move.end - TICK) is not None
    assert move.next_window(move.end) is None


def test_of_several_blackouts_the_one_that_holds_now_comes_before_those_to_come():
    move = AbsoluteBlackout("Move", local("2026-03-01T00:00"), local("2026-03-05T00:00"), BERLIN)
    maintenance = nightly((1, 0), (3, 0))
    assert next_window([maintenance, move], local("2026-03-02T00:30")).reason.startswith("blackout: Move")
    assert next_window([maintenance, move], local("2026-03-02T01:30")).reason.startswith("blackout: Nightly")
    assert next_window([move, maintenance], local("2026-03-02T01:30")).reason.startswith("blackout: Move")
    assert next_window([], local("2026-03-02")) is None
    assert window_at([maintenance], local("2026-03-02T00:30")) is None


REFUSED = {
    "no name": (lambda: nightly((1, 0), (3, 0)).__class__(" ", time(1), time(3), BERLIN), "name"),
    "no weekday": (lambda: WeeklyBlackout("x", time(1), time(3), BERLIN, frozenset()), "weekdays"),
    "weekday 7": (lambda: WeeklyBlackout("x", time(1), time(3), BERLIN, frozenset({7})), "weekdays"),
    "time with a zone": (lambda: WeeklyBlackout("x", time(1, tzinfo=UTC), time(3), BERLIN), "start"),
    "part of a second": (lambda: WeeklyBlackout("x", time(1), time(3, 0, 0, 5), BERLIN), "end"),
    "end before start": (lambda: AbsoluteBlackout("x", local("2026-03-02"), local("2026-03-01"), BERLIN), "end"),
    "nothing between": (lambda: AbsoluteBlackout("x", local("2026-03-02"), local("2026-03-02"), BERLIN), "end"),
    "naive": (lambda: AbsoluteBlackout("x", datetime(2026, 3, 2), local("2026-03-02"), BERLIN), "moment"),  # noqa: DTZ001
    "calendar without a name": (lambda: HolidayCalendar("", BERLIN), "name"),
    "unknown country": (lambda: HolidayCalendar("x", BERLIN, country="XX"), "country"),
    "unknown subdivision": (lambda: HolidayCalendar("x", BERLIN, country="DE", subdivision="ZZ"), "subdivision"),
    "subdivision of nothing": (lambda: HolidayCalendar("x", BERLIN, subdivision="BY"), "subdivision"),
}


@pytest.mark.parametrize(("make", "field"), REFUSED.values(), ids=REFUSED)
def test_impossible_blackout_is_refused_by_the_name_of_its_field(make, field):
    with pytest.raises(TriggerError, match="cannot use") as caught:
        make()
    assert caught.value.field == field


def test_windows_end_with_the_calendar():
    end = datetime(9999, 12, 31, 12, tzinfo=UTC)
    assert nightly((1, 0), (3, 0)).next_window(end) is None
    assert HolidayCalendar("x", BERLIN, (Holiday(date(9999, 12, 31), "The end"),)).next_window(end) is None


# --- holidays ----------------------------------------------------------------------------------------------------


def test_own_dates_are_whole_days_in_their_zone():
    calendar = HolidayCalendar(
        "Works", BERLIN, (Holiday(date(2026, 10, 25), "Inventory"), Holiday(date(2026, 3, 29), "Spring clean"))
    )
    assert isinstance(calendar, Blackout)
    spring, autumn = windows(calendar, local("2026-01-01"), 9)
    assert spring == Window(local("2026-03-29"), local("2026-03-30"), "holiday: Spring clean (calendar Works)")
    assert [each.end - each.start for each in (spring, autumn)] == [timedelta(hours=23), timedelta(hours=25)]


def test_a_date_that_the_zone_skipped_is_no_window():
    apia = ZoneInfo("Pacific/Apia")
    calendar = HolidayCalendar("x", apia, (Holiday(date(2011, 12, 30), "Nothing"), Holiday(date(2011, 12, 31), "Eve")))
    (window,) = windows(calendar, local("2011-12-29", apia), 9)
    assert window == Window(local("2011-12-31", apia), local("2012-01-01", apia), "holiday: Eve (calendar x)")


def test_public_holidays_of_a_country_go_on_from_year_to_year():
    germany = HolidayCalendar("Germany", BERLIN, country="DE")
    first = [
        (f"{each.start.astimezone(BERLIN):%Y-%m-%d}", each.reason) for each in windows(germany, local("2026-12-25"), 4)
    ]
    assert first == [
        ("2026-12-25", "holiday: Christmas Day (calendar Germany)"),
        ("2026-12-26", "holiday: Second Day of Christmas (calendar Germany)"),
        ("2027-01-01", "holiday: New Year's Day (calendar Germany)"),
        ("2027-03-26", "holiday: Good Friday (calendar Germany)"),
    ]


def test_holidays_of_a_subdivision_come_on_top_and_own_names_go_first():
    bavaria = HolidayCalendar(
        "Bavaria", BERLIN, (Holiday(date(2026, 1, 1), "Hangover"),), country="DE", subdivision="BY"
    )
    assert [each.reason for each in windows(bavaria, local("2026-01-01"), 2)] == [
        "holiday: Hangover (calendar Bavaria)",
        "holiday: Epiphany (calendar Bavaria)",
    ]


def test_every_country_has_holidays_that_can_be_told():
    """Also those whose names the library knows in no English."""
    assert len(countries()) > 200
    without = [code for code in countries() if not all(each.name for each in public_holidays(code, "", 2026))]
    assert without == []
    for code in islice(countries(), 0, None, 25):
        assert public_holidays(code, "", 2026)
