import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from beat_config.triggers import (
    Clocked,
    Count,
    Crontab,
    Interval,
    Trigger,
    TriggerError,
    as_utc,
    parse_period,
    parse_zone,
)
from tests.unit import cron_oracle

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
NAIVE = START.replace(tzinfo=None)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(trigger, first, last):
    """Return what the zone's clock shows at each fire from *first* to *last* (local days, both included)."""
    after = datetime.fromisoformat(first).replace(tzinfo=trigger.zone) - timedelta(seconds=1)
    until = (datetime.fromisoformat(last) + timedelta(days=1)).replace(tzinfo=trigger.zone) - timedelta(seconds=1)
    return [f"{fire.astimezone(trigger.zone):%d %H:%M%z}" for fire in trigger.between(after, until)]


# --- intervals ---------------------------------------------------------------------------------------------------


def test_interval_fires_at_its_anchor_and_whole_periods_after_it():
    trigger = Interval(timedelta(minutes=7), START)
    assert trigger.after(START - timedelta(days=3)) == START
    assert trigger.after(START) == START + timedelta(minutes=7)
    assert trigger.after(START + timedelta(minutes=7) - timedelta(microseconds=1)) == START + timedelta(minutes=7)


def test_interval_does_not_drift_over_a_century_of_odd_periods():
    period = timedelta(seconds=1, microseconds=1)
    trigger = Interval(period, START)
    k = 3_000_000_017
    assert trigger.after(START + k * period - timedelta(microseconds=1)) == START + k * period
    assert trigger.after(START + k * period) == START + (k + 1) * period


def test_interval_ignores_clock_changes():
    anchor = utc("2026-03-28T12:00")
    fires = list(islice(Interval(timedelta(days=1), anchor).between(anchor, anchor + timedelta(days=9)), 2))
    assert fires == [utc("2026-03-29T12:00"), utc("2026-03-30T12:00")]


def test_interval_counts_a_year_of_seconds_exactly_and_at_once():
    trigger = Interval(timedelta(seconds=1), START)
    started = time.perf_counter()
    assert trigger.count(START, START + timedelta(days=365), limit=10) == Count(31_536_000, complete=True)
    assert time.perf_counter() - started < 0.1


def test_interval_counts_nothing_before_its_anchor():
    trigger = Interval(timedelta(hours=1), START)
    assert trigger.count(START - timedelta(days=1), START - timedelta(hours=1), limit=9).fires == 0
    assert trigger.count(START - timedelta(days=1), START, limit=9).fires == 1
    assert trigger.count(START + timedelta(days=1), START, limit=9).fires == 0


def test_interval_ends_with_the_calendar():
    assert Interval(timedelta(days=30_000), START).after(utc("9999-12-01T00:00")) is None


@pytest.mark.parametrize("seconds", [0.999, 0, -5])
def test_period_under_a_second_is_refused(seconds):
    with pytest.raises(TriggerError, match="shortest is 1 second") as caught:
        Interval(timedelta(seconds=seconds), START)
    assert caught.value.field == "period"


# --- once --------------------------------------------------------------------------------------------------------


def test_clocked_fires_once():
    trigger = Clocked(datetime(2026, 3, 1, 10, tzinfo=ZoneInfo("Europe/Berlin")))
    assert trigger.after(START - timedelta(microseconds=1)) == START
    assert trigger.after(START) is None
    assert list(trigger.between(START - timedelta(days=1), START)) == [START]
    assert trigger.count(START - timedelta(days=1), START + timedelta(days=1), limit=5) == Count(1, complete=True)


# --- the boundary ------------------------------------------------------------------------------------------------

KINDS = {
    "interval": Interval(timedelta(hours=1), START),
    "crontab": Crontab("0 * * * *", ZoneInfo("Asia/Kolkata")),
    "clocked": Clocked(START),
}


@pytest.mark.parametrize("trigger", KINDS.values(), ids=KINDS)
def test_every_kind_is_a_trigger_and_answers_in_utc(trigger):
    assert isinstance(trigger, Trigger)
    fire = trigger.after(datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=-5))))
    assert fire.tzinfo is UTC


