import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from random import Random
from zoneinfo import ZoneInfo

import pytest

from beat_config import planner
from beat_config.blackouts import AbsoluteBlackout, WeeklyBlackout
from beat_config.composed import Weeks, compose
from beat_config.holiday_calendars import Holiday, HolidayCalendar
from beat_config.planner import Fire, Plan, Policy, Verdict, plan
from beat_config.triggers import Clocked, Crontab, Interval, TriggerError

DAY = datetime(2026, 3, 2, tzinfo=UTC)
MINUTELY = Interval(timedelta(minutes=1), DAY)
HOURLY = Crontab("0 * * * *", ZoneInfo("UTC"))
DAILY = Crontab("0 9 * * *", ZoneInfo("Europe/Berlin"))  # 08:00 UTC
DAILY_IN_THE_NIGHT = Crontab("0 2 * * *", ZoneInfo("UTC"))
NONE, LATEST, ALL = (Policy(catch_up=rule) for rule in ("none", "latest", "all"))


def at(text, day=0):
    hour, minute, *second = (int(part) for part in text.split(":"))
    return DAY + timedelta(days=day, hours=hour, minutes=minute, seconds=second[0] if second else 0)


def run(moment, reason=""):
    return Fire(moment, Verdict.RUN, reason)


def missed(moment, reason, count=1, until=None):
    return Fire(moment, Verdict.MISSED, reason, count, until)


@dataclass(frozen=True)
class Case:
    trigger: object
    policy: Policy
    due: datetime
    now: datetime
    fires: tuple[Fire, ...]
    next_fire_at: datetime | None


