"""What comes due between a change, whoever makes it, and beat's next look at the schedule has a decision as well."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask, SolarSchedule

from beat_config import adoption, recorder
from beat_config.models import SchedulePolicy
from jobs.models import Run
from jobs.states import State
from tests.factories import make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db]

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def policy_of(task):
    return SchedulePolicy.objects.get(pk=task.pk)


def change(task, **columns):
    """Change the task as another program does."""
    PeriodicTask.objects.filter(pk=task.pk).update(**columns)


def changed_ago(task, ago):
    """Have the newest change of the task been made that long ago; return when."""
    policy = policy_of(task)
    *lines, newest, _ = policy.changes.split("\n")
    moment = timezone.now() - ago
    told = json.loads(newest) | {"at": moment.isoformat()}
    SchedulePolicy.objects.filter(pk=task.pk).update(changes="\n".join([*lines, json.dumps(told), ""]))
    return moment


def every(period):
    return IntervalSchedule.objects.create(every=period.total_seconds(), period="seconds")


def recorded():
    return [(run.fire_time, run.state, run.covers, run.covers_until) for run in Run.objects.order_by("fire_time")]


def test_what_was_made_while_no_beat_ran_is_decided_from_when_it_was_made():
    PeriodicTask.objects.bulk_create([PeriodicTask(name="theirs", task="run_command", interval=every(MINUTE))])
    made = SchedulePolicy.objects.get().anchor
    assert abs(made - timezone.now()) < MINUTE

    recorder.record_due(made + 5 * MINUTE + SECOND)

    assert recorded() == [
        (made + MINUTE, State.MISSED, 4, made + 4 * MINUTE),
        (made + 5 * MINUTE, State.PENDING, 1, None),
    ]
    assert SchedulePolicy.objects.get().next_fire_at == made + 6 * MINUTE


def test_what_was_enabled_while_no_beat_ran_fires_nothing_at_once_and_then_as_it_says():
    task = make_task(every=MINUTE, enabled=False)
    adoption.adopt([task.pk], timezone.now())
    change(task, enabled=True)
    enabled = changed_ago(task, 90 * SECOND)

    recorder.record_due(enabled + 30 * SECOND)
    assert recorded() == []

    recorder.record_due(enabled + MINUTE)
    assert recorded() == [(enabled + MINUTE, State.PENDING, 1, None)]


def test_all_that_a_change_overtook_is_recorded_in_one_record_and_the_new_trigger_starts_from_the_change():
    task = make_task(every=MINUTE)
    looked = timezone.now() - 10 * MINUTE
    adoption.adopt([task.pk], looked)
    change(task, interval=every(2 * MINUTE))
    changed = changed_ago(task, 5 * MINUTE)

    recorder.record_due(changed + 2 * MINUTE + SECOND)

    assert recorded() == [
        (looked + MINUTE, State.MISSED, 5, looked + 5 * MINUTE),
        (changed + 2 * MINUTE, State.PENDING, 1, None),
    ]
    assert Run.objects.earliest("fire_time").reason == "the schedule was changed before these 5 fires were recorded"
    assert policy_of(task).next_fire_at == changed + 4 * MINUTE


def test_each_of_several_changes_between_two_looks_has_its_fires_decided():
    task = make_task(every=MINUTE)
    looked = timezone.now() - 10 * MINUTE
    adoption.adopt([task.pk], looked)
    change(task, interval=every(30 * SECOND))
    faster = changed_ago(task, 8.5 * MINUTE)
    change(task, enabled=False)
    changed_ago(task, 7.4 * MINUTE)
    change(task, enabled=True)
    enabled = changed_ago(task, 2 * MINUTE)

    recorder.record_due(enabled + 31 * SECOND)

    assert recorded() == [
        (looked + MINUTE, State.MISSED, 1, None),
        (faster + 30 * SECOND, State.MISSED, 2, faster + MINUTE),
        (enabled + 30 * SECOND, State.PENDING, 1, None),
    ]
    assert [run.reason for run in Run.objects.order_by("fire_time")] == [
        "the schedule was changed before this run was recorded",
        "the schedule was disabled before these 2 fires were recorded",
        "",
    ]


def test_a_trigger_that_was_broken_for_a_while_fires_nothing_meanwhile():
    task = make_task(cron="* * * * *")
    looked = timezone.now() - HOUR
    adoption.adopt([task.pk], looked)
    crontab = type(task.crontab).objects.filter(pk=task.crontab_id)
    crontab.update(day_of_month="31", month_of_year="2")
    broken = changed_ago(task, 30 * MINUTE)
    crontab.update(day_of_month="*", month_of_year="*")
    repaired = changed_ago(task, 10 * SECOND)

    recorder.record_due(repaired)

    (missed,) = Run.objects.all()
    assert (missed.state, missed.fire_time >= looked, missed.covers_until <= broken) == (State.MISSED, True, True)
    assert missed.covers == (missed.covers_until - missed.fire_time) // MINUTE + 1 == 30


def test_a_change_that_the_clock_has_not_reached_starts_from_now():
    """Whoever set the clock back, or whose database is ahead, does not wait until it gets there."""
    task = make_task(every=HOUR)
    now = timezone.now()
    adoption.adopt([task.pk], now)
    change(task, interval=every(MINUTE))
    changed_ago(task, -HOUR)

    recorder.record_due(now)

    assert policy_of(task).next_fire_at == now + MINUTE


def solar_task():
    solar = SolarSchedule.objects.create(event="sunrise", latitude=Decimal("50.123456"), longitude=Decimal("-8.5"))
    return PeriodicTask.objects.create(name="sun", task="run_command", solar=solar)


@pytest.mark.parametrize(
    ("make", "policy"),
    [
        pytest.param(lambda: make_task(every=HOUR), {}, id="interval"),
        pytest.param(lambda: make_task(every=HOUR), {"spread": timedelta(seconds=90)}, id="spread"),
        pytest.param(lambda: make_task(cron="30 2 * * 1-5", zone="Europe/Berlin"), {}, id="crontab"),
        pytest.param(lambda: make_task(cron="30 2 * * *"), {"expression": "15 30 2 * * *"}, id="own line"),
        pytest.param(
            lambda: make_task(cron="0 3 * * 1"), {"every_nth_week": 2, "weeks_from": "2026-01-05"}, id="second week"
        ),
        pytest.param(lambda: make_task(once=timezone.now() + HOUR), {}, id="once"),
        pytest.param(solar_task, {}, id="sun"),
        pytest.param(
            lambda: make_task(every=HOUR, start_time=timezone.now() + HOUR, expires=timezone.now() + 9 * HOUR),
            {},
            id="start and end",
        ),
    ],
)
def test_a_change_of_something_else_leaves_the_cursor_where_it_is(make, policy):
    """What the database noted of the rows before says the same as the rows: of every kind, on every database."""
    task = make()
    SchedulePolicy.objects.filter(pk=task.pk).update(**policy)
    adoption.adopt([task.pk], timezone.now())
    before = policy_of(task)

    change(task, one_off=not task.one_off)
    assert policy_of(task).changes
    recorder.record_due(timezone.now() + SECOND)

    after = policy_of(task)
    assert (after.next_fire_at, after.anchor, after.changes) == (before.next_fire_at, before.anchor, "")
    assert after.next_fire_at is not None


def test_a_schedule_that_fired_once_and_is_enabled_again_with_another_time_starts_from_then():
    moment = timezone.now() - HOUR
    task = make_task(once=moment)
    adoption.adopt([task.pk], moment - MINUTE)
    recorder.record_due(moment)
    recorder.record_due(moment)
    assert (PeriodicTask.objects.get(pk=task.pk).enabled, policy_of(task).look_at) == (False, None)

    type(task.clocked).objects.update(clocked_time=timezone.now() - 30 * MINUTE)
    changed_ago(task, 45 * MINUTE)
    change(task, enabled=True)
    changed_ago(task, 40 * MINUTE)
    recorder.record_due(timezone.now())

    assert [run.state for run in Run.objects.order_by("pk")] == [State.PENDING, State.SKIPPED]


@pytest.mark.django_db(transaction=True)
def test_the_first_versions_schedules_are_brought_up_to_date_with_their_cursors():
    settled, waiting = make_task(every=HOUR), make_task(every=HOUR)
    adoption.adopt([settled.pk], timezone.now())
    long_ago = timezone.now() - 100 * HOUR
    SchedulePolicy.objects.update(anchor=long_ago)
    before = policy_of(settled)

    call_command("migrate", "beat_config", "0001", verbosity=0)
    call_command("migrate", verbosity=0)

    after = policy_of(settled)
    assert (after.next_fire_at, after.anchor) == (before.next_fire_at, long_ago)
    # It was to start from beat's next look, and what was due before that is not caught up on now.
    assert timezone.now() - policy_of(waiting).anchor < MINUTE
    recorder.record_due(timezone.now() + SECOND)
    assert not Run.objects.exists()
