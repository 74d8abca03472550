"""What the tray asks the web service: only signed requests, and the answers that its menu is made of."""

import getpass
import json
import time
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from beat_config import pausing
from jobs.models import Origin, Run
from jobs.states import State
from scheduler_app import desktop_signature
from tests.factories import make_run, make_schedule, make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db]

ACTIVITY = "/desktop/activity/"
HOUR = timedelta(hours=1)
AT_THE_TRAY = f"{getpass.getuser()} at the tray"


@pytest.fixture
def ask(client):
    def ask(method, path, content=None, *, key=settings.SECRET_KEY, signed_path=None, now=None, signed=None):
        body = b"" if content is None else json.dumps(content).encode()
        header = desktop_signature.sign(
            key, method, signed_path or path, body if signed is None else signed, now or time.time()
        )
        return client.generic(
            method, path, body, content_type="application/json", headers={desktop_signature.HEADER: header}
        )

    return ask


HOSTILE = [
    pytest.param({"key": "another key"}, id="another installation's key"),
    pytest.param({"signed_path": "/desktop/activity/"}, id="a signature of another question"),
    pytest.param({"signed": b'{"schedule": 0}'}, id="a signature of another body"),
    pytest.param({"now": time.time() - 3600}, id="an old signature"),
    pytest.param({"now": time.time() + 3600}, id="a signature from the future"),
]


@pytest.mark.parametrize("changes", HOSTILE)
def test_what_this_installation_has_not_signed_is_refused(ask, changes):
    schedule = make_schedule()

    answer = ask("POST", "/desktop/run/", {"schedule": schedule.pk}, **changes)

    assert answer.status_code == 403
    assert not Run.objects.exists()


@pytest.mark.parametrize("header", ["", ".", "x.y", "1.2", "²." + "0" * 64, "9" * 400 + ".a"])
def test_a_header_that_is_none_of_ours_is_refused(client, header):
    assert client.get(ACTIVITY, headers={desktop_signature.HEADER: header}).status_code == 403


def test_a_signed_in_person_is_not_the_tray(client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("ada"))

    assert client.get(ACTIVITY).status_code == 403


def test_the_activity_names_what_runs_what_failed_and_what_comes(ask):
    now = timezone.now()
    schedule = make_schedule(name="Backup", due=now + HOUR)
    running = make_run(state=State.RUNNING, schedule_id=schedule.pk, schedule_name="Backup")
    failed = make_run(state=State.FAILED, schedule_name="Mail", reason="exit code 1", finished_at=now)
    make_run(state=State.FAILED, schedule_name="Old", finished_at=now - 48 * HOUR)

    told = ask("GET", ACTIVITY).json()

    assert [run["run"] for run in told["running"]] == [running.pk]
    assert told["running_count"] == 1
    assert [(run["run"], run["name"], run["reason"]) for run in told["failures"]] == [
        (failed.pk, "Mail", "exit code 1")
    ]
    assert [each["name"] for each in told["upcoming"]] == ["Backup"]
    assert told["runnable"] == [{"schedule": schedule.pk, "name": "Backup"}]
    assert told["pause"] is None
    assert "Nothing is being scheduled: no beat runs. Start it with scheduler-app start." in told["problems"]


def test_a_success_after_a_failure_is_a_recovery_and_one_after_a_success_is_not(ask):
    now = timezone.now()
    broken, fine = make_task(), make_task()
    for schedule, states in ((broken, ("failed", "succeeded", "succeeded")), (fine, ("succeeded", "succeeded"))):
        runs = [make_run(state=State(state), schedule_id=schedule.pk, finished_at=now) for state in states]
        if schedule is broken:
            recovery = runs[1]

    told = ask("GET", ACTIVITY).json()

    assert [run["run"] for run in told["recovered"]] == [recovery.pk]


def test_what_was_started_by_hand_last_is_offered_first(ask):
    now = timezone.now()
    first, second, third = (make_task(name=name) for name in ("a", "b", "c"))
    make_run(schedule_id=second.pk, state=State.SUCCEEDED, origin=Origin.MANUAL, finished_at=now)
    make_run(schedule_id=third.pk, state=State.SUCCEEDED, finished_at=now)

    told = ask("GET", ACTIVITY).json()

    assert [each["schedule"] for each in told["runnable"]] == [second.pk, third.pk, first.pk]


def test_run_now_records_a_run_of_the_schedule(ask):
    schedule = make_schedule(name="Backup", kwargs={"command": "echo hi"})

    answer = ask("POST", "/desktop/run/", {"schedule": schedule.pk})

    run = Run.objects.get()
    assert answer.json() == {"run": run.pk}
    assert (run.schedule_name, run.parameters, run.requested_by) == ("Backup", {"command": "echo hi"}, AT_THE_TRAY)


@pytest.mark.parametrize("content", [{"schedule": 0}, {"schedule": "1"}, {"schedule": None}, {}, [], 7, None])
def test_a_schedule_that_is_not_there_is_refused_with_a_sentence(ask, content):
    answer = ask("POST", "/desktop/run/", content)

    assert answer.status_code == 409
    assert answer.json()["error"].startswith("cannot run it")


def test_a_run_is_cancelled_once(ask):
    run = make_run()

    assert ask("POST", "/desktop/cancel/", {"run": run.pk}).status_code == 200
    assert ask("POST", "/desktop/cancel/", {"run": run.pk}).status_code == 409
    run.refresh_from_db()
    assert (run.state, run.reason) == (State.CANCELLED, f"cancelled by {AT_THE_TRAY}")


def test_schedules_are_paused_and_resumed(ask):
    assert ask("POST", "/desktop/pause/", {"length": "1h"}).status_code == 200
    assert ask("GET", ACTIVITY).json()["pause"]["until"] is not None
    assert ask("POST", "/desktop/pause/", {"length": "long"}).status_code == 409
    assert ask("POST", "/desktop/resume/").status_code == 200
    assert pausing.current(timezone.now()) is None
