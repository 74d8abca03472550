"""From due schedules to recorded decisions."""

import sys
import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django_celery_beat.models import PeriodicTask

from beat_config import adoption, cursors, due, recorder
from beat_config.models import LOOK_NOW, SchedulePolicy
from jobs.models import Run
from jobs.states import State
from tests.factories import NOW, make_run, make_schedule
from tests.waiting import wait_until

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
    SchedulePolicy.objects.filter(pk=policy.pk).update(next_fire_at=NOW, look_at=NOW)

    recorder.record_due(NOW)

    assert Run.objects.filter(schedule=policy.pk, fire_time=NOW).count() == 1


def test_a_schedule_disabled_behind_our_back_fires_nothing():
    policy = make_schedule()
    PeriodicTask.objects.filter(pk=policy.pk).update(enabled=False)

    recorder.record_due(NOW)

    assert not Run.objects.exclude(state=State.MISSED).exists()
    policy.refresh_from_db()
    assert (policy.next_fire_at, policy.look_at) == (None, None)


def test_a_trigger_changed_behind_our_back_moves_the_cursor_and_fires_nothing():
    policy = make_schedule(every=MINUTE)
    policy.schedule.interval.__class__.objects.filter(pk=policy.schedule.interval_id).update(every=3600)

    recorder.record_due(NOW)

    assert not Run.objects.exclude(state=State.MISSED).exists()
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
    bad, good = make_schedule(cron="0 0 * * *", due=NOW + MINUTE), make_schedule(every=MINUTE)
    bad.schedule.crontab.__class__.objects.filter(pk=bad.schedule.crontab_id).update(
        day_of_month="31", month_of_year="2"
    )

    recorder.record_due(NOW)

    bad.refresh_from_db()
    assert "31" in bad.error
    assert (bad.next_fire_at, bad.look_at) == (None, NOW + adoption.FIRST_PAUSE)
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
    monkeypatch.setattr(cursors, "store", _killed)

    with pytest.raises(Killed):
        recorder.record_due(NOW)

    assert not Run.objects.exists()
    policy.refresh_from_db()
    assert policy.next_fire_at == NOW


def fired(policy):
    """Return how many runs were to start, also those that were cancelled when the schedule was switched off."""
    return Run.objects.filter(schedule_id=policy.pk, state__in=[State.PENDING, State.CANCELLED]).count()


@pytest.mark.django_db(transaction=True)
def test_nothing_fires_after_the_save_that_disables_it_has_returned():
    """Beats record as fast as they can while schedules are switched off, each in a transaction that dawdles."""
    policies = [make_schedule(every=SECOND, policy={"overlap": "allow"}) for _ in range(20)]
    clock = [0]
    stop = threading.Event()
    problems = []

    def beat():
        while not stop.is_set():
            clock[0] += 1
            try:
                recorder.record_due(NOW + clock[0] * SECOND)
            except Exception as error:  # noqa: BLE001 - told by the test's end
                problems.append(error)
        connection.close()

    beats = [threading.Thread(target=beat) for _ in range(2)]
    for thread in beats:
        thread.start()
    recorded = {}
    for policy in policies:
        with transaction.atomic():
            PeriodicTask.objects.filter(pk=policy.pk).update(enabled=False)
            list(Run.objects.filter(schedule_id=policy.pk))
        recorded[policy.pk] = fired(policy)
    before = clock[0]
    wait_until(lambda: clock[0] > before + 5, 20, "the beats go on")
    stop.set()
    for thread in beats:
        thread.join()

    assert problems == []
    assert recorded == {policy.pk: fired(policy) for policy in policies}
    assert not Run.objects.filter(state=State.PENDING).exists()


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


def fires_at(policy, moment):
    return Run.objects.filter(schedule_id=policy.pk, fire_time=moment).values_list("state", flat=True).first()


def test_an_error_of_any_kind_in_one_schedule_marks_it_and_the_others_fire(monkeypatch):
    bad, good = make_schedule(name="bad"), make_schedule()
    original = recorder.plan
    monkeypatch.setattr(
        recorder, "plan", lambda trigger, **rest: 1 / 0 if bad.pk in _locals() else original(trigger, **rest)
    )

    recorder.record_due(NOW)

    bad.refresh_from_db()
    assert (bad.error, bad.error_at, bad.look_at) == ("division by zero", NOW, NOW + MINUTE)
    assert bad.next_fire_at == NOW, "its fire is not lost"
    assert fires_at(good, NOW) == State.PENDING


def _locals():
    """The schedule that is being planned: what the planner itself is not told."""
    return {sys._getframe(2).f_locals["policy"].pk}


