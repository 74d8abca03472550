"""What the start page says about the broker: in words, since when, and what becomes of the runs."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from jobs.models import Service
from jobs.services import ServiceRecord
from scheduler_app import platforms
from scheduler_app.broker_store import set_aside, store_of

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture
def overview(client):
    client.force_login(User.objects.create_superuser("ada"))

    def read():
        return client.get("/admin/").content.decode()

    return read


@pytest.fixture
def services():
    """Return beat's and a worker's records, both alive."""
    records = {kind: ServiceRecord(kind) for kind in Service.Kind}
    for kind, record in records.items():
        record.instance = kind
        record.write(timezone.now())
    return records


def test_a_broker_that_beat_does_not_reach_is_said_with_the_time_and_what_runs_do(overview, services):
    now = timezone.now()
    services["beat"].broker_away_since = services["worker"].broker_away_since = now - timedelta(seconds=5)
    for record in services.values():
        record.write(now)

    since = timezone.localtime(now - timedelta(seconds=5)).strftime("%H:%M:%S")
    page = overview()
    assert f"The message broker has not answered since {since}: runs wait, and are sent when it is back." in page
    assert "has not reached the message broker" not in page

    services["beat"].broker_away_since = services["worker"].broker_away_since = None
    for record in services.values():
        record.write(timezone.now())
    assert "All is well" in overview()


def test_a_worker_that_alone_does_not_reach_the_broker_is_named(overview, services):
    services["worker"].broker_away_since = timezone.now()
    services["worker"].write(timezone.now())

    host = Service.objects.get(kind=Service.Kind.WORKER).host
    assert f"A worker on {host} has not reached the message broker since" in overview()


def test_a_store_that_was_set_aside_is_said_until_it_is_deleted_or_two_weeks_old(overview, services):
    paths = settings.SCHEDULER_PATHS
    for age, told in [(timedelta(days=15), False), (timedelta(hours=1), True)]:
        store_of(paths, "scheduler-1").mkdir(parents=True)
        place = set_aside(paths, "scheduler-1", timezone.localtime() - age)
        assert (str(place) in overview()) == told
    assert "could not use its message store" in overview()
    for each in place.parent.iterdir():
        each.rmdir()
    assert "All is well" in overview()


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (None, f"For RabbitMQ instead: {platforms.rabbitmq_install_hint()}, then scheduler-app restart."),
        ((3, 8, 2), "is too old: upgrade it"),
        ((3, 13, 7), None),
    ],
    ids=["not installed", "too old", "installed"],
)
def test_the_overview_says_how_to_get_rabbitmq_where_it_is_missing(overview, monkeypatch, version, said):
    found = version and platforms.RabbitMQInstallation(erl=Path("/erl"), home=Path("/rabbitmq"), version=version)
    monkeypatch.setattr(platforms, "find_rabbitmq", lambda: found)
    auto = replace(settings.SCHEDULER.broker, kind="auto")
    monkeypatch.setattr(settings, "SCHEDULER", replace(settings.SCHEDULER, broker=auto))
    page = overview()
    assert ("Runs travel through the embedded broker." in page) == (said is not None)
    if said:
        assert said in page
