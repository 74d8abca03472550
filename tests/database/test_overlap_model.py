"""Planner and overlap against a plain model, through the recorder and the claims, on the real database.

A life: three schedules, two of which may share a key; a beat that looks often or late; workers that start, finish and
die; people that cancel and change policies. After every step each run is in the state that the model says.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from beat_config import recorder
from beat_config.models import SchedulePolicy
from jobs import claims
from jobs.claims import Outcome
from jobs.models import Run
from jobs.states import State
from tests.factories import NOW, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
LEASE = timedelta(days=30)
PERIODS = (MINUTE, MINUTE, 90 * SECOND)
ATTEMPTS = 2
OVERLAPS = st.sampled_from(["skip", "queue", "replace", "allow"])
POLICIES = st.fixed_dictionaries(
    {
        "overlap": OVERLAPS,
        "concurrency_key": st.sampled_from(["", "shared"]),
        "catch_up": st.sampled_from(["none", "latest", "all"]),
        "catch_up_window": st.sampled_from([MINUTE, timedelta(hours=1)]),
        "catch_up_cap": st.sampled_from([1, 2, 5]),
        "grace": st.sampled_from([timedelta(0), MINUTE]),
        "when_wrong": st.sampled_from(["leave", "crash"]),
        "attempts": st.just(ATTEMPTS),
        "retry_delay": st.just(timedelta(0)),
    }
)


@dataclass
class ModelSchedule:
    pk: int
    period: timedelta
    policy: dict
    cursor: datetime

    @property
    def key(self):
        if self.policy["overlap"] == "allow":
            return None
        return self.policy["concurrency_key"] or f"schedule:{self.pk}"


@dataclass
class ModelRun:
    """`state`: ready (to be sent), held (until another ends), running, or how it ended."""

    schedule: int
    fire: datetime
    key: str | None
    state: str
    most: int = 1
    attempt: int = 1
    covers: int = 1
    asked_to_end: bool = False

    @property
    def is_active(self):
        return self.state in {"ready", "held", "running"}


class Life(RuleBasedStateMachine):
    @initialize(policies=st.tuples(POLICIES, POLICIES, POLICIES))
    def begins(self, policies):
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.now = NOW
        # In the order in which they are recorded.
        self.runs = []
        self.schedules = []
        for period, policy in zip(PERIODS, policies, strict=True):
            row = make_schedule(due=NOW + period, every=period, policy=policy)
            self.schedules.append(ModelSchedule(row.pk, period, policy, NOW + period))

    def teardown(self):
        if hasattr(self, "transaction"):
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

    # What happens

    @rule()
    def beat_looks_when_one_is_due(self):
        self.beat_looks_later(max(SECOND, min(each.cursor for each in self.schedules) - self.now))

    @rule(step=st.sampled_from([30 * SECOND, MINUTE, 5 * MINUTE, timedelta(hours=2)]))
    def beat_looks_later(self, step):
        self.now += step
        recorder.record_due(self.now)
        replacing = []
        for schedule in sorted(self.schedules, key=lambda each: (each.cursor, each.pk)):
            replacing += self.decide(schedule)
        for run in replacing:
            self.replace(run)

    @rule(number=st.integers(0, 9))
    def a_worker_gets_a_message(self, number):
        if (run := self.pick(number, "ready")) is None:
            return
        started = claims.claim(self.row(run).pk, run.attempt, worker="w", lease=LEASE, now=self.now)
        other = any(each.state == "running" and each.key == run.key for each in self.runs) and run.key is not None
        assert (started is None) == other
        run.state = "held" if other else "running"

    @rule(number=st.integers(0, 9), state=st.sampled_from(["succeeded", "failed", "timed_out"]))
    def a_worker_finishes(self, number, state):
        if (run := self.pick(number, "running")) is None:
            return
        row = self.row(run)
        assert claims.finish(claims.Claim(row, row.token), Outcome(State(state)), now=self.now)
        run.state = state
        self.release(run.key)

    @rule(number=st.integers(0, 9))
    def a_worker_dies(self, number):
        if (run := self.pick(number, "running")) is None:
            return
        Run.objects.filter(pk=self.row(run).pk).update(lease_until=self.now - SECOND)
        assert claims.interrupt_expired(self.now) == 1
        run.state = "interrupted"
        if run.attempt < run.most and not run.asked_to_end:
            again = ModelRun(run.schedule, run.fire, run.key, "ready", run.most, run.attempt + 1, run.covers)
            self.runs.append(again)
        else:
            self.release(run.key)

    @rule(number=st.integers(0, 9))
    def somebody_cancels(self, number):
        if (run := self.pick(number, "ready", "held", "running")) is None:
            return
        assert claims.cancel(self.row(run).pk, by="somebody", now=self.now)
        self.end(run)
        self.release(run.key)

    @rule(number=st.integers(0, 2), overlap=OVERLAPS)
    def somebody_changes_a_policy(self, number, overlap):
        schedule = self.schedules[number]
        schedule.policy = schedule.policy | {"overlap": overlap}
        SchedulePolicy.objects.filter(pk=schedule.pk).update(overlap=overlap)

    @precondition(lambda self: any(run.is_active and run.key is None for run in self.runs))
    @rule()
    def one_that_goes_on_may_no_longer_have_others_beside_it(self):
        going = next(run.schedule for run in self.runs[::-1] if run.is_active and run.key is None)
        self.somebody_changes_a_policy([each.pk for each in self.schedules].index(going), "skip")

    # The model

    def decide(self, schedule):
        """Return the runs that replace others; they do when all are recorded."""
        policy, due = schedule.policy, []
        while schedule.cursor <= self.now:
            due.append(schedule.cursor)
            schedule.cursor += schedule.period
        accepted = [fire for fire in due if self.is_accepted(fire, policy)]
        begin = accepted[-(1 if policy["catch_up"] == "latest" else policy["catch_up_cap"]) :]
        if missed := due[: len(due) - len(begin)]:
            self.runs.append(ModelRun(schedule.pk, missed[0], None, "missed", covers=len(missed)))
        replacing = []
        for fire in begin:
            run = ModelRun(schedule.pk, fire, schedule.key, "ready", ATTEMPTS if policy["when_wrong"] == "crash" else 1)
            if (others := self.in_the_way(schedule)) and policy["overlap"] != "allow":
                waiting = sum(each.state == "held" for each in others[1:])
                full = policy["overlap"] == "queue" and waiting >= policy["catch_up_cap"]
                run.state = "skipped" if policy["overlap"] == "skip" or full else "held"
                if run.state == "held" and policy["overlap"] == "replace":
                    replacing.append(run)
            self.runs.append(run)
        return replacing

    def is_accepted(self, fire, policy):
        late = self.now - fire
        return late <= policy["grace"] or (policy["catch_up"] != "none" and late <= policy["catch_up_window"])

    def in_the_way(self, schedule):
        """Return what goes on and waits beside a new run, what runs first."""
        beside = [each for each in self.runs if each.is_active and each.key == schedule.key is not None]
        if not beside and schedule.policy["overlap"] == "skip":  # it began when two were still allowed
            beside = [each for each in self.runs if each.is_active and (each.schedule, each.key) == (schedule.pk, None)]
        return sorted(beside, key=lambda each: each.state != "running")

    def replace(self, run):
        for each in self.runs[: self.runs.index(run)]:
            if each.is_active and each.key == run.key:
                self.end(each)
        self.release(run.key)

    def end(self, run):
        if run.state == "running":
            run.asked_to_end = True
        else:
            run.state = "cancelled"

    def release(self, key):
        mine = [each for each in self.runs if key is not None and each.key == key and each.is_active]
        if mine and all(each.state == "held" for each in mine):
            mine[0].state = "ready"

    # What has to hold

    @invariant()
    def every_run_is_as_the_model_says(self):
        if not hasattr(self, "runs"):
            return
        rows = {(row.schedule_id, row.fire_time, row.attempt): row for row in Run.objects.all()}
        found = {key: (self.state(row), row.covers, row.cancel_requested_at is not None) for key, row in rows.items()}
        expected = {
            (run.schedule, run.fire, run.attempt): (run.state, run.covers, run.asked_to_end) for run in self.runs
        }
        assert found == expected

    @invariant()
    def every_cursor_is_behind_what_is_decided(self):
        if not hasattr(self, "runs"):
            return
        for schedule in self.schedules:
            assert SchedulePolicy.objects.get(pk=schedule.pk).next_fire_at == schedule.cursor
            decided = sum(run.covers for run in self.runs if run.schedule == schedule.pk and run.attempt == 1)
            assert decided == (schedule.cursor - NOW) // schedule.period - 1

    def state(self, row):
        if row.state in {State.PENDING, State.QUEUED}:
            return "held" if row.dispatch_at is None else "ready"
        return str(row.state)

    def pick(self, number, *states):
        some = [run for run in self.runs if run.state in states]
        return some[number % len(some)] if some else None

    def row(self, run):
        return Run.objects.get(schedule=run.schedule, fire_time=run.fire, attempt=run.attempt)


def test_planner_and_overlap_do_what_a_plain_model_says():
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
