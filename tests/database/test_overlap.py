"""What happens when the previous run, or one that shares its key, still goes on; and after a crash."""

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from beat_config import recorder
from beat_config.models import SchedulePolicy
from jobs import claims
from jobs.claims import Outcome
from jobs.models import Run
from jobs.states import State
from tests.factories import NOW, make_run, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

LEASE = timedelta(seconds=30)
MINUTE = timedelta(minutes=1)
DONE = Outcome(State.SUCCEEDED)


def overlapping(overlap, **policy):
    return make_schedule(every=MINUTE, policy={"overlap": overlap, **policy})


def start(run, now=NOW):
    return claims.claim(run.pk, run.attempt, worker="w", lease=LEASE, now=now)


def going(policy, **columns):
    """A run of this schedule that a worker holds, and the claim."""
    run = make_run(schedule_id=policy.pk, schedule_name=policy.schedule.name, fire_time=NOW - MINUTE, **columns)
    return start(run, NOW - MINUTE)


def is_held(run):
    run.refresh_from_db()
    return (run.state, run.dispatch_at) == (State.PENDING, None)


def new_run():
    return Run.objects.latest("id")


def test_queue_holds_the_new_run_and_the_end_of_the_first_releases_it():
    first = going(overlapping("queue"))
    recorder.record_due(NOW)
    run = new_run()
    assert is_held(run)
    assert run.reason == f"waits for the previous run ({first.run.pk}) to end"

    assert claims.finish(first, DONE, now=NOW + MINUTE)

    run.refresh_from_db()
    assert (run.state, run.dispatch_at, run.reason) == (State.PENDING, NOW + MINUTE, "")


def test_held_runs_are_released_one_at_a_time_oldest_first():
    policy = overlapping("queue")
    first = going(policy)
    for minute in range(3):
        recorder.record_due(NOW + minute * MINUTE)
    runs = list(Run.objects.filter(state=State.PENDING).order_by("fire_time"))

    held = first
    order = []
    while True:
        claims.finish(held, DONE, now=NOW)
        ready = Run.objects.filter(state=State.PENDING, dispatch_at__isnull=False)
        if not ready:
            break
        (run,) = ready
        order.append(run.pk)
        held = start(run)

    assert order == [run.pk for run in runs]


def test_all_missed_fires_wait_for_one_another_when_they_are_queued():
    make_schedule(every=MINUTE, due=NOW - 2 * MINUTE, policy={"catch_up": "all", "overlap": "queue"})

    recorder.record_due(NOW)

    runs = Run.objects.order_by("fire_time")
    assert [(run.state, run.dispatch_at is None) for run in runs] == [
        (State.PENDING, False),
        (State.PENDING, True),
        (State.PENDING, True),
    ]


def test_a_queue_has_an_end():
    policy = overlapping("queue", catch_up_cap=2)
    going(policy)

    for minute in range(3):
        recorder.record_due(NOW + minute * MINUTE)

    assert Run.objects.filter(state=State.PENDING).count() == 2
    assert new_run().state == State.SKIPPED
    assert "2 runs were waiting" in new_run().reason


def test_replace_asks_the_running_one_to_end_and_starts_after_it():
    first = going(overlapping("replace"))

    recorder.record_due(NOW)

    run = new_run()
    assert is_held(run)
    first.run.refresh_from_db()
    assert (first.run.cancel_requested_at, first.run.reason) == (NOW, f"replaced by run {run.pk}")
    claims.finish(first, Outcome(State.CANCELLED, first.run.reason), now=NOW)
    assert not is_held(run)


def test_replace_ends_what_waits_and_lets_the_newest_start():
    policy = overlapping("replace")
    waiting = make_run(schedule_id=policy.pk, state=State.QUEUED, fire_time=NOW - MINUTE)

    recorder.record_due(NOW)

    waiting.refresh_from_db()
    assert (waiting.state, waiting.reason) == (State.CANCELLED, f"replaced by run {new_run().pk}")
    assert not is_held(new_run())


def test_allow_starts_the_new_run_beside_the_first():
    first = going(overlapping("allow"), exclusive_key=None)

    recorder.record_due(NOW)

    assert new_run().exclusive_key is None
    assert start(new_run()) is not None
    assert first.run.state == State.RUNNING


