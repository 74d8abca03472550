"""Schedules through the REST API: made, read, changed when nobody else has, switched, started, deleted, previewed."""

from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django_celery_beat.models import PeriodicTask

from beat_config import tags
from jobs.models import AuditEntry, Run
from scheduler_app.web.tokens import Scope
from tests.database.test_api import API, fresh_buckets, owner, person, pointers, program, refusal
from tests.factories import make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

__all__ = ["fresh_buckets", "owner", "program"]  # fixtures

PORT = {
    "name": "look at the port",
    "job": "check_port",
    "parameters": {"host": "nas", "port": 22},
    "every": "10 minutes",
}


@pytest.fixture
def made(program):
    return program().post("/schedules", PORT).json()


def test_a_schedule_is_made_and_read_back_as_it_was_sent(program):
    response = program(Scope.EDIT).post("/schedules", {**PORT, "tags": ["shop"], "catch_up": "none"})
    assert response.status_code == 201, response.content
    said = response.json()
    task = PeriodicTask.objects.get()
    assert response["Location"] == f"{API}/schedules/{task.pk}"
    assert {name: said[name] for name in PORT if name != "parameters"} == {
        k: v for k, v in PORT.items() if k != "parameters"
    }
    assert (said["tags"], said["catch_up"], said["cannot_run"]) == (["shop"], "none", "")
    assert said["next_fire"] is not None
    read = program(Scope.READ).get(f"/schedules/{task.pk}")
    assert read.json() == said
    assert read["ETag"] == response["ETag"]
    entry = AuditEntry.objects.get(kind="beat_config.schedule")
    assert (entry.by, entry.action) == ("ada (a program)", "added")


