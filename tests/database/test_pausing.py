"""All schedules paused: what comes due is skipped and recorded, and nothing else changes."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from beat_config import pausing, recorder
from beat_config.models import Pause
from jobs.models import Run
from jobs.states import State
from tests.factories import NOW, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

MINUTE = timedelta(minutes=1)
BERLIN = ZoneInfo("Europe/Berlin")


def test_what_comes_due_in_a_pause_is_skipped_with_the_reason():
    make_schedule()
    pausing.pause(NOW + 5 * MINUTE, by="ada", now=NOW - MINUTE)

    recorder.record_due(NOW)

    run = Run.objects.get()
    assert (run.state, run.fire_time, run.reason) == (State.SKIPPED, NOW, "schedules were paused by ada")


def test_a_pause_ends_by_itself():
    make_schedule(every=MINUTE)
    pausing.pause(NOW + MINUTE, by="ada", now=NOW - MINUTE)

    recorder.record_due(NOW)
    recorder.record_due(NOW + MINUTE)

    assert [run.state for run in Run.objects.order_by("fire_time")] == [State.SKIPPED, State.PENDING]
    assert pausing.current(NOW + MINUTE) is None


def test_a_pause_without_an_end_lasts_until_it_is_resumed():
    make_schedule(every=MINUTE)
    pausing.pause(None, by="ada", now=NOW - MINUTE)
    recorder.record_due(NOW)

    assert pausing.resume(NOW + MINUTE / 2, by="ada")
    recorder.record_due(NOW + MINUTE)

    assert [run.state for run in Run.objects.order_by("fire_time")] == [State.SKIPPED, State.PENDING]
    assert not pausing.resume(NOW + MINUTE, by="ada")


def test_what_came_due_in_a_pause_that_is_over_is_not_caught_up_on():
    make_schedule()
    pausing.pause(NOW + MINUTE, by="ada", now=NOW - MINUTE)

    recorder.record_due(NOW + 10 * MINUTE)  # beat was off meanwhile

    assert Run.objects.get(fire_time=NOW).state == State.SKIPPED


def test_a_new_pause_takes_the_place_of_the_one_that_goes_on():
    pausing.pause(None, by="ada", now=NOW)
    pausing.pause(NOW + 2 * MINUTE, by="bob", now=NOW + MINUTE)

    assert pausing.current(NOW + MINUTE).by == "bob"
    assert pausing.current(NOW + 3 * MINUTE) is None


def test_pauses_are_forgotten_after_a_year():
    pausing.pause(NOW, by="ada", now=NOW - MINUTE)
    pausing.pause(None, by="ada", now=NOW + timedelta(days=400))

    assert Pause.objects.count() == 1


@pytest.mark.parametrize(
    ("length", "end"),
    [
        pytest.param("15m", NOW + 15 * MINUTE, id="a quarter of an hour"),
        pytest.param("1h", NOW + 60 * MINUTE, id="an hour"),
        pytest.param("tomorrow", datetime(2026, 3, 2, 23, 0, tzinfo=UTC), id="midnight on the zone's clock"),
        pytest.param("resumed", None, id="without an end"),
    ],
)
def test_a_length_has_its_end(length, end):
    assert pausing.end_of(length, NOW, BERLIN) == end


def test_a_pause_until_a_moment_ends_when_a_clock_in_the_zone_shows_it():
    assert pausing.end_of("until", NOW, BERLIN, "2026-03-02T13:30") == NOW + 30 * MINUTE
    with pytest.raises(ValueError, match="cannot pause until 2026-03-02 12:30: that is over"):
        pausing.end_of("until", NOW, BERLIN, "2026-03-02T12:30")
    with pytest.raises(ValueError, match="cannot pause until '': give a date and a time"):
        pausing.end_of("until", NOW, BERLIN)


def test_a_pause_set_in_the_list_of_schedules_leads_back_there_and_nowhere_else(client):
    client.force_login(User.objects.create_superuser("ada"))
    until = timezone.localtime() + timedelta(days=2)

    sent = {"length": "until", "at": f"{until:%Y-%m-%dT%H:%M}", "next": "/admin/beat_config/schedule/?q=x"}
    assert client.post("/admin/pause/", sent)["Location"] == sent["next"]
    assert f"until {until:%Y-%m-%d %H:%M}" in client.get(sent["next"]).content.decode()
    assert client.post("/admin/resume/", {"next": "https://example.org/"})["Location"] == "/admin/"


def test_another_length_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="cannot pause for 'long': known are 15m, 1h, tomorrow, resumed"):
        pausing.end_of("long", NOW, BERLIN)


def test_the_overview_pauses_and_resumes(client):
    client.force_login(User.objects.create_superuser("ada"))

    client.post("/admin/pause/", {"length": "1h"})
    page = client.get("/admin/").content.decode()
    assert "Schedules are paused by ada until" in page

    client.post("/admin/resume/")
    assert pausing.current(timezone.now()) is None


def test_a_length_that_is_none_is_told_and_pauses_nothing(client):
    client.force_login(User.objects.create_superuser("ada"))

    page = client.post("/admin/pause/", {"length": "x"}, follow=True).content.decode()

    assert "cannot pause for &#x27;x&#x27;" in page
    assert not Pause.objects.exists()


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_who_may_not_change_schedules_may_not_pause_them(client, verb):
    user = User.objects.create_user("vera", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_schedule", "view_run"]))
    client.force_login(user)

    assert client.post(f"/admin/{verb}/", {"length": "1h"}).status_code == 403
    assert client.get(f"/admin/{verb}/").status_code == 405