def test_a_schedule_that_failed_for_a_while_is_caught_up_on_as_its_policy_says(monkeypatch):
    policy = make_schedule(every=MINUTE, policy={"catch_up": "all", "overlap": "queue"})
    with monkeypatch.context() as broken:
        broken.setattr(recorder, "plan", lambda *_, **__: 1 / 0)
        pauses = []
        now = NOW
        for _ in range(3):
            recorder.record_due(now)
            policy.refresh_from_db()
            pauses.append(policy.look_at - now)
            now = policy.look_at

    recorder.record_due(now)

    policy.refresh_from_db()
    assert pauses == [MINUTE, 2 * MINUTE, 4 * MINUTE]
    assert (policy.error, policy.failures) == ("", 0)
    assert Run.objects.filter(state=State.PENDING).count() == 8


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param({"name": "x" * 200, "headers": "[broken"}, id="headers that are no JSON"),
        pytest.param({"headers": '["a list"]'}, id="headers that are a list"),
        pytest.param({"kwargs": '{"command": "\\u0000"}'}, id="a zero character, which PostgreSQL refuses"),
        pytest.param({"expire_seconds": 2**31 - 1}, id="an expiry in 68 years"),
    ],
)
def test_whatever_one_row_holds_the_others_fire_and_beat_goes_on(spoil):
    bad = make_schedule(every=MINUTE)
    good = [make_schedule(every=MINUTE) for _ in range(3)]
    PeriodicTask.objects.filter(pk=bad.pk).update(**spoil)

    recorder.record_due(NOW)

    assert [fires_at(policy, NOW) for policy in good] == [State.PENDING] * 3
    bad.refresh_from_db()
    assert bad.look_at > NOW
    assert fires_at(bad, NOW) == State.PENDING or bad.error


def test_a_row_that_cannot_even_be_read_is_marked_and_the_others_fire():
    bad, good = make_schedule(cron="0 12 * * *"), make_schedule()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE django_celery_beat_crontabschedule SET timezone = 'Mars/Olympus' WHERE id = %s",
            [bad.schedule.crontab_id],
        )

    recorder.record_due(NOW)

    marked = SchedulePolicy.objects.get(pk=bad.pk)
    assert "Mars/Olympus" in marked.error
    assert marked.look_at == NOW + MINUTE
    assert fires_at(good, NOW) == State.PENDING


def test_a_database_that_is_away_is_nobodys_fault(monkeypatch):
    policy = make_schedule()

    def away(*_args, **_kwargs):
        raise OperationalError("the server has closed the connection")

    monkeypatch.setattr(cursors, "store", away)

    with pytest.raises(OperationalError):
        recorder.record_due(NOW)

    policy.refresh_from_db()
    assert (policy.error, policy.next_fire_at) == ("", NOW)
    assert not Run.objects.exists()


def test_fires_go_before_changes_of_others():
    marked = [make_schedule(due=NOW - MINUTE) for _ in range(3)]
    SchedulePolicy.objects.update(look_at=LOOK_NOW)
    firing = make_schedule(due=NOW)

    assert due.to_look_at(NOW, recorder.BATCH) == [firing.pk, *(policy.pk for policy in marked)]


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=1)])
def test_a_clock_that_is_set_back_fires_nothing_twice_and_moves_no_cursor_back(back):
    policy = make_schedule(every=MINUTE)
    recorder.record_due(NOW)

    for minute in range(int(back / MINUTE)):
        assert recorder.record_due(NOW - back + minute * MINUTE) == 0
    recorder.record_due(NOW)

    policy.refresh_from_db()
    assert policy.next_fire_at == NOW + MINUTE
    assert Run.objects.count() == 1


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=1)])
def test_a_clock_that_jumps_ahead_or_a_process_that_stood_still_is_a_matter_of_the_policy(ahead):
    latest = make_schedule(every=MINUTE)
    every_one = make_schedule(every=MINUTE, policy={"catch_up": "all", "overlap": "queue", "catch_up_cap": 5000})
    on_time = make_schedule(every=MINUTE, policy={"catch_up": "none"})

    recorder.record_due(NOW + ahead)

    def pending(policy):
        return Run.objects.filter(schedule_id=policy.pk, state=State.PENDING).count()

    assert (pending(latest), pending(every_one), pending(on_time)) == (1, ahead / MINUTE + 1, 1)
    for policy in (latest, every_one, on_time):
        policy.refresh_from_db()
        assert policy.next_fire_at == NOW + ahead + MINUTE
    assert not Run.objects.filter(fire_time__gt=NOW + ahead).exists()


class Killed(BaseException):
    pass


def _killed(*_args, **_kwargs):
    raise Killed


@pytest.mark.parametrize(
    "text", ['a "quoted" {word}, and \\ more', "NULL", "", "näme 🕑\n\ttab", "'; DROP TABLE jobs_run"]
)
def test_what_a_schedule_is_called_and_given_is_recorded_as_it_is(text):
    make_schedule(name=f"1{text}", kwargs={"command": text}, policy={"concurrency_key": text})
    make_schedule(name=f"2{text}", kwargs={"command": text, "more": [1, None]}, policy={"time_limit": MINUTE / 7})

    recorder.record_due(NOW)

    first, second = Run.objects.order_by("schedule_name")
    assert (first.schedule_name, second.schedule_name) == (f"1{text}", f"2{text}")
    assert (first.parameters, second.parameters) == ({"command": text}, {"command": text, "more": [1, None]})
    assert first.exclusive_key == (text or f"schedule:{first.schedule_id}")
    assert (first.time_limit, second.time_limit) == (None, MINUTE / 7)
