"""Rows that others made or changed, by whatever means, get a policy and the right cursor at beat's next look."""

import sqlite3
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from beat_config import adoption, change_marks, recorder
from beat_config.models import LOOK_NOW, SchedulePolicy
from jobs.models import Run
from jobs.states import State
from tests.factories import NOW, make_run, make_schedule, make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db]

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def policy_of(task):
    return SchedulePolicy.objects.get(pk=task.pk)


def looked_at(task, now=NOW):
    recorder.record_due(now)
    return policy_of(task)


def test_a_row_made_through_django_celery_beats_api_gets_a_cursor_and_celerys_day_rule():
    policy = looked_at(make_task(every=HOUR))

    assert (policy.next_fire_at, policy.look_at, policy.day_rule) == (NOW + HOUR, NOW + HOUR, "and")
    assert not Run.objects.exists()


def test_rows_made_in_bulk_have_a_policy_at_once_and_a_cursor_after_one_look():
    interval = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.bulk_create(
        PeriodicTask(name=f"bulk {number}", task="run_command", interval=interval) for number in range(3)
    )
    assert recorder.next_look() == LOOK_NOW

    assert recorder.record_due(NOW) == 3

    assert list(SchedulePolicy.objects.values_list("next_fire_at", flat=True)) == [NOW + HOUR] * 3
    assert recorder.next_look() == NOW + HOUR


@pytest.mark.django_db(transaction=True)
def test_a_row_that_another_program_writes_is_a_schedule_like_any_other():
    made = make_task(every=HOUR)
    columns = ["task", "interval_id", "args", "kwargs", "enabled", "one_off", "total_run_count", "date_changed"]
    columns += ["description", "headers"]
    _in_another_program(
        f"INSERT INTO django_celery_beat_periodictask (name, {', '.join(columns)})"
        f" SELECT 'theirs', {', '.join(columns)} FROM django_celery_beat_periodictask WHERE id = {made.pk}"
    )
    theirs = PeriodicTask.objects.get(name="theirs")
    assert looked_at(theirs).next_fire_at == NOW + HOUR

    _in_another_program(f"DELETE FROM django_celery_beat_periodictask WHERE id = {theirs.pk}")

    assert not SchedulePolicy.objects.filter(pk=theirs.pk).exists()


def _later(task):
    PeriodicTask.objects.filter(pk=task.pk).update(start_time=NOW + timedelta(days=2))


def _ended(task):
    PeriodicTask.objects.filter(pk=task.pk).update(expires=NOW)


def _other_interval(task):
    PeriodicTask.objects.filter(pk=task.pk).update(interval=IntervalSchedule.objects.create(every=5, period="minutes"))


def _changed_interval(task):
    IntervalSchedule.objects.filter(pk=task.interval_id).update(every=F("every") * 2)


def _bulk_changed_interval(task):
    task.interval.every = 600
    IntervalSchedule.objects.bulk_update([task.interval], ["every"])


def _crontab(task):
    crontab = CrontabSchedule.objects.create(minute="30", hour="14", timezone="UTC")
    PeriodicTask.objects.filter(pk=task.pk).update(interval=None, crontab=crontab)


def _changed_crontab(task):
    _crontab(task)
    recorder.record_due(NOW)
    CrontabSchedule.objects.update(timezone=ZoneInfo("Asia/Kathmandu"))


def _once(task):
    clocked = ClockedSchedule.objects.create(clocked_time=NOW + timedelta(days=9))
    PeriodicTask.objects.filter(pk=task.pk).update(interval=None, clocked=clocked)


def _changed_once(task):
    _once(task)
    recorder.record_due(NOW)
    ClockedSchedule.objects.update(clocked_time=NOW + timedelta(days=7))


