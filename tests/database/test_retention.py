"""What of the history is kept, and that deleting it disturbs nobody."""

import threading
from contextlib import nullcontext
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from beat_config import recorder
from jobs import keeping
from jobs.models import Run, RunOutput
from jobs.retention import Limits, Sweep
from jobs.states import ACTIVE, State
from scheduler_app import ballast
from tests.factories import NOW, make_run, make_schedule
from tests.waiting import wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db]

DAY = timedelta(days=1)
MUCH = Limits(age=90 * DAY, runs_per_schedule=1000, output=10**9)


def ended(**columns):
    return make_run(**{"state": State.SUCCEEDED, "dispatch_at": None, "exclusive_key": None, **columns})


def printed(run, size):
    RunOutput.objects.create(run=run, number=1, stream=1, data=b"x" * size)
    Run.objects.filter(pk=run.pk).update(output_size=size)
    return run


def sweep(**limits):
    done = Sweep(
        Limits(**{"age": MUCH.age, "runs_per_schedule": MUCH.runs_per_schedule, "output": MUCH.output, **limits}), NOW
    )
    for _ in done.steps():
        pass
    return done


def kept():
    return set(Run.objects.values_list("pk", flat=True))


def test_runs_older_than_the_limit_go_and_each_schedules_newest_stays():
    mine, other = make_schedule().pk, make_schedule().pk
    old = [ended(schedule_id=mine, created_at=NOW - 100 * DAY) for _ in range(3)]
    by_hand = ended(created_at=NOW - 100 * DAY)
    last_of_other = ended(schedule_id=other, created_at=NOW - 200 * DAY)
    young = ended(schedule_id=mine, created_at=NOW - 80 * DAY)

    assert sweep().deleted == 4
    assert kept() == {last_of_other.pk, young.pk}
    assert not {run.pk for run in [*old, by_hand]} & kept()


def test_of_each_schedule_the_newest_so_many_stay():
    mine, other = make_schedule().pk, make_schedule().pk
    runs = [ended(schedule_id=mine) for _ in range(5)]
    others = [ended(schedule_id=other) for _ in range(2)]
    by_hand = [ended() for _ in range(5)]

    sweep(runs_per_schedule=2)

    assert kept() == {run.pk for run in [*runs[3:], *others, *by_hand]}


@pytest.mark.parametrize("state", sorted(ACTIVE))
def test_what_has_not_ended_stays_whatever_its_age(state):
    schedule = make_schedule().pk
    run = printed(make_run(schedule_id=schedule, state=state, created_at=NOW - 500 * DAY), 10)
    ended(schedule_id=schedule)
    ended(schedule_id=schedule)

    sweep(runs_per_schedule=1, output=1)

    assert run.pk in kept()
    assert run.output.exists()


def test_of_all_output_the_newest_so_much_stays_and_the_runs_say_that_theirs_is_gone():
    runs = [printed(ended(), 100) for _ in range(5)]

    assert sweep(output=250).emptied == 3
    assert set(RunOutput.objects.values_list("run", flat=True)) == {run.pk for run in runs[3:]}
    runs[0].refresh_from_db()
    assert (runs[0].output_size, runs[0].output_dropped) == (100, 100)
    assert sweep(output=250).emptied == 0


def test_output_goes_with_its_run():
    printed(ended(created_at=NOW - 100 * DAY), 10)
    sweep()

    assert not RunOutput.objects.exists()


def test_a_deleted_runs_fire_does_not_come_back():
    policy = make_schedule(policy={"catch_up": "all"})
    recorder.record_due(NOW)
    Run.objects.update(state=State.SUCCEEDED, exclusive_key=None, finished_at=NOW, dispatch_at=None)
    recorder.record_due(NOW + timedelta(minutes=1))
    first, second = Run.objects.order_by("pk")
    Run.objects.update(state=State.SUCCEEDED, exclusive_key=None, finished_at=NOW, dispatch_at=None)

    sweep(runs_per_schedule=1)
    assert kept() == {second.pk}
    recorder.record_due(NOW + timedelta(minutes=2))

    fires = set(Run.objects.values_list("fire_time", flat=True))
    assert first.fire_time not in fires
    assert len(fires) == 2
    assert policy.pk


def test_a_large_history_is_read_in_ranges_of_the_primary_key(django_assert_max_num_queries):
    Run.objects.bulk_create(
        Run(job="run_command", state=State.SUCCEEDED, schedule_id=1 + n % 7, created_at=NOW, finished_at=NOW)
        for n in range(5_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_run")
    runs = Run.objects.filter(pk__lt=2**40).order_by("-pk").values_list("pk", "schedule", "state", "created_at")[:2000]
    plan = runs.explain().lower()
    assert "using integer primary key" in plan or "index scan backward using jobs_run_pkey" in plan
    assert "sort" not in plan
    assert "temp b-tree" not in plan
    with django_assert_max_num_queries(12):
        assert sweep().kept == 5_000
    longest = 0
    for step in Sweep(Limits(MUCH.age, 3, MUCH.output), NOW).steps():
        longest = max(longest, step)
    assert longest <= 100
    assert Run.objects.count() == 21


@pytest.mark.skipif(
    settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3",
    reason="the ballast is for SQLite's own disk",
)
@pytest.mark.django_db(transaction=True)
def test_beats_thread_sweeps_and_takes_the_ballast(monkeypatch):
    monkeypatch.setattr(keeping, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(keeping, "EVERY", 0.05)
    old = ended(created_at=timezone.now() - 100 * DAY)
    thread = keeping.KeepingThread(nullcontext())
    thread.start()
    try:
        wait_until(lambda: old.pk not in kept(), 20, "the old run is deleted")
        file = settings.SCHEDULER_PATHS.ballast
        wait_until(file.exists, 20, "the ballast is there")
        assert file.stat().st_size == settings.SCHEDULER.retention.ballast
    finally:
        thread.stop()
        file.unlink(missing_ok=True)
    assert not [each for each in threading.enumerate() if each.name == "retention"]


def test_a_ballast_is_taken_only_where_there_is_plenty_of_room(tmp_path, monkeypatch):
    file = tmp_path / "ballast"
    monkeypatch.setattr(ballast, "PLENTY", 10**9)
    assert not ballast.take(file, 1000)
    assert not file.exists()
    monkeypatch.setattr(ballast, "PLENTY", 1)
    assert ballast.take(file, 1000)
    assert file.stat().st_size == 1000
    assert ballast.give_up(file)
    assert not ballast.give_up(file)