WRONG = {
    "an unknown field": ({"evry": "1 minute"}, "#/evry", "did you mean every"),
    "an unknown parameter": (
        {"parameters": {"host": "nas", "port": 22, "prt": 1}},
        "#/parameters/prt",
        "did you mean port",
    ),
    "a cron line": ({"every": None, "cron": "61 * * * *"}, "#/cron", "61"),
    "two triggers": ({"cron": "* * * * *"}, "#", "one of"),
    "an unknown job": ({"job": "check_prt"}, "#/job", "check_port"),
    "no name": ({"name": ""}, "#/name", "name"),
    "another type": ({"enabled": "yes"}, "#/enabled", "true or false"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_schedule_that_cannot_be_is_refused_with_its_field(program, name):
    change, where, words = WRONG[name]
    said = refusal(program().post("/schedules", {**PORT, **change}), 422)
    assert any(where in each for each in pointers(said)), said
    assert words in said["detail"]
    assert PeriodicTask.objects.count() == 0


def test_a_change_is_refused_when_somebody_else_has_made_one_meanwhile(program, made):
    asked, path = program(), f"/schedules/{made['id']}"
    tag = asked.get(path)["ETag"]
    assert asked.get(path, **{"If-None-Match": tag}).status_code == 304
    changed = asked("PUT", path, {**PORT, "every": "5 minutes"}, **{"If-Match": tag})
    assert (changed.status_code, changed.json()["every"]) == (200, "5 minutes")
    assert changed["ETag"] != tag
    said = refusal(asked("PUT", path, {**PORT, "every": "1 minute"}, **{"If-Match": tag}), 412)
    assert pointers(said) == {"If-Match"}
    refusal(asked("DELETE", path, **{"If-Match": tag}), 412)
    assert asked.get(path).json()["every"] == "5 minutes"
    assert asked("DELETE", path, **{"If-Match": changed["ETag"]}).status_code == 204
    assert PeriodicTask.objects.count() == 0
    assert AuditEntry.objects.filter(action="deleted", by="ada (a program)").count() == 1


def test_a_schedule_is_disabled_and_enabled(program, made):
    asked, path = program(Scope.EDIT), f"/schedules/{made['id']}"
    off = asked.post(f"{path}/disable").json()
    assert (off["enabled"], off["next_fire"]) == (False, None)
    assert asked.get(f"{path}/next").json() == []
    assert asked.post(f"{path}/enable").json()["enabled"]
    assert [entry.action for entry in AuditEntry.objects.order_by("-pk")[:2]] == ["enabled", "disabled"]


def test_a_schedules_job_is_run_now_and_its_next_time_stays(program, made):
    response = program(Scope.RUN).post(f"/schedules/{made['id']}/runs")
    assert response.status_code == 201
    run = Run.objects.get()
    assert (run.origin, run.schedule_id, run.parameters["host"]) == ("api", made["id"], "nas")
    assert program().get(f"/schedules/{made['id']}").json()["next_fire"] == made["next_fire"]
    refusal(program(Scope.READ).post(f"/schedules/{made['id']}/runs"), 403)


def test_the_next_fires_and_a_triggers_are_told(program, made):
    asked = program(Scope.READ)
    fires = asked.get(f"/schedules/{made['id']}/next?count=3").json()
    assert fires[0]["at"] == made["next_fire"]
    assert len(fires) == 3
    said = asked.post("/schedules/preview", {"cron": "30 2 * * 1", "time_zone": "Europe/Berlin", "count": 2}).json()
    moments = [datetime.fromisoformat(fire["at"]) for fire in said["fires"]]
    assert [moment.weekday() for moment in moments] == [0, 0]
    assert "02:30" in said["words"]
    assert pointers(refusal(asked.post("/schedules/preview", {"cron": "99 * * * *"}), 422)) == {"#/cron"}
    assert "did you mean cron" in refusal(asked.post("/schedules/preview", {"crn": "99 * * * *"}), 422)["detail"]
    assert PeriodicTask.objects.count() == 1


def test_schedules_are_listed_page_by_page_and_filtered(program):
    schedules = [make_schedule() for _ in range(3)]
    tags.set_tags(schedules[1].schedule, ["shop"])
    asked = program(Scope.READ)
    first = asked.get("/schedules?limit=2").json()
    second = asked.get(f"/schedules?limit=2&after={first['next']}").json()
    assert [item["id"] for item in [*first["items"], *second["items"]]] == [each.pk for each in schedules]
    assert second["next"] is None
    assert [item["id"] for item in asked.get("/schedules?tag=shop").json()["items"]] == [schedules[1].pk]
    assert pointers(refusal(asked.get("/schedules?tg=shop"), 422)) == {"tg"}


def test_a_token_for_a_tag_changes_schedules_with_it_only_and_makes_none_without(program):
    mine, other = make_schedule(), make_schedule()
    tags.set_tags(mine.schedule, ["shop"])
    limited = program(tags=["shop"], commands=True)
    assert [item["id"] for item in limited.get("/schedules").json()["items"]] == [mine.pk]
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/runs"), ("POST", "/disable"), ("GET", "/next")]:
        refusal(limited(method, f"/schedules/{other.pk}{path}"), 404)
    assert pointers(refusal(limited.post("/schedules", PORT), 403)) == {"#/tags"}
    follows = {**PORT, "tags": ["shop"], "on_success": other.schedule.name}
    assert pointers(refusal(limited.post("/schedules", follows), 403)) == {"#/on_success"}
    assert limited.post("/schedules", {**PORT, "tags": ["Shop"]}).status_code == 201


COMMAND = {"name": "mine", "job": "run_command", "parameters": {"command": "true"}, "every": "1 hour"}


def test_commands_need_the_token_and_its_owner_to_be_allowed_them(program):
    refusal(program().post("/schedules", COMMAND), 403)
    refusal(program(commands=True, user=person("editor")).post("/schedules", COMMAND), 403)
    made = program(commands=True).post("/schedules", COMMAND).json()
    plain = program()
    for method, path in [("POST", "/runs"), ("POST", "/disable"), ("DELETE", "")]:
        refusal(plain(method, f"/schedules/{made['id']}{path}"), 403)
    refusal(plain("PUT", f"/schedules/{made['id']}", PORT), 403)
    assert Run.objects.count() == 0
    assert User.objects.count() == 2
