"""Rows that others made or changed get a policy and the right cursor."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from beat_config import adoption
from beat_config.models import SchedulePolicy
from tests.factories import NOW, make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def policy_of(task):
    return SchedulePolicy.objects.get(pk=task.pk)


def test_a_row_made_through_django_celery_beats_api_gets_a_cursor_and_celerys_day_rule():
    before = timezone.now()
    task = make_task(every=timedelta(hours=1))

    policy = policy_of(task)

    assert before + timedelta(hours=1) <= policy.next_fire_at <= timezone.now() + timedelta(hours=1)
    assert policy.day_rule == "and"


def test_rows_made_in_bulk_are_found_by_the_sweep():
    interval = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.bulk_create(
        PeriodicTask(name=f"bulk {number}", task="run_command", interval=interval) for number in range(3)
    )

    assert adoption.sweep(NOW) == 3

    assert list(SchedulePolicy.objects.values_list("next_fire_at", flat=True)) == [NOW + timedelta(hours=1)] * 3
    assert adoption.sweep(NOW) == 0


def test_a_schedule_switched_off_and_on_by_update_is_noticed_and_runs_nothing_at_once():
    task = make_task(every=timedelta(hours=1))
    PeriodicTask.objects.filter(pk=task.pk).update(enabled=False)
    assert adoption.sweep(NOW) == 1
    assert policy_of(task).next_fire_at is None

    PeriodicTask.objects.filter(pk=task.pk).update(enabled=True)
    assert adoption.sweep(NOW) == 1

    assert policy_of(task).next_fire_at == NOW + timedelta(hours=1)


def test_saving_without_a_change_leaves_the_cursor_where_it_is():
    task = make_task(every=timedelta(hours=1))
    before = policy_of(task).next_fire_at

    task.description = "new words"
    task.save()

    assert policy_of(task).next_fire_at == before


def test_changing_a_shared_interval_moves_the_cursors_of_all_who_use_it():
    task = make_task(every=timedelta(hours=1))
    task.interval.every = 60
    task.interval.save()

    assert policy_of(task).next_fire_at <= timezone.now() + timedelta(seconds=60)


def test_a_row_that_describes_no_trigger_is_marked_with_why():
    task = make_task(cron="0 0 31 2 *")

    policy = policy_of(task)

    assert "31" in policy.error
    assert policy.error_at is not None


def test_a_start_time_is_the_first_fire_of_an_interval():
    start = timezone.now() + timedelta(days=3)
    task = make_task(every=timedelta(hours=1), start_time=start)

    assert policy_of(task).next_fire_at == start


def test_a_schedule_past_its_end_has_no_next_run():
    task = make_task(every=timedelta(hours=1), expires=timezone.now() - timedelta(days=1))

    assert policy_of(task).next_fire_at is None
    assert adoption.sweep(timezone.now()) == 0


@pytest.mark.django_db(transaction=True)
def test_a_schedule_deleted_before_it_is_adopted_does_not_keep_the_others_from_it():
    task, gone = make_task(every=timedelta(hours=1)), make_task()
    number = gone.pk
    gone.delete()
    SchedulePolicy.objects.all().delete()

    adoption.adopt([number, task.pk], NOW)

    assert list(SchedulePolicy.objects.values_list("pk", flat=True)) == [task.pk]
