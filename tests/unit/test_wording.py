from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from beat_config.bounds import Bounded
from beat_config.composed import EveryNthWeek, Jittered, Weeks, compose
from beat_config.solar import EVENTS, Solar
from beat_config.triggers import Clocked, Crontab, Interval
from beat_config.wording import describe, lateness

START = datetime(2026, 3, 1, 9, tzinfo=UTC)

PERIODS = {
    1: "Every second",
    10: "Every 10 seconds",
    1.5: "Every 1.5 seconds",
    60: "Every minute",
    90: "Every 1 minute 30 seconds",
    300: "Every 5 minutes",
    3_600: "Every hour",
    5_400: "Every 1 hour 30 minutes",
    86_400: "Every day",
    864_000: "Every 10 days",
    604_800: "Every week",
    1_209_600: "Every 2 weeks",
}


@pytest.mark.parametrize(("seconds", "words"), PERIODS.items(), ids=PERIODS.values())
def test_interval_in_words(seconds, words):
    assert describe(Interval(timedelta(seconds=seconds), START)) == words


def test_once_in_words():
    assert describe(Clocked(START)) == "Once, at 09:00 on 2026-03-01 (UTC)"
    assert describe(Clocked(START + timedelta(seconds=5))) == "Once, at 09:00:05 on 2026-03-01 (UTC)"


LINES = {
    "30 2 * * 1-5": "At 02:30 on weekdays",
    "0 9 * * *": "At 09:00 every day",
    "0 9,17 * * *": "At 09:00 and 17:00 every day",
    "0 9 * * sat,sun": "At 09:00 on weekends",
    "0 9 * * 0,3": "At 09:00 on Sunday and Wednesday",
    "0 9 * * fri-mon": "At 09:00 on Friday to Monday",
    "0 9 * * */2": "At 09:00 on Sunday, Tuesday, Thursday and Saturday",
    "* * * * *": "Every minute",
    "*/5 * * * *": "Every 5 minutes",
    "*/7 * * * *": "Every 7 minutes, anew each hour",
    "*/15 9-17 * * 1-5": "Every 15 minutes from 09:00 to 17:59, on weekdays",
    "*/5 22-2 * * *": "Every 5 minutes from 22:00 to 02:59",
    "* 2 * * *": "Every minute from 02:00 to 02:59",
    "0 * * * *": "Every hour, on the hour",
    "1 * * * *": "Every hour, at 1 minute past",
    "0 * * * 1-5": "Every hour, on the hour, on weekdays",
    "0,30 * * * *": "At minutes 0 and 30 of every hour",
    "*/20,5 * * * *": "At minutes 0, 20, 40 and 5 of every hour",
    "5 9-17 * * *": "Every hour from 09:05 to 17:05",
    "30 */2 * * *": "Every 2 hours from 00:30",
    "0 */5 * * *": "At 00:00, 05:00, 10:00, 15:00 and 20:00 every day",
    "5,35 8-18/2 * * *": "At minutes 5 and 35 of every hour, in hours 8, 10, 12, 14, 16 and 18",
    "0 0 L * *": "At 00:00 on the last day of the month",
    "0 0 15,L * *": "At 00:00 on day 15 and the last day of the month",
    "0 0 LW * *": "At 00:00 on the last working day (Monday to Friday) of the month",
    "0 0 * * 5L": "At 00:00 on the last Friday of the month",
    "0 0 * * 5#2,1#1": "At 00:00 on the second Friday of the month and the first Monday of the month",
    "0 0 */2 * *": "At 00:00 on every 2nd day from day 1 of the month",
    "0 0 1 1 *": "At 00:00 on 1 January",
    "0 0 1,15 1,7 *": "At 00:00 on days 1 and 15 of the month in January and July",
    "0 0 1 */3 *": "At 00:00 on day 1 of the month in January, April, July and October",
    "0 8 * nov-feb *": "At 08:00 every day from November to February",
    "* * * * * *": "Every second",
    "*/10 * * * * *": "Every 10 seconds",
    "30 * * * * *": "At second 30 of every minute",
    "15 30 2 * * *": "At 02:30:15 every day",
    "* 30 2 * * *": "Every second of minute 30 from 02:00 to 02:59",
    "@weekly": "At 00:00 on Sunday",
}


@pytest.mark.parametrize(("line", "words"), LINES.items(), ids=LINES)
def test_cron_line_in_words_with_its_zone(line, words):
    assert describe(Crontab(line, ZoneInfo("Europe/Berlin"))) == f"{words} (Europe/Berlin)"


