from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from beat_config.bounds import Bounded
from beat_config.composed import EveryNthWeek, Jittered, Weeks, compose
from beat_config.solar import Solar
from beat_config.triggers import Clocked, Count, Crontab, Interval, Trigger, TriggerError

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
MONDAY = date(2026, 3, 2)
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dates(trigger, count, after="2026-02-28"):
    return [f"{fire:%m-%d}" for fire in islice(trigger.between(utc(after), utc("9000-01-01")), count)]


# --- every n-th week ---------------------------------------------------------------------------------------------

STRIDES = {
    "every second Monday": (Crontab("0 9 * * 1", UTC_ZONE), 2, MONDAY, ["03-02", "03-16", "03-30", "04-13"]),
    "the anchor may be any day of its week": (
        Crontab("0 9 * * 1", UTC_ZONE), 2, date(2026, 3, 8), ["03-02", "03-16", "03-30", "04-13"],
    ),
    "a Sunday ends its week": (Crontab("0 9 * * 0", UTC_ZONE), 2, MONDAY, ["03-08", "03-22", "04-05", "04-19"]),
    "an anchor to come counts back": (
        Crontab("0 9 * * 1", UTC_ZONE), 3, date(2026, 4, 13), ["03-02", "03-23", "04-13", "05-04"],
    ),
    "several a week": (Crontab("0 9 * * 1,3", UTC_ZONE), 3, MONDAY, ["03-02", "03-04", "03-23", "03-25"]),
    "every week": (Crontab("0 9 * * 1", UTC_ZONE), 1, MONDAY, ["03-02", "03-09", "03-16", "03-23"]),
    "a day of the month, when it falls in such a week": (
        Crontab("0 9 1 * *", UTC_ZONE), 2, MONDAY, ["04-01", "05-01", "09-01", "10-01"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("inner", "weeks", "anchor", "expected"), STRIDES.values(), ids=STRIDES)
def test_every_nth_week_fires_on(inner, weeks, anchor, expected):
    assert dates(EveryNthWeek(inner, weeks, anchor, UTC_ZONE), 4) == expected


def test_the_week_is_that_of_the_zone():
    """Monday 00:30 in Berlin is Sunday in UTC."""
    inner = Crontab("30 0 * * 1", BERLIN)
    trigger = EveryNthWeek(inner, 2, MONDAY, BERLIN)
    assert [
        f"{fire.astimezone(BERLIN):%a %m-%d %H:%M}"
        for fire in islice(trigger.between(utc("2026-02-28"), utc("2027-01-01")), 2)
    ] == [
        "Mon 03-02 00:30",
        "Mon 03-16 00:30",
    ]
    other = EveryNthWeek(inner, 2, MONDAY, UTC_ZONE)
    assert f"{other.after(utc('2026-02-28')).astimezone(BERLIN):%a %m-%d %H:%M}" == "Mon 03-09 00:30"


STRIDES_ANYWHERE = {
    "half hours": Crontab("*/30 * * * *", BERLIN),
    "interval": Interval(timedelta(hours=7), START),
    "sun": Solar("sunset", 69.65, 18.96),
    "last Friday": Crontab("0 9 * * 5L", ZoneInfo("Pacific/Chatham")),
}


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Santiago", "Pacific/Apia", "Asia/Kathmandu"])
@pytest.mark.parametrize("inner", STRIDES_ANYWHERE.values(), ids=STRIDES_ANYWHERE)
def test_every_nth_week_is_the_series_without_the_other_weeks(inner, zone):
    zone = ZoneInfo(zone)
    trigger = EveryNthWeek(inner, 3, date(2026, 3, 26), zone)
    after, until = utc("2026-02-20"), utc("2026-07-01")
    expected = [
        fire
        for fire in inner.between(after, until)
        if (fire.astimezone(zone).date() - date(2026, 3, 23)).days // 7 % 3 == 0
    ]
    assert expected
    assert list(trigger.between(after, until)) == expected
    assert trigger.count(after, until, limit=100_000) == Count(len(expected), complete=True)
    for fire, following in pairwise(expected):
        assert trigger.after(fire) == following
        assert trigger.after(following - TICK) == following


def test_what_never_falls_in_such_a_week_ends():
    assert EveryNthWeek(Clocked(START), 2, MONDAY + timedelta(weeks=1), UTC_ZONE).after(utc("2026-01-01")) is None
    weekly_between = Interval(timedelta(weeks=2), START)
    assert EveryNthWeek(weekly_between, 2, MONDAY + timedelta(weeks=1), UTC_ZONE).after(START) is None
    assert EveryNthWeek(Interval(timedelta(days=1), START), 2, MONDAY, UTC_ZONE).after(utc("9999-12-31T10:00")) is None


@pytest.mark.parametrize("weeks", [0, -1, 521])
def test_a_number_of_weeks_that_makes_no_sense_is_refused(weeks):
    with pytest.raises(TriggerError, match="allowed are 1 to 520") as caught:
        EveryNthWeek(Clocked(START), weeks, MONDAY, UTC_ZONE)
    assert caught.value.field == "weeks"


# --- jitter ------------------------------------------------------------------------------------------------------

HOURLY = Crontab("0 * * * *", BERLIN)
SPREAD = timedelta(minutes=10)


def test_jitter_is_the_same_for_a_seed_for_ever():
    """These offsets are stored nowhere: another release must not move people's schedules."""
    offsets = [Jittered(HOURLY, SPREAD, seed).offset.total_seconds() for seed in ("schedule 1", "schedule 2", "Ärger")]
    assert offsets == [400, 318, 455]


def test_jitter_spreads_evenly_and_is_never_early():
    offsets = [Jittered(HOURLY, timedelta(seconds=9), f"{number}").offset for number in range(5_000)]
    shares = [offsets.count(timedelta(seconds=second)) for second in range(10)]
    assert sum(shares) == 5_000
    assert min(shares) > 400


def test_jitter_moves_every_fire_by_the_same_offset():
    trigger = Jittered(HOURLY, SPREAD, "schedule 1")
    after, until = utc("2026-03-28"), utc("2026-03-30")
    assert list(trigger.between(after + trigger.offset, until + trigger.offset)) == [
        fire + trigger.offset for fire in HOURLY.between(after, until)
    ]
    assert trigger.count(after, until, limit=100) == Count(48, complete=True)


def test_jittered_cursor_is_enough_to_go_on_from():
    trigger = Jittered(HOURLY, SPREAD, "schedule 1")
    assert timedelta(0) < trigger.offset < SPREAD
    series = list(trigger.between(START, START + timedelta(days=2)))
    for fire, following in pairwise(series):
        assert trigger.after(fire) == following
        assert trigger.after(fire - trigger.offset) == fire
        assert trigger.after(following - TICK) == following


def test_interval_with_jitter_counts_a_year_at_once():
    trigger = Jittered(Interval(timedelta(seconds=1), START), SPREAD, "x")
    assert trigger.count(START + SPREAD, START + SPREAD + timedelta(days=365), limit=1) == Count(
        31_536_000, complete=True
    )


@pytest.mark.parametrize("spread", [timedelta(seconds=-1), timedelta(days=8)])
def test_spread_that_makes_no_sense_is_refused(spread):
    with pytest.raises(TriggerError, match="allowed are 0 s to 7 days") as caught:
        Jittered(HOURLY, spread, "x")
    assert caught.value.field == "spread"


# --- all of them -------------------------------------------------------------------------------------------------


def test_nothing_asked_leaves_the_trigger_as_it_is():
    assert compose(HOURLY) is HOURLY
    assert compose(HOURLY, weeks=Weeks(1, MONDAY, BERLIN), spread=timedelta(0), seed="x") is HOURLY


def test_a_fire_late_on_sunday_stays_in_its_week_and_ends_hold_for_the_moved_time():
    sunday = Crontab("59 23 * * 0", UTC_ZONE)
    seed = next(f"{n}" for n in range(100) if Jittered(sunday, SPREAD, f"{n}").offset > timedelta(minutes=5))
    offset = Jittered(sunday, SPREAD, seed).offset
    asked = {"weeks": Weeks(2, MONDAY, UTC_ZONE), "spread": SPREAD, "seed": seed}
    trigger = compose(sunday, **asked, start=utc("2026-03-01T00:00"), end=utc("2026-03-22T23:59"))
    assert list(trigger.between(utc("2026-01-01"), utc("2027-01-01"))) == [utc("2026-03-08T23:59") + offset]


@pytest.mark.parametrize(
    "trigger",
    [EveryNthWeek(HOURLY, 2, MONDAY, BERLIN), Jittered(HOURLY, SPREAD, "x"), Bounded(HOURLY, START, None)],
    ids=["weeks", "jitter", "bounds"],
)
def test_composed_trigger_is_a_trigger(trigger):
    assert isinstance(trigger, Trigger)
    assert trigger.after(START).tzinfo is UTC
