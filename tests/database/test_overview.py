"""The start page: is all well, what needs somebody, what runs, what went wrong, and how much ran."""

import random
from datetime import timedelta
from itertools import pairwise

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from jobs import terms
from jobs.counts import RunCounts
from jobs.models import Run, Service
from jobs.states import FINAL, State
from scheduler_app import routing
from scheduler_app.web import dashboard
from tests.factories import make_run, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _counts_of_its_own(monkeypatch):
    monkeypatch.setattr(dashboard, "_counts", RunCounts())


@pytest.fixture
def overview(client):
    client.force_login(User.objects.create_superuser("ada"))
    return lambda: client.get("/admin/")


@pytest.fixture
def services():
    now = timezone.now()
    columns = {"host": "desk", "pid": 7, "started_at": now, "seen_at": now}
    beat = Service.objects.create(instance="beat", kind=Service.Kind.BEAT, **columns)
    worker = Service.objects.create(
        instance="worker", kind=Service.Kind.WORKER, queues=[routing.DEFAULT_QUEUE], slots=4, **columns
    )
    return beat, worker


def ended(state, ago=timedelta(minutes=10), took=timedelta(seconds=1), **columns):
    at = timezone.now() - ago
    return make_run(state=state, created_at=at, started_at=at, finished_at=at + took, **columns)


def test_it_says_in_a_sentence_whether_all_is_well(overview, services):
    ended(State.FAILED, ago=timedelta(days=3))
    ended(State.SUCCEEDED)
    verdict = overview().context["verdict"]
    assert (verdict.mood, verdict.details) == ("well", "In the last 24 hours: 1 succeeded.")

    ended(State.FAILED)
    ended(State.MISSED)
    verdict = overview().context["verdict"]
    assert (verdict.mood, verdict.headline) == ("uneasy", "Schedules fire and workers run, but 1 run has failed.")
    assert verdict.details == "In the last 24 hours: 1 succeeded, 1 failed, 1 missed."

    Service.objects.all().delete()
    verdict = overview().context["verdict"]
    assert (verdict.mood, verdict.headline) == ("bad", "2 things need you.")


def test_what_failed_or_was_missed_in_the_last_day_is_listed_and_nothing_older(overview, services):
    old = ended(State.FAILED, ago=timedelta(days=2), schedule_name="old")
    failed = [ended(state, schedule_name="new") for state in (State.FAILED, State.TIMED_OUT, State.INTERRUPTED)]
    missed = ended(State.MISSED, schedule_name="missed")

    context = overview().context

    assert [line.run for line in context["failed"]] == failed[::-1]
    assert [line.run for line in context["missed"]] == [missed]
    assert old.pk < failed[0].pk


def test_a_schedule_that_cannot_run_is_named_and_one_click_away(overview, services):
    now = timezone.now()
    policy = make_schedule(name="Broken", policy={"error": "the time zone is none", "error_at": now})
    type(policy).objects.filter(pk=policy.pk).update(error="the time zone is none", error_at=now)

    page = overview().content.decode()

    assert "The schedule Broken cannot run: the time zone is none." in page
    assert f'<a href="/admin/beat_config/schedule/{policy.pk}/change/">Open it</a>' in page


def test_runs_that_no_worker_takes_are_a_problem_until_one_does(overview, services):
    make_run(state=State.QUEUED, route={"queue": "reports"})
    make_run(state=State.QUEUED)
    problem = "1 run waits for the queue reports, which no running worker takes"
    assert problem in overview().content.decode()

    Service.objects.filter(kind=Service.Kind.WORKER).update(queues=["reports", routing.DEFAULT_QUEUE])
    page = overview().content.decode()
    assert problem not in page
    assert "takes the queue reports, runs for any worker" in page


def test_the_reason_why_the_broker_is_away_is_said_when_it_is_known(overview, services):
    Service.objects.filter(kind=Service.Kind.BEAT).update(
        broker_away_since=timezone.now(), broker_problem="cannot send to amqp://127.0.0.1: Connection refused"
    )

    page = overview().content.decode()

    assert "(cannot send to amqp://127.0.0.1: Connection refused): runs wait" in page
    assert "does not answer" in page