def test_a_run_that_began_when_two_at_once_were_allowed_counts_when_they_no_longer_are():
    first = going(overlapping("skip"), exclusive_key=None)

    recorder.record_due(NOW)

    assert (new_run().state, new_run().reason) == (State.SKIPPED, f"the previous run ({first.run.pk}) was still going")


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace"])
def test_schedules_that_share_a_key_exclude_each_other(overlap):
    other = make_schedule(every=MINUTE, due=NOW + MINUTE, policy={"concurrency_key": "disk"}, name="back-up")
    ahead = going(other, exclusive_key="disk")
    overlapping(overlap, concurrency_key="disk")

    recorder.record_due(NOW)

    run = new_run()
    assert f"run {ahead.run.pk} of back-up" in run.reason
    assert run.state == State.SKIPPED if overlap == "skip" else is_held(run)


def test_of_two_schedules_with_one_key_that_are_due_together_one_runs():
    for overlap in ("queue", "skip"):
        overlapping(overlap, concurrency_key="disk")

    recorder.record_due(NOW)

    first, second = Run.objects.order_by("id")
    assert (first.state, second.state) == (State.PENDING, State.SKIPPED)
    assert first.schedule_name in second.reason


def test_schedules_without_a_common_key_do_not_wait_for_each_other():
    going(make_schedule(due=NOW + MINUTE))
    overlapping("queue")

    recorder.record_due(NOW)

    assert not is_held(new_run())


def test_the_database_itself_refuses_a_second_running_run_of_a_key():
    make_run(exclusive_key="k", state=State.RUNNING)

    with pytest.raises(IntegrityError), transaction.atomic():
        make_run(exclusive_key="k", state=State.RUNNING)


def test_a_claim_out_of_turn_is_refused_and_the_run_is_held_until_its_turn():
    first = start(make_run(exclusive_key="k"))
    second = make_run(exclusive_key="k", state=State.QUEUED)

    assert start(second) is None

    assert is_held(second)
    assert second.reason == f"waits for run {first.run.pk} to end"
    claims.finish(first, DONE, now=NOW)
    second.refresh_from_db()
    assert start(second) is not None


def _finished(held):
    claims.finish(held, DONE, now=NOW)


def _lost(held):
    claims.interrupt_expired(NOW + LEASE)


@pytest.mark.parametrize("end", [_finished, _lost])
def test_however_a_running_run_ends_the_next_is_released(end):
    held = start(make_run(exclusive_key="k"), NOW - MINUTE)
    waiting = make_run(exclusive_key="k", dispatch_at=None)

    end(held)

    assert not is_held(waiting)


def _cancelled(run):
    claims.cancel(run.pk, by="ada", now=NOW)


def _expired(run):
    Run.objects.filter(pk=run.pk).update(expires_at=NOW)
    claims.expire_waiting(NOW)


@pytest.mark.parametrize("end", [_cancelled, _expired])
def test_however_a_run_that_is_on_its_way_ends_the_next_is_released(end):
    first = make_run(exclusive_key="k", state=State.QUEUED)
    waiting = make_run(exclusive_key="k", dispatch_at=None)

    end(first)

    assert not is_held(waiting)


def test_cancelling_a_held_run_releases_nothing_while_the_first_goes_on():
    start(make_run(exclusive_key="k"))
    second, third = (make_run(exclusive_key="k", dispatch_at=None) for _ in range(2))

    claims.cancel(second.pk, by="ada", now=NOW)

    assert is_held(third)


def test_what_a_crash_left_held_is_released_by_the_chore():
    left = make_run(exclusive_key="k", dispatch_at=None)
    start(make_run(exclusive_key="other"))
    kept = make_run(exclusive_key="other", dispatch_at=None)

    assert claims.release_left_behind(NOW) == 1

    assert not is_held(left)
    assert is_held(kept)


def test_a_crash_leaves_the_run_interrupted_when_nothing_else_was_asked():
    run = start(make_run(fire_time=NOW)).run

    claims.interrupt_expired(NOW + 2 * LEASE)

    run.refresh_from_db()
    assert run.state == State.INTERRUPTED
    assert Run.objects.count() == 1