@pytest.mark.parametrize("trigger", KINDS.values(), ids=KINDS)
def test_naive_time_is_refused(trigger):
    with pytest.raises(TriggerError, match="no time zone"):
        trigger.after(NAIVE)
    with pytest.raises(TriggerError, match="no time zone"):
        list(trigger.between(START, NAIVE))


def test_naive_anchor_is_refused():
    with pytest.raises(TriggerError, match="no time zone"):
        Interval(timedelta(hours=1), NAIVE)
    with pytest.raises(TriggerError, match="no time zone"):
        Clocked(NAIVE)


def test_between_leaves_out_its_start_and_includes_its_end():
    trigger = Interval(timedelta(hours=1), START)
    assert list(trigger.between(START, START + timedelta(hours=2))) == [
        START + timedelta(hours=1),
        START + timedelta(hours=2),
    ]


def test_crontab_counts_up_to_the_limit():
    trigger = Crontab("* * * * *", ZoneInfo("UTC"))
    assert trigger.count(START, START + timedelta(minutes=10), limit=10) == Count(10, complete=True)
    assert trigger.count(START, START + timedelta(minutes=11), limit=10) == Count(10, complete=False)


def test_aware_time_of_any_zone_becomes_utc():
    assert as_utc(datetime(2026, 3, 1, 10, tzinfo=ZoneInfo("Europe/Berlin"))) == START


# --- crontab: days -----------------------------------------------------------------------------------------------


def dates(trigger, start, count):
    return [f"{fire:%Y-%m-%d}" for fire in islice(trigger.between(utc(start), utc("9000-01-01")), count)]


DAYS = {
    "day or weekday": ("0 0 13 * 5", "or", ["2026-01-02", "2026-01-09", "2026-01-13"]),
    "day and weekday": ("0 0 13 * 5", "and", ["2026-02-13", "2026-03-13", "2026-11-13"]),
    "a * at the start restricts with the other": ("0 0 */2 * 1", "or", ["2026-01-05", "2026-01-19", "2026-02-09"]),
    "weekday alone": ("0 0 * * 1", "or", ["2026-01-05", "2026-01-12", "2026-01-19"]),
    "last day": ("0 0 L * *", "or", ["2026-01-31", "2026-02-28", "2026-03-31"]),
    "last working day": ("0 0 LW * *", "or", ["2026-01-30", "2026-02-27", "2026-03-31"]),
    "last Friday": ("0 0 * * 5L", "or", ["2026-01-30", "2026-02-27", "2026-03-27"]),
    "second Friday": ("0 0 * * FRI#2", "or", ["2026-01-09", "2026-02-13", "2026-03-13"]),
    "fifth Monday": ("0 0 * * 1#5", "or", ["2026-03-30", "2026-06-29", "2026-08-31"]),
    "leap day": ("0 0 29 2 *", "or", ["2028-02-29", "2032-02-29", "2036-02-29"]),
    "leap day on a Monday": ("0 0 29 2 1", "and", ["2044-02-29", "2072-02-29", "2112-02-29"]),
    "31 February or a Monday": ("0 0 31 2 1", "or", ["2026-02-02", "2026-02-09", "2026-02-16"]),
    "Sunday as 7": ("0 0 * * 7", "or", ["2026-01-04", "2026-01-11", "2026-01-18"]),
    "Friday to Monday": ("0 0 * * 5-1", "or", ["2026-01-02", "2026-01-03", "2026-01-04"]),
}


@pytest.mark.parametrize(("line", "rule", "expected"), DAYS.values(), ids=DAYS)
def test_day_fields_choose_these_dates(line, rule, expected):
    assert dates(Crontab(line, ZoneInfo("UTC"), rule), "2026-01-01T00:00", 3) == expected


@pytest.mark.parametrize("weekday", range(7))
def test_leap_day_on_any_weekday_is_found_over_centuries_and_fast(weekday):
    """29 February 2100 does not exist: the search must bridge up to 40 years."""
    trigger = Crontab(f"0 0 29 2 {weekday}", ZoneInfo("UTC"), "and")
    started = time.perf_counter()
    found = list(trigger.between(utc("2000-01-01"), utc("2400-01-01")))
    assert time.perf_counter() - started < 0.5
    expected = [y for y in range(2000, 2400) if (y % 4 == 0 and y % 100) or y % 400 == 0]
    expected = [y for y in expected if datetime(y, 2, 29, tzinfo=UTC).isoweekday() % 7 == weekday]
    assert [fire.year for fire in found] == expected


