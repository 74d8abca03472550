"""The planner against a model that lists every fire and looks at each by itself, over whole lives of a schedule.

A life: beats that look often, late or after days; a clock that jumps both ways; beats that die between the decision and
its record; policies that people change. Overlap is decided by the recorder, from what the planner says.
"""

from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from beat_config.blackouts import AbsoluteBlackout, WeeklyBlackout
from beat_config.composed import Weeks, compose
from beat_config.holiday_calendars import Holiday, HolidayCalendar
from beat_config.planner import COUNT_LIMIT, MOST_STRETCHES, Policy, Verdict, plan
from beat_config.triggers import Clocked, Crontab, Interval

BERLIN, LORD_HOWE, LONDON = (ZoneInfo(name) for name in ("Europe/Berlin", "Australia/Lord_Howe", "Europe/London"))
BIRTH = datetime(2026, 3, 27, 22, 30, tzinfo=UTC)  # two days before Berlin's gap
SECOND = timedelta(seconds=1)

TRIGGERS = [
    Interval(timedelta(minutes=7), BIRTH),
    Interval(timedelta(seconds=31), BIRTH + timedelta(hours=1)),
    Crontab("*/30 * * * *", BERLIN),
    Crontab("0 * * * *", LONDON),
    Crontab("30 2,3 * * *", BERLIN),
    Crontab("0 2 * * *", LONDON),
    Crontab("0 9,17 * * 1-5", LORD_HOWE),
    Clocked(BIRTH + timedelta(hours=5)),
    compose(Crontab("*/20 0-6 * * *", BERLIN), weeks=Weeks(2, date(2026, 3, 30), BERLIN)),
    compose(Crontab("0 * * * *", BERLIN), spread=timedelta(minutes=50), seed="7", end=BIRTH + timedelta(days=9)),
]
# Each with its plain meaning: does the blackout hold this moment?
BLACKOUTS = [
    (WeeklyBlackout("Night", time(1), time(3), ZoneInfo("UTC")), lambda moment: 1 <= moment.hour < 3),
    (
        WeeklyBlackout("Weekend", time(0), time(0), LONDON, frozenset({0, 6})),
        lambda moment: moment.astimezone(LONDON).isoweekday() > 5,
    ),
    (
        AbsoluteBlackout("Move", BIRTH + timedelta(hours=9), BIRTH + timedelta(hours=13), BERLIN),
        lambda moment: timedelta(hours=9) <= moment - BIRTH < timedelta(hours=13),
    ),
    (
        HolidayCalendar("Works", BERLIN, (Holiday(date(2026, 3, 31), "Inventory"),)),
        lambda moment: moment.astimezone(BERLIN).date() == date(2026, 3, 31),
    ),
]
DURATIONS = st.sampled_from([timedelta(0), SECOND, timedelta(minutes=1), timedelta(hours=2), timedelta(days=1)])
POLICIES = st.builds(
    Policy, st.sampled_from(["none", "latest", "all"]), DURATIONS, st.sampled_from([1, 2, 5, 100]), DURATIONS
)
STEPS = st.one_of(
    st.sampled_from([SECOND, timedelta(minutes=30), timedelta(hours=1), timedelta(hours=8), timedelta(days=12)]),
    st.integers(0, 90_000_000).map(lambda thousandths: timedelta(milliseconds=thousandths)),
)


class LifeOfASchedule(RuleBasedStateMachine):
    @initialize(
        trigger=st.sampled_from(TRIGGERS), policy=POLICIES, blackouts=st.lists(st.sampled_from(BLACKOUTS), max_size=3)
    )
    def is_born(self, trigger, policy, blackouts):
        self.trigger, self.policy = trigger, policy
        self.blackouts, self.tests = [each for each, _ in blackouts], [test for _, test in blackouts]
        self.now = self.last_look = BIRTH
        self.cursor = self.first = trigger.after(BIRTH)
        self.decided = []

    @rule(policy=POLICIES)
    def is_given_another_policy(self, policy):
        self.policy = policy

    @rule(step=STEPS)
    def beat_looks_later(self, step):
        self.now += step
        self.beat_looks_and_records()

    @rule(step=STEPS)
    def clock_is_set_back(self, step):
        self.now -= step

    @precondition(lambda self: self.cursor is not None)
    @rule(late=DURATIONS)
    def beat_looks_just_when_a_fire_is_so_late(self, late):
        self.now = self.cursor + late
        self.beat_looks_and_records()

    @precondition(lambda self: self.cursor is not None)
    @rule()
    def beat_dies_before_it_records(self):
        first, second = self.look(), self.look()
        assert first == second

    def beat_looks_and_records(self):
        if self.cursor is None:
            return
        due, now, decision = self.cursor, self.now, self.look()
        self.last_look = max(self.last_look, now)
        if now < due:
            assert (decision.fires, decision.next_fire_at) == ((), due)
            return
        came_due = [due, *self.trigger.between(due, now)]
        self.every_fire_has_one_decision(came_due, decision)
        self.what_runs_is_what_the_policy_says(came_due, decision)
        assert decision.next_fire_at == next(self.trigger.between(now, now + timedelta(days=90)), None)
        assert decision.next_fire_at is None or decision.next_fire_at > now >= due
        self.cursor = decision.next_fire_at

    def look(self):
        return plan(self.trigger, due=self.cursor, now=self.now, policy=self.policy, blackouts=self.blackouts)

    def is_black(self, moment):
        return any(test(moment) for test in self.tests)

    def every_fire_has_one_decision(self, came_due, decision):
        decided = []
        for fire in decision.fires:
            last = fire.until or fire.fire_time
            covered = [each for each in came_due if fire.fire_time <= each <= last]
            assert (covered[0], covered[-1]) == (fire.fire_time, last)
            assert (fire.until is None) == (len(covered) == 1)
            assert len(covered) >= fire.count if "at least" in fire.reason else len(covered) == fire.count
            black = {self.is_black(each) for each in covered}
            if fire.verdict is Verdict.SKIPPED:
                assert black == {True}
            elif "in a blackout" not in fire.reason:
                assert black == {False}
            decided += covered
        assert decided == came_due
        self.decided += decided
        changes = len([key for key, _ in groupby(came_due, key=self.is_black)])
        # Of three overlapping windows each may break a stretch in three.
        if len(came_due) < COUNT_LIMIT and 3 * changes < MOST_STRETCHES:
            assert not any("in a blackout" in fire.reason or "at least" in fire.reason for fire in decision.fires)

    def what_runs_is_what_the_policy_says(self, came_due, decision):
        policy = self.policy
        on_time = [each for each in came_due if self.now - each <= policy.grace]
        in_window = [each for each in came_due if self.now - each <= max(policy.grace, policy.window)]
        eligible = [each for each in (on_time if policy.catch_up == "none" else in_window) if not self.is_black(each)]
        most = 1 if policy.catch_up == "latest" else policy.cap
        ran = [fire for fire in decision.fires if fire.verdict is Verdict.RUN]
        assert [fire.fire_time for fire in ran] == eligible[-most:]
        assert all(fire.count == 1 and fire.until is None for fire in ran)
        assert all((fire.reason == "") == (fire.fire_time in on_time) for fire in ran)

    def teardown(self):
        if not hasattr(self, "first"):
            return
        came_due = list(self.trigger.between(BIRTH, self.last_look))
        assert self.decided == came_due  # none lost, none doubled, none early, in order


TestLifeOfASchedule = LifeOfASchedule.TestCase
TestLifeOfASchedule.settings = settings(
    max_examples=400,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