def _own_line(task):
    _crontab(task)
    recorder.record_due(NOW)
    SchedulePolicy.objects.filter(pk=task.pk).update(expression="15 30 14 * * *")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(_later, NOW + timedelta(days=2), id="start_time"),
        pytest.param(_ended, None, id="expires"),
        pytest.param(_other_interval, NOW + timedelta(minutes=5), id="interval"),
        pytest.param(_changed_interval, NOW + 2 * HOUR, id="the interval's row"),
        pytest.param(_bulk_changed_interval, NOW + timedelta(minutes=10), id="the interval's row, in bulk"),
        pytest.param(_crontab, NOW.replace(hour=14, minute=30), id="crontab"),
        pytest.param(_changed_crontab, NOW.replace(day=3, hour=8, minute=45), id="the crontab's row"),
        pytest.param(_once, NOW + timedelta(days=9), id="clocked"),
        pytest.param(_changed_once, NOW + timedelta(days=7), id="the clocked row"),
        pytest.param(_own_line, NOW.replace(hour=14, minute=30, second=15), id="the policy's own cron line"),
    ],
)
def test_a_trigger_changed_by_update_is_in_force_at_the_next_look(change, expected):
    task = make_task(every=HOUR)
    looked_at(task)

    change(task)

    assert recorder.next_look() == LOOK_NOW
    assert looked_at(task).next_fire_at == expected
    assert not Run.objects.exists()


def test_a_change_of_a_shared_row_marks_those_who_use_it_and_nobody_else():
    mine, theirs = make_task(every=HOUR), make_task(every=HOUR)
    solar = SolarSchedule.objects.create(event="sunrise", latitude=50, longitude=8)
    recorder.record_due(NOW)

    _changed_interval(mine)
    SolarSchedule.objects.filter(pk=solar.pk).update(latitude=51)

    marked = SchedulePolicy.objects.filter(look_at=LOOK_NOW).values_list("pk", flat=True)
    assert list(marked) == [mine.pk]
    assert theirs.pk not in marked


def test_saving_without_a_change_of_when_it_fires_marks_nothing():
    task = make_task(every=HOUR)
    before = looked_at(task)

    task.description, task.kwargs, task.total_run_count = "new words", "{}", 7
    task.save()
    task.interval.save()

    after = policy_of(task)
    assert (after.look_at, after.next_fire_at) == (before.look_at, before.next_fire_at)


def test_a_schedule_switched_off_and_on_by_update_runs_nothing_at_once():
    task = make_task(every=HOUR)
    looked_at(task)
    PeriodicTask.objects.filter(pk=task.pk).update(enabled=False)
    assert looked_at(task).next_fire_at is None

    PeriodicTask.objects.filter(pk=task.pk).update(enabled=True)

    assert looked_at(task, NOW + 5 * HOUR).next_fire_at == NOW + 6 * HOUR
    assert not Run.objects.exists()


def test_switching_off_and_on_between_two_looks_starts_from_now_as_well():
    policy = make_schedule(every=HOUR, due=NOW - 3 * HOUR, policy={"catch_up": "all", "overlap": "allow"})
    for enabled in (False, True):
        PeriodicTask.objects.filter(pk=policy.pk).update(enabled=enabled)

    recorder.record_due(NOW)

    missed = Run.objects.get()
    assert (missed.state, missed.fire_time) == (State.MISSED, NOW - 3 * HOUR)
    assert policy_of(policy).next_fire_at == NOW + HOUR


@pytest.mark.parametrize(("columns", "word"), [({"enabled": False}, "disabled"), ({"start_time": NOW}, "changed")])
def test_a_fire_that_a_change_overtook_is_recorded_with_that_reason(columns, word):
    policy = make_schedule(every=HOUR, due=NOW - MINUTE)
    PeriodicTask.objects.filter(pk=policy.pk).update(**columns)

    recorder.record_due(NOW)

    run = Run.objects.get(fire_time=NOW - MINUTE)
    assert (run.state, run.reason) == (State.MISSED, f"the schedule was {word} before this run was recorded")