CASES = {
    "exactly on time": Case(HOURLY, LATEST, at("9:00"), at("9:00"), (run(at("9:00")),), at("10:00")),
    "late within the grace is on time": Case(
        HOURLY, NONE, at("9:00"), at("9:01"), (run(at("9:00")),), at("10:00")
    ),
    "a second beyond the grace, catch-up off": Case(
        HOURLY, NONE, at("9:00"), at("9:01:01"),
        (missed(at("9:00"), "not running for 1 min 1 s; 1 fire missed (catch-up is off)"),), at("10:00"),
    ),
    "a second beyond the grace, latest": Case(
        HOURLY, LATEST, at("9:00"), at("9:01:01"), (run(at("9:00"), "caught up, 1 min 1 s late"),), at("10:00"),
    ),
    "clock set back": Case(HOURLY, LATEST, at("9:00"), at("8:00"), (), at("9:00")),
    "clock set back by a moment": Case(HOURLY, ALL, at("9:00"), at("8:59:59"), (), at("9:00")),
    "none: all of a long break, the one within the grace runs": Case(
        MINUTELY, NONE, at("9:00"), at("11:05:30"),
        (missed(at("9:00"), "not running for 2 h 5 min; 125 fires missed (catch-up is off)", 125, at("11:04")),
         run(at("11:05"))),
        at("11:06"),
    ),
    "none: several within the grace all run": Case(
        Interval(timedelta(seconds=20), DAY), NONE, at("9:00"), at("9:00:45"),
        (run(at("9:00")), run(at("9:00:20")), run(at("9:00:40"))), at("9:01"),
    ),
    "none: nothing within the grace": Case(
        HOURLY, NONE, at("9:00"), at("11:30"),
        (missed(at("9:00"), "not running for 2 h 30 min; 3 fires missed (catch-up is off)", 3, at("11:00")),),
        at("12:00"),
    ),
    "none: more within a long grace than the cap": Case(
        MINUTELY, Policy("none", cap=2, grace=timedelta(hours=1)), at("9:00"), at("9:03"),
        (missed(at("9:00"), "not running for 3 min; 2 fires missed (at most 2 are run at once)", 2, at("9:01")),
         run(at("9:02")), run(at("9:03"))),
        at("9:04"),
    ),
    "latest: the newest of many runs late": Case(
        HOURLY, LATEST, at("9:00"), at("11:30"),
        (missed(at("9:00"), "not running for 2 h 30 min; 2 fires missed (only the latest is run)", 2, at("10:00")),
         run(at("11:00"), "caught up, 30 min late")),
        at("12:00"),
    ),
    "latest: the newest of many is on time": Case(
        HOURLY, LATEST, at("9:00"), at("10:00"),
        (missed(at("9:00"), "not running for 1 h; 1 fire missed (only the latest is run)"), run(at("10:00"))),
        at("11:00"),
    ),
    "latest: the window ends exactly at the fire": Case(
        DAILY, LATEST, at("8:00"), at("8:00", day=1) - timedelta(microseconds=1),
        (run(at("8:00"), "caught up, 23 h 59 min late"),), at("8:00", day=1),
    ),
    "latest: all older than the window": Case(
        DAILY, Policy("latest", window=timedelta(hours=2)), at("8:00"), at("12:00", day=2),
        (missed(at("8:00"), "not running for 2 days 4 h; 3 fires missed (older than the catch-up window of 2 h)", 3,
                at("8:00", day=2)),),
        at("8:00", day=3),
    ),
    "latest: on the edge of the window": Case(
        DAILY, Policy("latest", window=timedelta(hours=2)), at("8:00"), at("10:00"),
        (run(at("8:00"), "caught up, 2 h late"),), at("8:00", day=1),
    ),
    "latest: the grace counts even with no window": Case(
        HOURLY, Policy("latest", window=timedelta(0)), at("9:00"), at("9:00:59"), (run(at("9:00")),), at("10:00")
    ),
    "all: everything within the window, oldest first": Case(
        HOURLY, ALL, at("9:00"), at("11:00:30"),
        (run(at("9:00"), "caught up, 2 h late"), run(at("10:00"), "caught up, 1 h late"), run(at("11:00"))),
        at("12:00"),
    ),
    "all: what is older than the window is missed": Case(
        HOURLY, Policy("all", window=timedelta(hours=1)), at("7:00"), at("10:30"),
        (missed(at("7:00"), "not running for 3 h 30 min; 3 fires missed (older than the catch-up window of 1 h)", 3,
                at("9:00")),
         run(at("10:00"), "caught up, 30 min late")),
        at("11:00"),
    ),
    "all: the newest of more than the cap": Case(
        HOURLY, Policy("all", cap=2), at("7:00"), at("10:30"),
        (missed(at("7:00"), "not running for 3 h 30 min; 2 fires missed (at most 2 are run at once)", 2, at("8:00")),
         run(at("9:00"), "caught up, 1 h 30 min late"), run(at("10:00"), "caught up, 30 min late")),
        at("11:00"),
    ),
    "once, on time": Case(Clocked(at("9:00")), LATEST, at("9:00"), at("9:00"), (run(at("9:00")),), None),
    "once, missed": Case(
        Clocked(at("9:00")), NONE, at("9:00"), at("10:00"),
        (missed(at("9:00"), "not running for 1 h; 1 fire missed (catch-up is off)"),), None,
    ),
    "cursor that the trigger would not give any more": Case(
        HOURLY, ALL, at("9:17"), at("10:00"), (run(at("9:17"), "caught up, 43 min late"), run(at("10:00"))), at("11:00"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_decision(case):
    actual = plan(case.trigger, due=case.due, now=case.now, policy=case.policy)
    assert actual == Plan(case.fires, case.next_fire_at)


def skipped(moment, reason, count=1, until=None):
    return Fire(moment, Verdict.SKIPPED, reason, count, until)


NIGHT = WeeklyBlackout("Nightly", time_of_day(1), time_of_day(3), ZoneInfo("UTC"))
NIGHT_REASON = "blackout: Nightly, 01:00-03:00 every day (UTC)"
FEAST = HolidayCalendar("Works", ZoneInfo("UTC"), (Holiday(DAY.date(), "Inventory"),))
FEAST_REASON = "holiday: Inventory (calendar Works)"
WHOLE_DAY = AbsoluteBlackout("Move", DAY, DAY + timedelta(days=1), ZoneInfo("UTC"))
BLACKOUTS = {
    "one fire, on time": ([NIGHT], Case(HOURLY, LATEST, at("1:00"), at("1:00"), (skipped(at("1:00"), NIGHT_REASON),), at("2:00"))),
    "one fire, much too late, is still skipped and not missed": (
        [NIGHT],
        Case(DAILY_IN_THE_NIGHT, NONE, at("2:00"), at("9:00"), (skipped(at("2:00"), NIGHT_REASON),), at("2:00", day=1)),
    ),
    "the first fire after the window runs": (
        [NIGHT], Case(HOURLY, LATEST, at("3:00"), at("3:00"), (run(at("3:00")),), at("4:00")),
    ),
    "a holiday is named": (
        [NIGHT, FEAST], Case(HOURLY, LATEST, at("9:00"), at("9:00"), (skipped(at("9:00"), FEAST_REASON),), at("10:00")),
    ),
    "latest: the latest is that outside of the window": (
        [NIGHT],
        Case(HOURLY, LATEST, at("0:00"), at("2:30"),
             (run(at("0:00"), "caught up, 2 h 30 min late"),
              skipped(at("1:00"), f"{NIGHT_REASON}; 2 fires skipped", 2, at("2:00"))),
             at("3:00")),
    ),
    "latest: missed, skipped, missed again and run": (
        [NIGHT],
        Case(HOURLY, LATEST, at("0:00"), at("5:00"),
             (missed(at("0:00"), "not running for 5 h; 1 fire missed (only the latest is run)"),
              skipped(at("1:00"), f"{NIGHT_REASON}; 2 fires skipped", 2, at("2:00")),
              missed(at("3:00"), "not running for 5 h; 2 fires missed (only the latest is run)", 2, at("4:00")),
              run(at("5:00"))),
             at("6:00")),
    ),
    "all: skipped between those that run": (
        [NIGHT],
        Case(HOURLY, ALL, at("0:00"), at("3:30"),
             (run(at("0:00"), "caught up, 3 h 30 min late"),
              skipped(at("1:00"), f"{NIGHT_REASON}; 2 fires skipped", 2, at("2:00")),
              run(at("3:00"), "caught up, 30 min late")),
             at("4:00")),
    ),
    "all: the cap counts only what runs": (
        [NIGHT],
        Case(HOURLY, Policy("all", cap=2), at("0:00"), at("3:00"),
             (run(at("0:00"), "caught up, 3 h late"),
              skipped(at("1:00"), f"{NIGHT_REASON}; 2 fires skipped", 2, at("2:00")),
              run(at("3:00"))),
             at("4:00")),
    ),
    "everything that came due lies in one window": (
        [WHOLE_DAY],
        Case(MINUTELY, ALL, at("9:00"), at("11:00"),
             (skipped(at("9:00"), "blackout: Move, 2026-03-02 00:00 to 2026-03-03 00:00 (UTC); 121 fires skipped", 121,
                      at("11:00")),),
             at("11:01")),
    ),
    "nights with nothing due between are one record": (
        [NIGHT],
        Case(DAILY_IN_THE_NIGHT, LATEST, at("2:00"), at("9:00", day=9),
             (skipped(at("2:00"), f"{NIGHT_REASON}; 10 fires skipped", 10, at("2:00", day=9)),), at("2:00", day=10)),
    ),
    "of two windows at once each has its part": (
        [NIGHT, FEAST],
        Case(HOURLY, LATEST, at("1:00"), at("4:00"),
             (skipped(at("1:00"), f"{NIGHT_REASON}; 2 fires skipped", 2, at("2:00")),
              skipped(at("3:00"), f"{FEAST_REASON}; 2 fires skipped", 2, at("4:00"))),
             at("5:00")),
    ),
    "a window in which nothing comes due leaves no trace": (
        [NIGHT],
        Case(Crontab("0 0,4,5 * * *", ZoneInfo("UTC")), NONE, at("0:00"), at("4:30"),
             (missed(at("0:00"), "not running for 4 h 30 min; 2 fires missed (catch-up is off)", 2, at("4:00")),),
             at("5:00")),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("blackouts", "case"), BLACKOUTS.values(), ids=BLACKOUTS)
def test_decision_with_blackouts(blackouts, case):
    actual = plan(case.trigger, due=case.due, now=case.now, policy=case.policy, blackouts=blackouts)
    assert actual == Plan(case.fires, case.next_fire_at)


LONG = {
    "interval": (MINUTELY, "fires missed or in a blackout", True),
    "cron": (Crontab("* * * * *", ZoneInfo("Europe/Berlin")), "at least", False),
}


@pytest.mark.parametrize(("trigger", "words", "exact"), LONG.values(), ids=LONG)
@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_a_year_of_minutes_and_nightly_blackouts_is_planned_quickly_into_few_records(trigger, words, exact, catch_up):
    now = DAY + timedelta(days=365, hours=12)
    started = time.perf_counter()
    policy = Policy(catch_up, window=timedelta(hours=1), cap=1, grace=timedelta(seconds=0))
    actual = plan(trigger, due=DAY, now=now, policy=policy, blackouts=[NIGHT])
    assert time.perf_counter() - started < 1
    assert len(actual.fires) <= 2 + planner.MOST_STRETCHES
    assert actual.fires[-1] == run(now)
    (mixed,) = [fire for fire in actual.fires if "in a blackout" in fire.reason]
    assert words in mixed.reason
    assert (mixed.verdict, mixed.until) == (Verdict.MISSED, now - timedelta(minutes=1))
    assert exact == (sum(fire.count for fire in actual.fires) == 365 * 1440 + 721)


HUGE = {
    "interval": (Interval(timedelta(seconds=1), DAY), "31,535,999 fires missed", 31_535_999),
    "cron": (Crontab("* * * * * *", ZoneInfo("Europe/Berlin")), "at least 1,000 fires missed", 1_000),
}


@pytest.mark.parametrize(("trigger", "words", "count"), HUGE.values(), ids=HUGE)
@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_every_second_off_for_a_year_is_planned_quickly(trigger, words, count, catch_up):
    due, now = DAY, DAY + timedelta(days=365)
    policy = Policy(catch_up, cap=1, grace=timedelta(seconds=0))
    started = time.perf_counter()
    actual = plan(trigger, due=due, now=now - timedelta(seconds=1), policy=policy)
    assert time.perf_counter() - started < 1
    first, newest = actual.fires
    assert newest == run(now - timedelta(seconds=1))
    assert (first.fire_time, first.until) == (due, now - timedelta(seconds=2))
    assert words in first.reason
    assert first.count == count
    assert actual.next_fire_at == now


def test_rare_fires_of_a_long_break_are_all_found():
    """Between the bursts of this line lie months without a fire."""
    trigger = Crontab("0-5 0 29 2 *", ZoneInfo("UTC"))
    due = datetime(2024, 2, 29, tzinfo=UTC)
    actual = plan(trigger, due=due, now=datetime(2033, 1, 1, tzinfo=UTC), policy=NONE)
    (fire,) = actual.fires
    assert (fire.count, fire.until) == (18, datetime(2032, 2, 29, 0, 5, tzinfo=UTC))


TRIGGERS = {
    "interval": Interval(timedelta(seconds=47), DAY - timedelta(hours=1)),
    "half hours": Crontab("*/30 * * * *", ZoneInfo("Europe/Berlin")),
    "time of day": Crontab("30 2 * * *", ZoneInfo("Europe/Berlin")),
    "bursts": Crontab("*/10 30 2,3 * * 0", ZoneInfo("Australia/Lord_Howe")),
    "once": Clocked(DAY + timedelta(hours=1)),
    "every second week, jittered": compose(
        Crontab("*/20 * * * 1-5", ZoneInfo("Europe/Berlin")),
        weeks=Weeks(2, DAY.date(), ZoneInfo("Europe/Berlin")),
        spread=timedelta(hours=1),
        seed="x",
    ),
}


@pytest.mark.parametrize("trigger", TRIGGERS.values(), ids=TRIGGERS)
def test_every_due_fire_gets_exactly_one_decision_and_policy_holds(trigger):
    """Against a plain list of what came due, for random breaks and policies."""
    chance = Random(3)
    for _ in range(150):
        due = trigger.after(DAY + timedelta(seconds=chance.randrange(30 * 86_400)))
        due = due or DAY + timedelta(hours=1)
        now = due + timedelta(seconds=chance.choice([0, 1, 61, 3_601, chance.randrange(2 * 86_400), 20_000]))
        policy = Policy(
            chance.choice(["none", "latest", "all"]),
            timedelta(minutes=chance.choice([0, 30, 600, 1_440])),
            chance.choice([1, 5, 100]),
            timedelta(seconds=chance.choice([0, 60, 7_200])),
        )
        actual = plan(trigger, due=due, now=now, policy=policy)
        came_due = [due, *trigger.between(due, now)]

        decided = []
        for fire in actual.fires:
            covered = [each for each in came_due if fire.fire_time <= each <= (fire.until or fire.fire_time)]
            assert "at least" in fire.reason or len(covered) == fire.count
            decided += covered
        assert decided == came_due

        late = {each: now - each for each in came_due}
        on_time = [each for each in came_due if late[each] <= policy.grace]
        in_window = [each for each in came_due if late[each] <= max(policy.grace, policy.window)]
        expected = {"none": on_time[-policy.cap :], "latest": in_window[-1:], "all": in_window[-policy.cap :]}
        assert [fire.fire_time for fire in actual.fires if fire.verdict is Verdict.RUN] == expected[policy.catch_up]
        assert actual.next_fire_at == trigger.after(now)
        assert actual.next_fire_at is None or actual.next_fire_at > now


def test_plan_of_one_due_fire_asks_the_trigger_once():
    """Nearly every plan is of this kind, and beat makes thousands a second."""
    asked = []

    class Watched(Interval):
        def after(self, moment):
            asked.append(moment)
            return super().after(moment)

    plan(Watched(timedelta(hours=1), DAY), due=at("9:00"), now=at("9:00:01"), policy=LATEST)
    assert asked == [at("9:00")]


def test_naive_time_is_refused():
    with pytest.raises(TriggerError, match="no time zone"):
        plan(HOURLY, due=at("9:00"), now=DAY.replace(tzinfo=None), policy=LATEST)
    with pytest.raises(TriggerError, match="no time zone"):
        plan(HOURLY, due=DAY.replace(tzinfo=None), now=DAY, policy=LATEST)


BAD_POLICIES = {
    "catch_up": {"catch_up": "some"},
    "window": {"window": timedelta(seconds=-1)},
    "grace": {"grace": timedelta(seconds=-1)},
    "cap": {"cap": 0},
}


@pytest.mark.parametrize(("field", "values"), BAD_POLICIES.items(), ids=BAD_POLICIES)
def test_impossible_policy_is_refused_by_the_name_of_its_field(field, values):
    with pytest.raises(TriggerError, match="cannot use") as caught:
        Policy(**values)
    assert caught.value.field == field


def test_defaults_are_those_of_the_design():
    assert Policy() == Policy("latest", timedelta(days=1), 100, timedelta(seconds=60))
    assert planner.COUNT_LIMIT == 1_000
