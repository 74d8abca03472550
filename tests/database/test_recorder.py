"""From due schedules to recorded decisions."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django_celery_beat.models import PeriodicTask

from beat_config import recorder
from beat_config.models import SchedulePolicy
from jobs.models import Run
from jobs.states import State
from tests.factories import NOW, make_run, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def test_a_due_schedule_becomes_a_pending_run_and_its_cursor_moves():
    policy = make_schedule(every=MINUTE, kwargs={"command": "echo hi"}, name="hello")

    assert recorder.record_due(NOW + SECOND) == 1

    run = Run.objects.get()
    assert (run.schedule_id, run.schedule_name, run.job) == (policy.pk, "hello", "run_command")
    assert (run.fire_time, run.state, run.parameters) == (NOW, State.PENDING, {"command": "echo hi"})
    assert run.dispatch_at == NOW + SECOND
    policy.refresh_from_db()
    assert policy.next_fire_at == NOW + MINUTE


def test_what_is_not_due_is_left_alone():
    make_schedule(due=NOW + SECOND)

    assert recorder.record_due(NOW) == 0
    assert not Run.objects.exists()


def test_the_same_fire_is_recorded_once_even_when_the_cursor_was_set_back():
    policy = make_schedule(every=MINUTE)
    recorder.record_due(NOW)
    SchedulePolicy.objects.filter(pk=policy.pk).update(next_fire_at=NOW)

    recorder.record_due(NOW)

    assert Run.objects.filter(schedule=policy.pk, fire_time=NOW).count() == 1


def test_a_schedule_disabled_behind_our_back_fires_nothing():
    policy = make_schedule()
    PeriodicTask.objects.filter(pk=policy.pk).update(enabled=False)

    recorder.record_due(NOW)

    assert not Run.objects.exists()
    policy.refresh_from_db()
    assert policy.next_fire_at is None


def test_a_trigger_changed_behind_our_back_moves_the_cursor_and_fires_nothing():
    policy = make_schedule(every=MINUTE)
    policy.schedule.interval.__class__.objects.filter(pk=policy.schedule.interval_id).update(every=3600)

    recorder.record_due(NOW)

    assert not Run.objects.exists()
    policy.refresh_from_db()
    assert policy.next_fire_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize("state", [State.PENDING, State.QUEUED, State.RUNNING])
def test_a_fire_is_skipped_while_the_previous_run_is_not_over(state):
    policy = make_schedule(policy={"overlap": "skip"})
    previous = make_run(schedule_id=policy.pk, state=state, fire_time=NOW - MINUTE)

    recorder.record_due(NOW)

    run = Run.objects.latest("id")
    assert run.state == State.SKIPPED
    assert run.reason == f"the previous run ({previous.pk}) was still going"


def test_a_fire_runs_beside_the_previous_run_when_overlap_is_allowed():
    policy = make_schedule(policy={"overlap": "allow"})
    make_run(schedule_id=policy.pk, state=State.RUNNING, fire_time=NOW - MINUTE)

    recorder.record_due(NOW)

    assert Run.objects.latest("id").state == State.PENDING


def test_after_a_pause_the_latest_fire_runs_and_the_others_are_recorded_as_missed():
    make_schedule(every=MINUTE, due=NOW - timedelta(minutes=10))

    recorder.record_due(NOW + SECOND)

    missed, run = Run.objects.order_by("fire_time")
    assert (missed.state, missed.covers, missed.fire_time) == (State.MISSED, 10, NOW - timedelta(minutes=10))
    assert missed.covers_until == NOW - MINUTE
    assert missed.reason
    assert (run.state, run.fire_time) == (State.PENDING, NOW)


def test_catching_up_on_all_starts_each_of_them_only_where_they_may_overlap():
    make_schedule(every=MINUTE, due=NOW - 2 * MINUTE, policy={"catch_up": "all", "overlap": "allow"})
    make_schedule(every=MINUTE, due=NOW - 2 * MINUTE, policy={"catch_up": "all", "overlap": "skip"})

    recorder.record_due(NOW)

    states = [run.state for run in Run.objects.order_by("id")]
    assert states == [State.PENDING] * 3 + [State.PENDING, State.SKIPPED, State.SKIPPED]


def test_a_schedule_that_cannot_fire_is_marked_and_the_others_fire():
    bad, good = make_schedule(cron="0 0 * * *"), make_schedule(every=MINUTE)
    bad.schedule.crontab.__class__.objects.filter(pk=bad.schedule.crontab_id).update(
        day_of_month="31", month_of_year="2"
    )

    recorder.record_due(NOW)

    bad.refresh_from_db()
    assert "31" in bad.error
    assert bad.next_fire_at > NOW
    assert [run.schedule_id for run in Run.objects.all()] == [good.pk]


def test_arguments_that_are_no_json_make_a_failed_run_that_says_so():
    policy = make_schedule()
    PeriodicTask.objects.filter(pk=policy.pk).update(kwargs="{broken")

    recorder.record_due(NOW)

    run = Run.objects.get()
    assert run.state == State.FAILED
    assert "not JSON" in run.reason


def test_a_one_time_schedule_runs_once_and_is_then_disabled():
    policy = make_schedule(once=NOW, due=NOW)

    recorder.record_due(NOW)
    recorder.record_due(NOW + MINUTE)

    assert Run.objects.count() == 1
    task = PeriodicTask.objects.get(pk=policy.pk)
    assert (task.enabled, task.last_run_at, task.total_run_count) == (False, NOW, 1)


def test_route_expiry_and_time_limit_of_the_schedule_go_with_the_run():
    make_schedule(
        queue="reports",
        priority=5,
        expire_seconds=60,
        headers='{"x": "1"}',
        policy={"time_limit": timedelta(minutes=3)},
    )

    recorder.record_due(NOW)

    run = Run.objects.get()
    assert run.route == {"queue": "reports", "priority": 5, "headers": {"x": "1"}}
    assert (run.expires_at, run.time_limit) == (NOW + MINUTE, timedelta(minutes=3))


def test_nothing_is_recorded_when_the_transaction_fails(monkeypatch):
    policy = make_schedule()
    monkeypatch.setattr(recorder.bulk, "update", _fail)

    with pytest.raises(RuntimeError):
        recorder.record_due(NOW)

    assert not Run.objects.exists()
    policy.refresh_from_db()
    assert policy.next_fire_at == NOW


@pytest.mark.django_db(transaction=True)
def test_two_beats_at_the_same_time_record_every_fire_once():
    for _ in range(40):
        make_schedule(every=SECOND, policy={"catch_up": "all", "overlap": "allow"})
    gate = threading.Barrier(2)

    def beat():
        gate.wait()
        for tick in range(20):
            recorder.record_due(NOW + tick * SECOND)
        connection.close()

    threads = [threading.Thread(target=beat) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    fires = list(Run.objects.values_list("schedule_id", "fire_time"))
    assert len(fires) == len(set(fires)) == 40 * 20


def _fail(*_args, **_kwargs):
    raise RuntimeError("killed here")