def test_days_that_never_meet_are_refused_quickly():
    started = time.perf_counter()
    with pytest.raises(TriggerError, match="never fire") as caught:
        Crontab("0 0 29 2 1#1", ZoneInfo("UTC"), "and")
    assert time.perf_counter() - started < 0.5
    assert caught.value.field == "day_of_month"


def test_unknown_day_rule_is_refused():
    with pytest.raises(TriggerError, match="allowed are 'or' and 'and'"):
        Crontab("0 0 1 * *", ZoneInfo("UTC"), "xor")


def test_crontab_keeps_the_plain_form_of_its_line():
    assert Crontab("@daily", ZoneInfo("UTC")) == Crontab("0 0 * * *", ZoneInfo("UTC"))


def test_crontab_ends_with_the_calendar():
    assert Crontab("0 0 1 1 *", ZoneInfo("UTC")).after(utc("9999-06-01")) is None


def test_crontab_answers_in_well_under_a_millisecond():
    trigger, moment = Crontab("30 2 * * 1-5", ZoneInfo("Europe/Berlin")), START
    started = time.perf_counter()
    for _ in range(1_000):
        moment = trigger.after(moment)
    assert time.perf_counter() - started < 0.5


# --- crontab: clock changes --------------------------------------------------------------------------------------