def test_deleting_a_schedule_keeps_its_runs_and_fires_nothing_more():
    policy = make_schedule()
    run = make_run(schedule_id=policy.pk, schedule_name="gone", state=State.SUCCEEDED)

    PeriodicTask.objects.filter(pk=policy.pk).delete()

    assert recorder.record_due(NOW + HOUR) == 0
    assert [kept.pk for kept in Run.objects.all()] == [run.pk]


def test_a_row_that_describes_no_trigger_is_marked_with_why_and_looked_at_ever_more_rarely():
    task = make_task(cron="0 0 31 2 *")

    pauses = []
    now = NOW
    for _ in range(12):
        policy = looked_at(task, now)
        pauses.append((policy.look_at - now) / MINUTE)
        assert (policy.error_at, policy.next_fire_at) == (now, None)
        assert "31" in policy.error
        now = policy.look_at

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]


def test_a_row_that_is_corrected_fires_again_and_has_no_error():
    task = make_task(cron="0 0 31 2 *")
    looked_at(task)

    CrontabSchedule.objects.filter(pk=task.crontab_id).update(month_of_year="3")

    policy = looked_at(task)
    assert (policy.error, policy.error_at, policy.failures) == ("", None, 0)
    assert policy.next_fire_at == NOW.replace(day=31, hour=0)


def test_a_row_that_is_repaired_to_what_it_was_starts_from_now():
    task = make_task(cron="0 * * * *")
    looked_at(task)
    CrontabSchedule.objects.filter(pk=task.crontab_id).update(day_of_month="31", month_of_year="2")
    looked_at(task, NOW + HOUR)

    CrontabSchedule.objects.filter(pk=task.crontab_id).update(day_of_month="*", month_of_year="*")

    policy = looked_at(task, NOW + 5 * HOUR)
    assert policy.next_fire_at == NOW + 6 * HOUR
    # The one that was due when it broke; while it was broken, nothing was.
    assert [(run.fire_time, run.covers, run.state) for run in Run.objects.all()] == [(NOW + HOUR, 1, State.MISSED)]


def test_a_start_time_is_the_first_fire_of_an_interval():
    start = NOW + timedelta(days=3)

    assert looked_at(make_task(every=HOUR, start_time=start)).next_fire_at == start


def test_a_schedule_past_its_end_has_no_next_run_and_is_not_looked_at_again():
    policy = looked_at(make_task(every=HOUR, expires=NOW - timedelta(days=1)))

    assert (policy.next_fire_at, policy.look_at) == (None, None)
    assert recorder.next_look() is None


def test_the_admin_need_not_wait_for_beat():
    task = make_task(every=HOUR)

    adoption.adopt([task.pk], NOW)

    assert policy_of(task).next_fire_at == NOW + HOUR


def test_schedules_that_were_there_before_this_program_are_adopted_when_it_is_installed():
    task = make_task(every=HOUR)
    SchedulePolicy.objects.all().delete()

    change_marks.install()

    assert looked_at(task).next_fire_at == NOW + HOUR


def test_the_marks_come_back_with_every_migrate():
    """On SQLite a migration that builds a table anew drops the triggers on it."""
    with connection.cursor() as cursor:
        on = " ON django_celery_beat_periodictask" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER beat_config_task_made{on}")

    call_command("migrate", verbosity=0)

    assert looked_at(make_task(every=HOUR)).next_fire_at == NOW + HOUR


def _in_another_program(statement):
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        other = sqlite3.connect(settings["NAME"], timeout=20)
    else:
        names = {"user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT", "dbname": "NAME"}
        other = psycopg.connect(**{name: settings[key] for name, key in names.items()})
    with other:
        other.execute(statement)
    other.close()


def test_the_clock_of_the_database_and_the_programs_agree_on_now():
    """The anchor of a row that the database made is its own Now()."""
    task = make_task(every=HOUR)

    assert abs(policy_of(task).anchor.astimezone(UTC) - timezone.now()) < MINUTE
