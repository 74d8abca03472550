import time
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

import pytest

from beat_config.blackouts import WeeklyBlackout
from beat_config.composed import Weeks, compose
from beat_config.holiday_calendars import Holiday, HolidayCalendar
from beat_config.preview import Preview, preview, warnings_about
from beat_config.solar import Solar
from beat_config.triggers import Clocked, Crontab, Interval

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = WeeklyBlackout("Nightly", time_of_day(1), time_of_day(3), BERLIN)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_preview_shows_the_next_fires_after_the_moment():
    trigger = Crontab("0 9 * * *", BERLIN)
    assert preview(trigger, after=utc("2026-03-02T08:00"), count=2) == (
        Preview(utc("2026-03-03T08:00")),
        Preview(utc("2026-03-04T08:00")),
    )


def test_preview_is_short_where_fires_end():
    assert len(preview(Clocked(utc("2026-03-02")), after=utc("2026-03-01"), count=9)) == 1
    assert preview(Clocked(utc("2026-03-02")), after=utc("2026-03-02"), count=9) == ()


MOVED = {
    "in the gap": ("30 2 * * *", "2026-03-29", "02:30"),
    "the first of several that fall together": ("10,30 2 * * *", "2026-03-29", "02:10"),
    "together with one that is due then anyway": ("0,30 2,3 * * *", "2026-03-29", "02:00"),
    "due right after the gap": ("0 3 * * *", "2026-03-29", None),
    "follows elapsed time": ("*/30 2,3 * * *", "2026-03-29", None),
    "on another day": ("30 2 * * *", "2026-03-30", None),
    "with seconds": ("15 30 2 * * *", "2026-03-29", "02:30:15"),
}


@pytest.mark.parametrize(("line", "day", "asked"), MOVED.values(), ids=MOVED)
def test_fire_that_a_gap_moves_names_the_time_that_was_asked_for(line, day, asked):
    start = datetime.fromisoformat(day).replace(tzinfo=BERLIN)
    (first,) = preview(Crontab(line, BERLIN), after=start, count=1)
    assert first.moved_from == (datetime.fromisoformat(f"{day}T{asked}") if asked else None)


def test_moved_fire_is_found_under_a_spread_and_within_bounds():
    trigger = compose(
        Crontab("30 2 * * *", BERLIN),
        weeks=Weeks(1, date(2026, 3, 2), BERLIN),
        spread=timedelta(minutes=30),
        seed="schedule 1",
        start=utc("2026-01-01"),
    )
    (first,) = preview(trigger, after=utc("2026-03-28T12:00"), count=1)
    assert first.fire_time > utc("2026-03-29T01:00")
    assert first.moved_from == datetime.fromisoformat("2026-03-29T02:30")


def test_times_that_come_twice_are_marked():
    fires = preview(Crontab("30 * * * *", BERLIN), after=utc("2026-10-24T23:00"), count=4)
    assert [(f"{each.fire_time.astimezone(BERLIN):%H:%M%z}", each.repeated) for each in fires] == [
        ("01:30+0200", False),
        ("02:30+0200", True),
        ("02:30+0100", True),
        ("03:30+0100", False),
    ]


def test_skipped_fires_say_why():
    holidays = HolidayCalendar("Works", BERLIN, (Holiday(date(2026, 3, 4), "Inventory"),))
    fires = preview(
        Crontab("0 2,9 * * *", BERLIN), after=utc("2026-03-03T08:30"), count=3, blackouts=[NIGHTLY, holidays]
    )
    assert [each.skipped for each in fires] == [
        "blackout: Nightly, 01:00-03:00 every day (Europe/Berlin)",
        "holiday: Inventory (calendar Works)",
        "blackout: Nightly, 01:00-03:00 every day (Europe/Berlin)",
    ]


WARNED = {
    "either day": (
        Crontab("0 12 13 * 5", BERLIN),
        "Day of month and weekday are both restricted, and either is enough: it fires on day 13 of the month or on Friday.",
    ),
    "both days": (
        Crontab("0 12 13 * 5", BERLIN, "and"),
        (
            "Day of month and weekday are both restricted, and both must hold: "
            "it fires on day 13 of the month, only if it falls on Friday."
        ),
    ),
    "a * at the start": (
        compose(Crontab("0 12 */2 * 5", BERLIN), start=utc("2026-01-01")),
        (
            "Day of month and weekday are both restricted, and both must hold: "
            "it fires on every 2nd day from day 1 of the month, only if it falls on Friday."
        ),
    ),
    "over": (Clocked(utc("2026-03-01")), "It does not fire after 2026-03-02 00:00 (UTC)."),
    "ends before it starts": (
        compose(Interval(timedelta(hours=1), utc("2026-01-01")), start=utc("2026-05-01"), end=utc("2026-04-01")),
        "It does not fire after 2026-03-02 00:00 (UTC).",
    ),
    "never in such a week": (
        compose(Interval(timedelta(weeks=2), utc("2026-03-02")), weeks=Weeks(2, date(2026, 3, 9), BERLIN)),
        "It does not fire after 2026-03-02 00:00 (UTC).",
    ),
}


@pytest.mark.parametrize(("trigger", "sentence"), WARNED.values(), ids=WARNED)
def test_warning(trigger, sentence):
    assert warnings_about(trigger, after=utc("2026-03-02")) == (sentence,)


def test_most_triggers_need_no_warning():
    assert warnings_about(Crontab("0 12 13 * *", BERLIN), after=utc("2026-03-02")) == ()
    assert warnings_about(Interval(timedelta(hours=1), utc("2026-01-01")), after=utc("2026-03-02")) == ()


ORDINARY = {
    "weekdays": Crontab("30 2 * * 1-5", BERLIN),
    "minutes": Crontab("*/5 9-17 * * *", BERLIN),
    "last day": Crontab("0 9 L * *", BERLIN),
    "interval": Interval(timedelta(minutes=10), utc("2026-01-01")),
    "sun": Solar("sunset", 52.52, 13.405),
    "every second week": compose(Crontab("0 9 * * 1", BERLIN), weeks=Weeks(2, date(2026, 3, 2), BERLIN)),
}


@pytest.mark.parametrize("trigger", ORDINARY.values(), ids=ORDINARY)
def test_ten_fires_are_previewed_in_under_five_milliseconds(trigger):
    took = []
    for day in range(5):
        after = utc("2026-03-02") + timedelta(days=40 * day)
        started = time.process_time()
        assert len(preview(trigger, after=after, count=10, blackouts=[NIGHTLY])) == 10
        took.append(time.process_time() - started)
    assert min(took) < 0.005