def test_a_service_that_fell_silent_is_shown_as_not_well(overview, services):
    Service.objects.filter(kind=Service.Kind.WORKER).update(seen_at=timezone.now() - timedelta(minutes=5))

    parts = {(part.kind, part.is_well): part.words for part in overview().context["machinery"]}

    assert parts["Worker", False].startswith("silent since")
    assert parts["Beat", True].startswith("schedules and sends runs")


def test_a_run_that_takes_much_longer_than_usual_is_marked(overview, services):
    for _ in range(5):
        ended(State.SUCCEEDED, schedule_id=7, took=timedelta(seconds=3))
    started = timezone.now() - timedelta(seconds=60)
    make_run(state=State.RUNNING, schedule_id=7, started_at=started, terms={terms.PROGRESS: [3, 10, "copying"]})

    (line,) = overview().context["running"]

    assert (line.usually, line.is_slow, line.progress.percent) == ("3.00 s", True, 30)
    assert "30 % copying" in overview().content.decode()


def test_one_that_took_longer_than_usual_is_listed_when_it_has_ended(overview, services):
    for _ in range(5):
        ended(State.SUCCEEDED, schedule_id=7, took=timedelta(seconds=3))
    slow = ended(State.SUCCEEDED, schedule_id=7, took=timedelta(seconds=30))

    assert [line.run for line in overview().context["slow"]] == [slow]


def test_an_empty_system_greets_and_a_used_one_does_not(overview, services):
    assert "What should run by itself?" in overview().content.decode()

    make_schedule(due=timezone.now() + HOUR)
    assert "What should run by itself?" not in overview().content.decode()


def test_who_may_not_see_runs_or_schedules_sees_none(client, services):
    user = User.objects.create_user("eve", is_staff=True)
    client.force_login(user)
    ended(State.FAILED, schedule_name="Salaries")
    make_schedule(name="Dismissals", due=timezone.now() + HOUR)
    page = client.get("/admin/").content.decode()
    assert "Salaries" not in page
    assert "Dismissals" not in page

    user.user_permissions.set(Permission.objects.filter(codename="view_run"))
    assert "Salaries" in client.get("/admin/").content.decode()


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_what_counting_the_rows_gives_also_the_second_time(seed):
    chance, now = random.Random(seed), timezone.now()
    moments = sorted(now - chance.random() * timedelta(days=2) for _ in range(200))
    for moment in moments:
        state = chance.choice([*FINAL, State.RUNNING])
        make_run(state=state, created_at=moment)
    Run.objects.filter(pk__in=chance.sample(list(Run.objects.values_list("pk", flat=True)), 30)).delete()
    edges = [now - hours * HOUR for hours in range(50, -1, -5)]

    def counted_by_hand():
        return [
            {
                state: count
                for state in FINAL
                if (count := Run.objects.filter(state=state, created_at__gte=begin, created_at__lt=end).count())
            }
            for begin, end in pairwise(edges)
        ]

    counts = RunCounts()
    assert counts.between(edges, now) == counted_by_hand()
    # What goes on is counted when it has ended, whenever it was recorded.
    Run.objects.filter(state=State.RUNNING).update(state=State.SUCCEEDED, finished_at=now)
    assert counts.between(edges, now + timedelta(minutes=2)) == counted_by_hand()


def test_the_charts_say_the_same_in_numbers(overview, services):
    now = timezone.now()
    for state in (State.SUCCEEDED, State.SUCCEEDED, State.FAILED, State.SKIPPED):
        ended(state, ago=timedelta(0))
    (_, _, _, hours), (_, _, _, days) = overview().context["charts"]

    assert hours.columns[-1].label == f"{timezone.localtime(now):%H}:00"
    assert hours.columns[-1].counts == days.columns[-1].counts == (2, 1, 1)
    assert (len(hours.columns), len(days.columns)) == (24, 30)
    assert hours.words == "2 succeeded, 1 failed, 1 not run"
    assert [part.kind for part in hours.columns[-1].parts] == ["succeeded", "failed", "not-run"]
    # One on the other, from the bottom to the top.
    assert [(part.y, part.height) for part in hours.columns[-1].parts] == [(60, 60), (30, 30), (0, 30)]
