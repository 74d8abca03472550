"""Alerts: what is told, to whom, in how few messages, and what becomes of those that do not go through."""

import http.server
import json
import threading
from datetime import time, timedelta

import pytest
from django.contrib.auth.models import User

from beat_config import alerts, tags
from beat_config.models import Alert, AlertChannel, SchedulePolicy
from jobs import terms, vault
from jobs.models import Run, Secret, Service
from jobs.states import State
from tests.factories import NOW, make_run, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
ALL = list(AlertChannel.Event)


class Receiver(http.server.BaseHTTPRequestHandler):
    """What Apprise's json:// posts to."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.answer == 200:
            self.server.messages.append(json.loads(body))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.messages, server.answer = [], 200
    server.address = f"json://somebody:hunter2@127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def channel(service):
    return make_channel(service)


def make_channel(service, name="me", **columns):
    vault.store(f"Alerts: {name}", service.address, by="ada")
    made = AlertChannel.objects.create(
        name=name, address=Secret.objects.get(name=f"Alerts: {name}"), **({"events": ALL} | columns)
    )
    alerts.look_and_send(NOW - SECOND)
    return made


def fail(name="backup", **columns):
    return make_run(state=State.FAILED, schedule_name=name, reason="exit code 1", **{"finished_at": NOW, **columns})


def texts(service):
    return [message["message"] for message in service.messages]


def test_a_failed_run_is_told_once(channel, service):
    run = fail()

    for step in range(3):
        alerts.look_and_send(NOW + step * HOUR)

    assert texts(service) == [f"backup failed (run {run.pk}): exit code 1"]


def test_what_had_failed_before_the_channel_was_made_is_not_told(service):
    fail(finished_at=NOW - SECOND)
    make_channel(service)

    alerts.look_and_send(NOW)

    assert texts(service) == []


def test_an_attempt_that_is_followed_by_another_one_is_not_told(channel, service):
    fail(terms={terms.NEXT: 99})

    alerts.look_and_send(NOW)

    assert texts(service) == []


def test_a_run_that_fails_after_a_long_time_is_told_however_many_came_after_it(service):
    long = make_run(state=State.RUNNING, schedule_name="long")
    make_channel(service)
    for number in range(5):
        fail(f"short {number}")
    alerts.look_and_send(NOW)
    Run.objects.filter(pk=long.pk).update(state=State.FAILED, finished_at=NOW + HOUR)

    alerts.look_and_send(NOW + HOUR)

    assert texts(service)[-1] == f"long failed (run {long.pk})"


def test_a_storm_is_two_messages(channel, service):
    for step in range(12):
        for number in range(5):
            fail(f"schedule {step}.{number}", finished_at=NOW + step * 20 * SECOND)
        alerts.look_and_send(NOW + step * 20 * SECOND)
    alerts.look_and_send(NOW + 6 * MINUTE)

    assert [message["title"] for message in service.messages] == [
        "Scheduler: 5 things to know",
        "Scheduler: 55 things to know",
    ]
    assert texts(service)[1].endswith("… and 35 more")


def test_the_first_success_after_a_failure_is_told_and_later_ones_are_not(channel, service):
    schedule = make_schedule(name="backup")
    fail(schedule_id=schedule.pk)
    alerts.look_and_send(NOW)
    for step in (1, 2):
        make_run(state=State.SUCCEEDED, schedule_id=schedule.pk, schedule_name="backup", finished_at=NOW + step * HOUR)
        alerts.look_and_send(NOW + step * HOUR)

    assert [text.split(" (")[0] for text in texts(service)] == ["backup failed", "backup works again"]


def test_missed_and_late_runs_are_told_and_those_that_wait_for_their_turn_are_not(channel, service):
    make_run(state=State.MISSED, schedule_name="missed", covers=3, reason="it was off", finished_at=NOW)
    make_run(schedule_name="late", fire_time=NOW - 6 * MINUTE)
    make_run(schedule_name="on time", fire_time=NOW - 4 * MINUTE)
    make_run(schedule_name="held", fire_time=NOW - 6 * MINUTE, dispatch_at=None)

    alerts.look_and_send(NOW)
    alerts.look_and_send(NOW + HOUR / 60)

    (text,) = texts(service)
    assert text.splitlines() == [
        "missed was missed 3 times: it was off",
        "late is late: due 2026-03-02 11:54 UTC, not started yet",
    ]


def test_a_schedule_that_cannot_run_the_broker_and_its_return_are_told(channel, service):
    schedule = make_schedule(name="odd")
    SchedulePolicy.objects.filter(pk=schedule.pk).update(error="31 February")
    Service.objects.create(
        instance="beat",
        kind="beat",
        host="here",
        pid=1,
        started_at=NOW,
        seen_at=NOW + HOUR,
        broker_away_since=NOW - HOUR,
    )
    alerts.look_and_send(NOW)
    Service.objects.update(broker_away_since=None)
    alerts.look_and_send(NOW + HOUR)

    told = "\n".join(texts(service)).splitlines()
    assert told == [
        "odd cannot run: 31 February",
        "The message broker does not answer since 2026-03-02 11:00 UTC: runs wait for it",
        "The message broker answers again",
    ]


def test_a_channel_tells_only_of_its_events_and_of_schedules_with_its_tags(service):
    mine, other = make_schedule(name="mine"), make_schedule(name="other")
    tags.set_tags(mine.schedule, ["night"])
    channel = make_channel(service, events=["failed"])
    channel.tags.set(tags.named(["night"]))
    for schedule in (mine, other):
        fail(schedule.schedule.name, schedule_id=schedule.pk)
    make_run(state=State.MISSED, schedule_id=mine.pk, finished_at=NOW)
    fail("of no schedule")

    alerts.look_and_send(NOW)

    (text,) = texts(service)
    assert [line.split(" (")[0] for line in text.splitlines()] == ["mine failed", "of no schedule failed"]


def test_in_quiet_hours_nothing_is_sent_and_all_of_it_afterwards_in_one_message(service):
    # NOW is 13:00 in Berlin.
    make_channel(service, quiet_from=time(12, 30), quiet_to=time(13, 30))
    fail("first")
    alerts.look_and_send(NOW)
    fail("second", finished_at=NOW + 10 * MINUTE)
    alerts.look_and_send(NOW + 10 * MINUTE)
    assert texts(service) == []

    alerts.look_and_send(NOW + 31 * MINUTE)

    assert [message["title"] for message in service.messages] == ["Scheduler: 2 things to know"]


@pytest.mark.parametrize(
    ("start", "end", "at", "quiet"),
    [
        pytest.param(None, None, time(3), False, id="none"),
        pytest.param(time(22), time(7), time(23), True, id="before midnight"),
        pytest.param(time(22), time(7), time(3), True, id="after midnight"),
        pytest.param(time(22), time(7), time(7), False, id="its end"),
        pytest.param(time(22), time(7), time(12), False, id="by day"),
        pytest.param(time(12), time(13), time(12), True, id="its beginning"),
        pytest.param(time(12), time(13), time(14), False, id="after it"),
    ],
)
def test_quiet_hours_may_go_over_midnight(start, end, at, quiet):
    assert alerts.is_quiet(start, end, at) is quiet


def test_what_does_not_go_through_is_shown_tried_again_and_not_lost(channel, service):
    service.answer = 500
    fail()
    alerts.look_and_send(NOW)
    channel.refresh_from_db()
    assert channel.error.startswith("cannot send")
    assert "hunter2" not in channel.error
    assert (channel.failures, channel.send_at) == (1, NOW + 30 * SECOND)

    alerts.look_and_send(NOW + 20 * SECOND)  # too early
    alerts.look_and_send(NOW + 40 * SECOND)
    channel.refresh_from_db()
    assert (channel.failures, channel.send_at) == (2, NOW + 100 * SECOND)
    service.answer = 200
    alerts.look_and_send(NOW + 2 * MINUTE)

    channel.refresh_from_db()
    assert len(service.messages) == 1
    assert (channel.error, channel.failures, channel.sent_at) == ("", 0, NOW + 2 * MINUTE)
    assert not Alert.objects.exists()


def test_a_secret_that_cannot_be_read_is_said_in_the_channel(channel, service):
    Secret.objects.update(key_id="another")
    fail()

    alerts.look_and_send(NOW)

    channel.refresh_from_db()
    assert "encrypted with another key" in channel.error


def test_of_two_beats_one_tells(channel, service, monkeypatch):
    fail()
    send = alerts.send

    def while_sending(*arguments):
        alerts.look_and_send(NOW + SECOND)  # the other beat
        return send(*arguments)

    monkeypatch.setattr(alerts, "send", while_sending)
    alerts.look_and_send(NOW)

    assert len(service.messages) == 1


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("ada"))
    return client


ADD = "/admin/beat_config/alertchannel/add/"


def form(service, **changes):
    return {"name": "me", "enabled": "on", "where": service.address, "events": ["failed"], "only": "night"} | changes


def test_a_channel_is_made_in_the_admin_its_address_kept_as_a_secret_and_tried_out(admin, service):
    admin.post(ADD, form(service))
    channel = AlertChannel.objects.get()

    page = admin.post(f"/admin/beat_config/alertchannel/{channel.pk}/test/", follow=True).content.decode()

    assert "a test message was sent" in page
    assert "hunter2" not in page
    assert vault.read(channel.address.name) == service.address
    assert [tag.name for tag in channel.tags.all()] == ["night"]
    assert service.messages[0]["title"] == "Scheduler: a test"


def test_a_test_that_fails_says_why(admin, service):
    admin.post(ADD, form(service))
    service.answer = 403

    page = admin.post(f"/admin/beat_config/alertchannel/{AlertChannel.objects.get().pk}/test/", follow=True)

    assert "cannot send" in page.content.decode()
    assert AlertChannel.objects.get().error


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"where": "nothing-known://x"}, "Apprise knows no service", id="an unknown service"),
        pytest.param({"where": ""}, "This field is required", id="no address"),
        pytest.param({"events": []}, "This field is required", id="nothing to tell"),
        pytest.param({"quiet_from": "22:00"}, "Quiet hours have a beginning and an end", id="half of the quiet hours"),
    ],
)
def test_what_makes_no_channel_is_refused(admin, service, changes, says):
    page = admin.post(ADD, form(service, **changes)).content.decode()

    assert says in page
    assert not AlertChannel.objects.exists()


def test_deleting_a_channel_deletes_its_address(admin, service):
    admin.post(ADD, form(service))

    admin.post(f"/admin/beat_config/alertchannel/{AlertChannel.objects.get().pk}/delete/", {"post": "yes"})

    assert not AlertChannel.objects.exists()
    assert not Secret.objects.exists()