RULES = {
    "or": ("0 12 13 * 5", "or", "At 12:00 on day 13 of the month or on Friday (UTC)"),
    "and": ("0 12 13 * 5", "and", "At 12:00 on day 13 of the month, only if it falls on Friday (UTC)"),
    "or in a month": ("0 12 13 1 5", "or", "At 12:00 on day 13 of the month or on Friday, in January (UTC)"),
    "or, but a * at the start makes it and": (
        "0 12 */2 * 5",
        "or",
        "At 12:00 on every 2nd day from day 1 of the month, only if it falls on Friday (UTC)",
    ),
    "or with nth": ("0 12 1 * 5#2", "or", "At 12:00 on day 1 of the month or on the second Friday of the month (UTC)"),
}


@pytest.mark.parametrize(("line", "rule", "words"), RULES.values(), ids=RULES)
def test_words_say_whether_one_or_both_days_must_match(line, rule, words):
    assert describe(Crontab(line, ZoneInfo("UTC"), rule)) == words


def test_moments_are_told_in_the_zone_of_the_reader():
    assert describe(Clocked(START), ZoneInfo("Europe/Berlin")) == "Once, at 10:00 on 2026-03-01 (Europe/Berlin)"


def test_sun_in_words():
    assert describe(Solar("sunset", 52.52, 13.405)) == "At sunset (52.52° N, 13.405° E)"
    assert describe(Solar("dawn_civil", -33.8688, -78.4678)) == "At civil dawn (33.8688° S, 78.4678° W)"
    assert [describe(Solar(event, 0, 0)) for event in EVENTS] == [
        "At astronomical dawn (0° N, 0° E)",
        "At nautical dawn (0° N, 0° E)",
        "At civil dawn (0° N, 0° E)",
        "At sunrise (0° N, 0° E)",
        "At solar noon (0° N, 0° E)",
        "At sunset (0° N, 0° E)",
        "At civil dusk (0° N, 0° E)",
        "At nautical dusk (0° N, 0° E)",
        "At astronomical dusk (0° N, 0° E)",
    ]


MONDAYS = Crontab("0 9 * * 1", ZoneInfo("UTC"))
WORDS = "At 09:00 on Monday (UTC)"
COMPOSED = {
    "every second week": (
        EveryNthWeek(MONDAYS, 2, date(2026, 3, 5), ZoneInfo("UTC")),
        f"{WORDS}, only every 2nd week, counted from the week of Monday 2026-03-02",
    ),
    "every week": (
        EveryNthWeek(MONDAYS, 1, date(2026, 3, 2), ZoneInfo("UTC")),
        f"{WORDS}, every week, counted from the week of Monday 2026-03-02",
    ),
    "jitter": (
        Jittered(MONDAYS, timedelta(minutes=10), "schedule 1"),
        f"{WORDS}, 6 minutes 40 seconds later each time (spread over 10 minutes)",
    ),
    "jitter of nothing": (Jittered(MONDAYS, timedelta(0), "x"), WORDS),
    "start": (Bounded(MONDAYS, START), f"{WORDS}, from 2026-03-01 09:00 (UTC)"),
    "end": (Bounded(MONDAYS, None, START), f"{WORDS}, until 2026-03-01 09:00 (UTC)"),
    "open": (Bounded(MONDAYS), WORDS),
    "all": (
        compose(
            MONDAYS,
            weeks=Weeks(3, date(2026, 3, 2), ZoneInfo("UTC")),
            spread=timedelta(hours=1),
            seed="schedule 1",
            start=START,
            end=START + timedelta(days=30),
        ),
        (
            f"{WORDS}, only every 3rd week, counted from the week of Monday 2026-03-02, 3 seconds later each time "
            "(spread over 1 hour), from 2026-03-01 09:00 until 2026-03-31 09:00 (UTC)"
        ),
    ),
}


@pytest.mark.parametrize(("trigger", "words"), COMPOSED.values(), ids=COMPOSED)
def test_composed_trigger_in_words(trigger, words):
    assert describe(trigger) == words


def test_unknown_kind_of_trigger_is_named():
    with pytest.raises(TypeError, match="cannot describe a str"):
        describe("0 9 * * *")


DURATIONS = {
    0: "less than 1 s",
    0.4: "less than 1 s",
    45: "45 s",
    60: "1 min",
    61.9: "1 min 1 s",
    3_600: "1 h",
    7_500: "2 h 5 min",
    7_501: "2 h 5 min",
    86_400: "1 day",
    273_600: "3 days 4 h",
    259_260: "3 days",
    -7_500: "2 h 5 min",
}


@pytest.mark.parametrize(("seconds", "words"), DURATIONS.items(), ids=map(str, DURATIONS))
def test_duration_in_its_two_largest_units(seconds, words):
    assert lateness(timedelta(seconds=seconds)) == words