def test_after_a_crash_a_run_is_run_again_as_often_as_its_schedule_says():
    policy = overlapping("skip", when_wrong="crash", attempts=3)
    recorder.record_due(NOW)

    for attempt in (1, 2, 3):
        run = Run.objects.get(attempt=attempt)
        assert start(run) is not None
        claims.interrupt_expired(NOW + 2 * LEASE)

    runs = list(Run.objects.order_by("attempt"))
    assert [(run.state, run.fire_time, run.schedule_id) for run in runs] == [
        (State.INTERRUPTED, NOW, policy.pk),
    ] * 3
    assert "run again, attempt 2 of 3" in runs[0].reason
    assert runs[2].reason == claims.DISAPPEARED


def test_the_next_attempt_says_why_and_takes_the_place_of_the_first():
    held = start(make_run(fire_time=NOW, exclusive_key="k", max_attempts=2, parameters={"command": "x"}))
    waiting = make_run(exclusive_key="k", dispatch_at=None)

    claims.finish(held, Outcome(State.INTERRUPTED, "the worker was stopped"), now=NOW)

    again = Run.objects.get(attempt=2)
    assert (again.state, again.dispatch_at, again.parameters) == (State.PENDING, NOW, {"command": "x"})
    assert again.reason == f"run {held.run.pk} was interrupted; attempt 2 of 2"
    assert is_held(waiting)


@pytest.mark.parametrize("interrupt", [_lost, lambda held: claims.finish(held, Outcome(State.INTERRUPTED), now=NOW)])
def test_a_run_that_somebody_wants_to_end_is_not_run_again(interrupt):
    held = start(make_run(max_attempts=3), NOW - MINUTE)
    claims.cancel(held.run.pk, by="ada", now=NOW)

    interrupt(held)

    held.run.refresh_from_db()
    assert held.run.state == State.INTERRUPTED
    assert Run.objects.count() == 1


def test_a_job_that_fails_by_itself_is_not_run_again():
    held = start(make_run(max_attempts=3))

    claims.finish(held, Outcome(State.FAILED, "exit code 1"), now=NOW)

    assert Run.objects.count() == 1


def together(*works):
    gate = threading.Barrier(len(works))
    problems = []

    def do(work):
        gate.wait()
        try:
            work()
        except Exception as error:  # noqa: BLE001 - told at the end
            problems.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


@pytest.mark.django_db(transaction=True)
def test_two_beats_that_interrupt_the_same_run_make_one_next_attempt():
    for number in range(20):
        start(make_run(fire_time=NOW + number * MINUTE, max_attempts=2))

    together(*[lambda: claims.interrupt_expired(NOW + 2 * LEASE)] * 3)

    assert Run.objects.filter(attempt=2).count() == 20


@pytest.mark.django_db(transaction=True)
def test_with_claims_ends_and_new_fires_at_the_same_time_no_two_run_together_and_none_is_left_held():
    """The chore is not called: what is held is released by the end of the run that it waits for."""
    policy = make_schedule(every=timedelta(seconds=1), policy={"overlap": "queue", "catch_up": "all"})
    rounds = 40
    done, overlaps = [], []

    def beat():
        for second in range(rounds):
            recorder.record_due(NOW + timedelta(seconds=second))

    def worker():
        misses = 0
        while len(done) < rounds and misses < 3000:
            ready = Run.objects.filter(state__in=[State.PENDING, State.QUEUED], dispatch_at__isnull=False).first()
            held = None if ready is None else start(ready)
            if held is None:
                misses += 1
                continue
            if Run.objects.filter(state=State.RUNNING).count() != 1:
                overlaps.append(held.run.pk)
            claims.finish(held, DONE, now=NOW)
            done.append(held.run.pk)

    together(beat, worker, worker, worker)

    states = set(Run.objects.filter(schedule_id=policy.pk).values_list("state", flat=True))
    assert (len(done), len(set(done)), overlaps, states) == (rounds, rounds, [], {State.SUCCEEDED})
    assert SchedulePolicy.objects.get(pk=policy.pk).next_fire_at == NOW + timedelta(seconds=rounds)