CHANGES = {
    "Berlin gap, time of day": (
        "30 2 * * *", "Europe/Berlin", "2026-03-28", "2026-03-30",
        ["28 02:30+0100", "29 03:00+0200", "30 02:30+0200"],
    ),
    "Berlin gap, two times fall together": (
        "0,30 2,3 * * *", "Europe/Berlin", "2026-03-29", "2026-03-29", ["29 03:00+0200", "29 03:30+0200"],
    ),
    "Berlin gap, every half hour": (
        "*/30 * * * *", "Europe/Berlin", "2026-03-29", "2026-03-29",
        ["29 00:00+0100", "29 00:30+0100", "29 01:00+0100", "29 01:30+0100", "29 03:00+0200", "and so on"],
    ),
    "Berlin gap, every minute pattern within the lost hour": (
        "*/30 2 * * *", "Europe/Berlin", "2026-03-29", "2026-03-30", ["30 02:00+0200", "30 02:30+0200"],
    ),
    "Berlin fold, time of day": (
        "30 2 * * *", "Europe/Berlin", "2026-10-24", "2026-10-26",
        ["24 02:30+0200", "25 02:30+0200", "26 02:30+0100"],
    ),
    "Berlin fold, every half hour": (
        "*/30 * * * *", "Europe/Berlin", "2026-10-25", "2026-10-25",
        ["25 00:00+0200", "25 00:30+0200", "25 01:00+0200", "25 01:30+0200", "25 02:00+0200", "25 02:30+0200",
         "25 02:00+0100", "25 02:30+0100", "25 03:00+0100", "and so on"],
    ),
    "Berlin fold, every hour at 15": (
        "15 * * * *", "Europe/Berlin", "2026-10-25", "2026-10-25",
        ["25 00:15+0200", "25 01:15+0200", "25 02:15+0200", "25 02:15+0100", "25 03:15+0100", "and so on"],
    ),
    "Berlin gap, with seconds": (
        "30 30 2 * * *", "Europe/Berlin", "2026-03-29", "2026-03-30", ["29 03:00+0200", "30 02:30+0200"],
    ),
    "Berlin fold, with seconds": (
        "30 30 2 * * *", "Europe/Berlin", "2026-10-25", "2026-10-26", ["25 02:30+0200", "26 02:30+0100"],
    ),
    "New York gap": ("30 2 * * *", "America/New_York", "2026-03-08", "2026-03-09", ["08 03:00-0400", "09 02:30-0400"]),
    "New York fold": (
        "30 1 * * *", "America/New_York", "2026-11-01", "2026-11-02", ["01 01:30-0400", "02 01:30-0500"],
    ),
    "Lord Howe gap of 30 minutes": (
        "15 2 * * *", "Australia/Lord_Howe", "2026-10-04", "2026-10-05", ["04 02:30+1100", "05 02:15+1100"],
    ),
    "Lord Howe fold of 30 minutes": (
        "45 1 * * *", "Australia/Lord_Howe", "2026-04-05", "2026-04-06", ["05 01:45+1100", "06 01:45+1030"],
    ),
    "Lord Howe fold, minutes of the next hour": (
        "*/10 2 * * *", "Australia/Lord_Howe", "2026-04-05", "2026-04-05",
        ["05 02:00+1030", "05 02:10+1030", "05 02:20+1030", "05 02:30+1030", "05 02:40+1030", "05 02:50+1030"],
    ),
    "Apia without 30 December": (
        "0 9 * * *", "Pacific/Apia", "2011-12-29", "2012-01-01",
        ["29 09:00-1000", "31 00:00+1400", "31 09:00+1400", "01 09:00+1400"],
    ),
    "Apia, a line for the skipped date": ("0 9 30 12 *", "Pacific/Apia", "2011-12-29", "2012-01-01", ["31 00:00+1400"]),
    "Apia, every six hours": (
        "0 */6 * * *", "Pacific/Apia", "2011-12-29", "2011-12-31",
        ["29 00:00-1000", "29 06:00-1000", "29 12:00-1000", "29 18:00-1000",
         "31 00:00+1400", "31 06:00+1400", "31 12:00+1400", "31 18:00+1400"],
    ),
    "Chatham gap at 02:45": (
        "0 3 * * *", "Pacific/Chatham", "2026-09-27", "2026-09-28", ["27 03:45+1345", "28 03:00+1345"],
    ),
    "Chatham fold at 03:45": (
        "0 3 * * *", "Pacific/Chatham", "2026-04-05", "2026-04-06", ["05 03:00+1345", "06 03:00+1245"],
    ),
    "Casablanca fold before Ramadan": (
        "30 2 * * *", "Africa/Casablanca", "2025-02-23", "2025-02-24", ["23 02:30+0100", "24 02:30+0000"],
    ),
    "Casablanca gap after Ramadan": (
        "30 2 * * *", "Africa/Casablanca", "2025-04-06", "2025-04-07", ["06 03:00+0100", "07 02:30+0100"],
    ),
    "Santiago midnight gap": (
        "0 0 * * *", "America/Santiago", "2025-09-06", "2025-09-08",
        ["06 00:00-0400", "07 01:00-0300", "08 00:00-0300"],
    ),
    "Santiago midnight gap, every minute pattern": (
        "*/20 0,1 * * 0", "America/Santiago", "2025-09-07", "2025-09-07",
        ["07 01:00-0300", "07 01:20-0300", "07 01:40-0300"],
    ),
    "Santiago midnight fold": (
        "30 23 * * *", "America/Santiago", "2026-04-04", "2026-04-05", ["04 23:30-0300", "05 23:30-0400"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("line", "zone", "first", "last", "expected"), CHANGES.values(), ids=CHANGES)
def test_clock_change(line, zone, first, last, expected):
    shown = wall(Crontab(line, ZoneInfo(zone)), first, last)
    if expected[-1] == "and so on":
        expected = expected[:-1]
        shown = shown[: len(expected)]
    assert shown == expected


@pytest.mark.parametrize(("line", "zone", "first", "last", "expected"), CHANGES.values(), ids=CHANGES)
def test_any_moment_around_a_clock_change_gives_the_next_of_the_series(line, zone, first, last, expected):
    """A stored cursor is enough: also one in the middle of a fold, or of what would have been the gap."""
    trigger = Crontab(line, ZoneInfo(zone))
    start = datetime.fromisoformat(first).replace(tzinfo=UTC) - timedelta(hours=15)
    end = datetime.fromisoformat(last).replace(tzinfo=UTC) + timedelta(hours=39)
    horizon = end + timedelta(days=3)
    series = list(trigger.between(start, horizon))
    moment = start
    while moment < end:
        following = next((fire for fire in series if fire > moment), None)
        actual = trigger.after(moment)
        assert (actual if actual <= horizon else None) == following
        moment += timedelta(minutes=7, seconds=30)


def test_normal_run_of_the_oracle_meets_every_zone_and_every_curious_change():
    generator = cron_oracle.Generator(cron_oracle.SEED)
    met = [generator.triple()[2:] for _ in range(cron_oracle.TRIPLES_OF_A_NORMAL_RUN)]
    assert {zone.key for zone, _ in met} == set(cron_oracle.ZONES)
    for name, year in cron_oracle.CURIOUS:
        at_changes = [
            moment
            for zone, moment in met
            if zone.key == name and year in {None, moment.year}
            for change in cron_oracle.changes_of(name, moment.year)
            if abs(moment - change) < timedelta(days=1)
        ]
        assert len(at_changes) > 20, name


def test_oracle_and_trigger_agree_on_random_lines_zones_and_moments():
    assert list(cron_oracle.compare(cron_oracle.TRIPLES_OF_A_NORMAL_RUN)) == []


# --- what people type --------------------------------------------------------------------------------------------

PERIODS = {
    "10 seconds": timedelta(seconds=10),
    "every 5 minutes": timedelta(minutes=5),
    "5m": timedelta(minutes=5),
    "1h 30m": timedelta(minutes=90),
    "1h30m": timedelta(minutes=90),
    "1 hour and 30 minutes": timedelta(minutes=90),
    "1 hour, 30 min": timedelta(minutes=90),
    "1.5h": timedelta(minutes=90),
    "2 days": timedelta(days=2),
    "1 week": timedelta(weeks=1),
    "90": timedelta(seconds=90),
    "every hour": timedelta(hours=1),
    " Every  2 Hrs ": timedelta(hours=2),
}


@pytest.mark.parametrize(("text", "period"), PERIODS.items(), ids=PERIODS)
def test_period_is_read(text, period):
    assert parse_period(text) == period


BAD_PERIODS = {
    "": "empty",
    "every": "empty",
    "0": "shortest period is 1 second",
    "0.5 s": "shortest period is 1 second",
    "-5m": "no number with a unit",
    "ten minutes": "no number with a unit",
    "hour": "no number with a unit",
    "1h 30": "no number with a unit",
    "5 months": "'months' is no unit",
    "1 handbag": "'handbag' is no unit",
    "5m 5m": "minutes twice",
    "1 hour and": "ends in the middle",
    "٥m": "no number with a unit",
    "1.0000001 s": "finer than a microsecond",
    "9999999999 weeks": "longer than 100 years",
    "1" * 101: "more than 100 characters",
}


@pytest.mark.parametrize(("text", "why"), BAD_PERIODS.items(), ids=BAD_PERIODS.values())
def test_bad_period_is_refused_with_examples(text, why):
    with pytest.raises(TriggerError) as caught:
        parse_period(text)
    assert why in str(caught.value)
    assert "1h 30m" in str(caught.value)
    assert (caught.value.field, caught.value.value) == ("period", text)


@pytest.mark.parametrize("name", ["Europe/Berlin", "europe/berlin", " EUROPE/BERLIN "])
def test_zone_is_found_in_any_case(name):
    assert parse_zone(name).key == "Europe/Berlin"


SUGGESTIONS = {
    "Europe/Berln": "Europe/Berlin",
    "Berlin": "Europe/Berlin",
    "new york": "America/New_York",
    "Amerca/New_York": "America/New_York",
    "Kolkatta": "Asia/Kolkata",
}


@pytest.mark.parametrize(("name", "suggestion"), SUGGESTIONS.items())
def test_unknown_zone_suggests_a_near_one(name, suggestion):
    with pytest.raises(TriggerError, match=f"did you mean .*{suggestion}") as caught:
        parse_zone(name)
    assert caught.value.field == "time_zone"


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "Factory", "localtime", "x" * 5000])
def test_what_is_no_zone_at_all_is_refused(name):
    with pytest.raises(TriggerError, match="as a time zone"):
        parse_zone(name)
