"""The REST API as a program sees it: what tokens may do, jobs, runs, the system, and how refusals read."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from beat_config import tags
from jobs.models import AuditEntry, Run, RunOutput, Service
from jobs.states import State
from scheduler_app.api import logs, openapi, rate
from scheduler_app.web import tokens
from scheduler_app.web.models import ApiToken
from scheduler_app.web.tokens import Scope
from tests.factories import make_run, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

API = "/api/v1"


class Program:
    """A program with a token."""

    def __init__(self, text):
        self.headers = {"Authorization": f"Bearer {text}"}
        self.client = Client()

    def __call__(self, method, path, body=None, **headers):
        sent = {"data": json.dumps(body), "content_type": "application/json"} if body is not None else {}
        return self.client.generic(method, API + path, headers=self.headers | headers, **sent)

    def get(self, path, **headers):
        return self("GET", path, **headers)

    def post(self, path, body=None, **headers):
        return self("POST", path, body, **headers)


@pytest.fixture(autouse=True)
def fresh_buckets(monkeypatch):
    from scheduler_app.api import access

    monkeypatch.setattr(access, "buckets", rate.Buckets())


@pytest.fixture
def owner():
    return User.objects.create_superuser("ada")


@pytest.fixture
def program(owner):
    def make(scope=Scope.ADMIN, user=None, **options):
        _, text = tokens.make(user or owner, "a program", scope=scope, by="ada", **options)
        return Program(text)

    return make


def person(group):
    user = User.objects.create_user(f"{group} person", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return user


def refusal(response, status):
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    said = response.json()
    assert said["status"] == status
    assert said["title"]
    return said


def pointers(said):
    return {error.get("pointer") or error.get("parameter") for error in said["errors"]}


# Tokens


def test_a_request_without_a_good_token_is_refused(program, owner):
    good = program(Scope.READ)
    assert good.get("/jobs").status_code == 200
    for header in [
        None,
        "Bearer ",
        "Bearer sch_nonsense",
        "Bearer \udcff",
        "Basic YTpi",
        good.headers["Authorization"][:-1],
    ]:
        response = Client().get(f"{API}/jobs", headers={"Authorization": header} if header else {})
        refusal(response, 401)
        assert response["WWW-Authenticate"].startswith("Bearer")
    signed_in = Client()
    signed_in.force_login(owner)
    refusal(signed_in.get(f"{API}/jobs"), 401)


def test_a_token_is_stored_hashed_and_can_be_revoked_and_expires_and_goes_with_its_owner(owner):
    token, text = tokens.make(owner, "one", by="ada")
    stored = json.dumps(list(ApiToken.objects.values()), default=str)
    assert text not in stored
    assert text[8:] not in stored
    assert AuditEntry.objects.get().subject == "one"
    now = timezone.now()
    assert tokens.find(text, now) == token
    assert tokens.revoke(token, by="ada")
    assert not tokens.revoke(token, by="ada")
    assert tokens.find(text, now) is None
    _, short = tokens.make(owner, "two", by="ada", expires_at=now + timedelta(hours=1))
    assert tokens.find(short, now) is not None
    assert tokens.find(short, now + timedelta(hours=1)) is None
    User.objects.update(is_active=False)
    assert tokens.find(short, now) is None


def test_the_last_use_of_a_token_is_written_once_a_minute(owner, django_assert_num_queries):
    token, text = tokens.make(owner, "one", by="ada")
    start = timezone.now()
    with django_assert_num_queries(2):
        tokens.find(text, start)
    with django_assert_num_queries(1):
        tokens.find(text, start + timedelta(seconds=59))
    tokens.find(text, start + timedelta(seconds=60))
    token.refresh_from_db()
    assert token.last_used_at == start + timedelta(seconds=60)


RUN_JOB = ("POST", "/jobs/check_port/runs", {"parameters": {"host": "127.0.0.1", "port": 1}})
RUN_COMMAND = ("POST", "/jobs/run_command/runs", {"parameters": {"command": "true"}})
PAUSE = ("POST", "/system/pause", {})
MAY = {
    # scope, group of the owner, may run commands, request, status
    "read looks": (Scope.READ, "viewer", False, ("GET", "/runs", None), 200),
    "read does not start": (Scope.READ, "admin", True, RUN_JOB, 403),
    "run starts": (Scope.RUN, "editor", False, RUN_JOB, 201),
    "run starts no command": (Scope.ADMIN, "admin", False, RUN_COMMAND, 403),
    "with commands": (Scope.RUN, "admin", True, RUN_COMMAND, 201),
    "whose owner may not": (Scope.ADMIN, "editor", True, RUN_COMMAND, 403),
    "with parameters of one's own": (Scope.ADMIN, "operator", True, RUN_JOB, 403),
    "run pauses nothing": (Scope.EDIT, "admin", True, PAUSE, 403),
    "admin pauses": (Scope.ADMIN, "operator", False, PAUSE, 200),
    "whose owner only looks": (Scope.ADMIN, "viewer", False, PAUSE, 403),
}


@pytest.mark.parametrize("name", MAY)
def test_a_token_may_do_what_its_scope_and_its_owner_may_both(program, name):
    scope, group, commands, request, status = MAY[name]
    response = program(scope, user=person(group), commands=commands)(*request)
    assert response.status_code == status, response.content
    if status == 403:
        refusal(response, 403)
        assert Run.objects.count() == 0


def test_a_token_for_a_tag_sees_the_runs_of_its_schedules_and_nothing_else(program):
    mine, other = make_schedule(), make_schedule()
    tags.set_tags(mine.schedule, ["shop"])
    seen, unseen = make_run(schedule_id=mine.pk), make_run(schedule_id=other.pk)
    limited = program(tags=["shop"])
    assert [run["id"] for run in limited.get("/runs").json()["items"]] == [seen.pk]
    refusal(limited.get(f"/runs/{unseen.pk}"), 404)
    refusal(limited.post(f"/runs/{unseen.pk}/cancel"), 404)
    refusal(limited(*RUN_JOB), 403)
    refusal(limited(*PAUSE), 403)
    tags.set_tags(mine.schedule, [])
    assert limited.get("/runs").json()["items"] == []


def test_a_token_that_asks_too_fast_is_told_when_to_ask_again(program):
    slow = program(per_minute=12)
    assert [slow.get("/jobs").status_code for _ in range(3)] == [200, 200, 429]
    response = slow.get("/jobs")
    assert "12 a minute" in refusal(response, 429)["detail"]
    assert 1 <= int(response["Retry-After"]) <= 5
    assert program().get("/jobs").status_code == 200


def test_a_bucket_fills_evenly_and_does_not_run_over():
    buckets = rate.Buckets()
    assert [buckets.take("a", 60, now=0.0) for _ in range(11)] == [0.0] * 10 + [1.0]
    assert buckets.take("a", 60, now=1.0) == 0.0
    assert [bool(buckets.take("a", 60, now=1000.0)) for _ in range(11)] == [False] * 10 + [True]


def test_a_page_of_another_server_gets_no_answer(program):
    asked = program()
    refusal(asked.get("/jobs", Origin="https://evil.example"), 403)
    assert asked.get("/jobs", Origin="http://testserver").status_code == 200
    refusal(asked.get("/jobs", Host="evil.example"), 400)


# Jobs


def test_jobs_are_listed_with_the_schema_of_their_parameters(program):
    asked = program(Scope.READ)
    listed = {job["name"]: job for job in asked.get("/jobs").json()}
    assert listed["run_command"]["needs_permission"] == "jobs.run_command"
    schema = asked.get("/jobs/check_port").json()["parameters"]
    assert schema["required"] == ["host", "port"]
    assert schema["additionalProperties"] is False
    assert "did you mean check_port" in refusal(asked.get("/jobs/chek_port"), 404)["detail"]


def test_a_run_that_is_asked_for_is_recorded_and_shown_at_once(program):
    response = program().post(
        "/jobs/check_port/runs", {"parameters": {"host": "nas", "port": 22}, "delay": "10m", "priority": 3}
    )
    assert response.status_code == 201
    said = response.json()
    run = Run.objects.get()
    assert response["Location"] == f"{API}/runs/{run.pk}"
    assert (said["id"], said["state"], said["ended"], said["requested_by"]) == (
        run.pk,
        "pending",
        False,
        "ada (a program)",
    )
    assert (run.origin, run.route, run.parameters["port"]) == ("api", {"priority": 3}, 22)
    assert abs(run.dispatch_at - timezone.now() - timedelta(minutes=10)) < timedelta(seconds=30)


def test_the_same_request_again_gives_the_same_run(program):
    asked = program()
    first = asked.post("/jobs/check_port/runs", {"parameters": {"host": "nas", "port": 22}, "key": "order 7"})
    again = asked.post(
        "/jobs/check_port/runs", {"parameters": {"host": "nas", "port": 22}}, **{"Idempotency-Key": "order 7"}
    )
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = asked.post("/jobs/check_port/runs", {"parameters": {"host": "nas", "port": 23}, "key": "order 7"})
    assert pointers(refusal(other, 409)) == {"#/key"}
    stranger = program(user=User.objects.create_superuser("bob"))
    made = stranger.post("/jobs/check_port/runs", {"parameters": {"host": "nas", "port": 23}, "key": "order 7"})
    assert made.status_code == 201


FIT = {"host": "nas", "port": 22}
UNFIT = {
    "an unknown parameter": ({"parameters": {**FIT, "prot": 1}}, {"#/parameters/prot"}, "did you mean port"),
    "a parameter of the wrong kind": (
        {"parameters": {"host": "nas", "port": "x"}},
        {"#/parameters/port"},
        "whole number",
    ),
    "a missing one": ({"parameters": {"host": "nas"}}, {"#/parameters/port"}, "cannot do without port"),
    "no object": ({"parameters": [1]}, {"#/parameters"}, "dictionary"),
    "an unknown field": ({"parameters": FIT, "dealy": 5}, {"#/dealy"}, "did you mean delay"),
    "a body that is a list": ([], {"#"}, "dictionary"),
    "a priority": ({"parameters": FIT, "priority": 256}, {"#/priority"}, "less than or equal to 255"),
    "a wait": ({"parameters": FIT, "delay": -5}, {"#/delay"}, "cannot be negative"),
    "a moment without an offset": ({"parameters": FIT, "at": "2026-12-24T18:00:00"}, {"#/at"}, "with its offset"),
    "a moment that is a number": ({"parameters": FIT, "at": 5}, {"#/at"}, "with its offset"),
    "an expiry": ({"parameters": FIT, "expires": "soon"}, {"#/expires"}, "a duration such as"),
    "a queue and a key": ({"parameters": FIT, "queue": "amq.x", "key": "\n"}, {"#/queue", "#/key"}, "are taken"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_request_that_cannot_be_used_is_refused_with_its_field(program, name):
    body, where, words = UNFIT[name]
    said = refusal(program().post("/jobs/check_port/runs", body), 422)
    assert pointers(said) == where
    assert words in said["detail"]
    assert Run.objects.count() == 0


HOSTILE = {
    "ten megabytes": (b'{"parameters": "' + b"x" * 10_000_000 + b'"}', 413, "more than 1,000,000 bytes"),
    "a hundred thousand levels": (b"[" * 100_000 + b"]" * 100_000, 400, "cannot read the body as JSON"),
    "a hundred levels": (b'{"parameters":' + b"[" * 100 + b"]" * 100 + b"}", 400, "deeper than 64 levels"),
    "not a number": (b'{"delay": NaN}', 400, "NaN is no JSON"),
    "without end": (b'{"delay": -Infinity}', 400, "-Infinity is no JSON"),
    "half a character": (b'{"parameters": {"host": "\\ud800", "port": 1}}', 400, "half a character"),
    "a name of half a character": (b'{"\\udfff": 1}', 400, "half a character"),
    "a zero character": (b'{"parameters": {"host": "\\u0000", "port": 1}}', 400, "zero character"),
    "no UTF-8": (b'{"parameters": "\xff"}', 400, "not UTF-8"),
    "no JSON": (b"parameters=1", 400, "cannot read the body as JSON"),
    "a number of five thousand digits": (b'{"delay": ' + b"9" * 5_000 + b"}", 400, "cannot read the body as JSON"),
    "a number beyond all": (b'{"delay": 1e400, "parameters": {"host": "nas", "port": 1}}', 422, "a duration is needed"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_refused(program, name):
    body, status, words = HOSTILE[name]
    asked = program()
    response = asked.client.generic(
        "POST", f"{API}/jobs/check_port/runs", data=body, content_type="application/json", headers=asked.headers
    )
    assert words in refusal(response, status)["detail"]
    assert Run.objects.count() == 0


def test_a_body_that_is_not_said_to_be_json_is_refused(program):
    asked = program()
    response = asked.client.post(f"{API}/jobs/check_port/runs", data={"a": 1}, headers=asked.headers)
    assert "Content-Type: application/json" in refusal(response, 415)["detail"]


def test_what_is_not_there_and_what_cannot_be_done_there_are_problems_too(program):
    refusal(program().get("/nothing"), 404)
    response = program()("DELETE", "/jobs")
    refusal(response, 405)
    assert response["Allow"] == "GET"
    refusal(program().get("/runs/999"), 404)
    assert pointers(refusal(program().get("/runs/0"), 422)) == {"run_id"}


# Runs


def test_runs_are_paged_newest_first_while_new_ones_come(program):
    ids = [make_run(state=State.SUCCEEDED).pk for _ in range(5)]
    asked, seen, cursor = program(Scope.READ), [], ""
    while cursor is not None:
        page = asked.get(f"/runs?limit=2{cursor and f'&cursor={cursor}'}").json()
        seen += [run["id"] for run in page["items"]]
        cursor = page["next"]
        make_run(state=State.SUCCEEDED)
    assert seen == ids[::-1]


def test_runs_are_filtered(program):
    schedule = make_schedule()
    one = make_run(state=State.FAILED, schedule_id=schedule.pk, created_at=datetime(2026, 3, 1, tzinfo=UTC))
    two = make_run(state=State.SUCCEEDED, job="check_port", origin="api")
    asked = program(Scope.READ)
    for query, found in {
        "state=failed": [one],
        "state=failed&state=succeeded": [two, one],
        f"schedule={schedule.pk}": [one],
        "job=check_port": [two],
        "origin=api": [two],
        "since=2026-03-02T00:00:00Z": [two],
        "until=2026-03-02T00:00:00%2B01:00": [one],
    }.items():
        assert [run["id"] for run in asked.get(f"/runs?{query}").json()["items"]] == [run.pk for run in found], query


@pytest.mark.parametrize(
    ("query", "where", "words"),
    [
        ("stat=failed", "stat", "did you mean state"),
        ("state=fialed", "state.0", "'succeeded'"),
        ("limit=1000", "limit", "less than or equal to 200"),
        ("cursor=abc", "cursor", "that a page gave"),
        ("cursor=%00", "cursor", "zero character"),
        ("job=%00", "job", "zero character"),
        ("since=yesterday", "since", "with its offset"),
        ("schedule=99999999999999999999", "schedule", "less than or equal"),
    ],
)
def test_a_filter_that_cannot_be_used_is_refused_with_its_name(program, query, where, words):
    said = refusal(program().get(f"/runs?{query}"), 422)
    assert pointers(said) == {where}
    assert words in said["detail"]


def test_a_run_says_how_it_came_to_where_it_is_and_masks_secrets(program):
    run = make_run(job="send_email", parameters={"smtp_password": "x"}, state=State.FAILED, reason="no server")
    said = program(Scope.READ).get(f"/runs/{run.pk}").json()
    assert (said["state"], said["ended"], said["reason"]) == ("failed", True, "no server")
    assert said["steps"]


def test_a_log_is_read_piece_by_piece_without_cutting_a_character(program):
    run = make_run(state=State.SUCCEEDED, output_size=14)
    for number, data in enumerate([b"gr\xc3\xb6\xc3\x9fer\n", b"\xe2\x82\xac 5"], start=1):
        RunOutput.objects.create(run=run, number=number, stream=1, data=data)
    asked, text, offset, ended = program(Scope.READ), "", 0, False
    while not ended:
        part = asked.get(f"/runs/{run.pk}/log?offset={offset}&limit=3").json()
        assert part["next"] > offset
        text, offset, ended = text + part["text"], part["next"], part["ended"]
    assert text == "größer\n€ 5"


def test_a_log_is_followed_to_its_end_and_few_are_at_a_time(program, monkeypatch):
    run = make_run(state=State.RUNNING)
    RunOutput.objects.create(run=run, number=1, stream=1, data=b"one\n")
    asked = program(Scope.READ)

    def goes_on(_seconds):
        RunOutput.objects.create(run=run, number=2, stream=1, data=b"two\n")
        Run.objects.update(state=State.SUCCEEDED, finished_at=timezone.now())

    monkeypatch.setattr(logs.time, "sleep", goes_on)
    followed = [asked.get(f"/runs/{run.pk}/log/stream") for _ in range(logs.FOLLOWERS)]
    response = asked.get(f"/runs/{run.pk}/log/stream")
    assert refusal(response, 503)["detail"].endswith("ask for it by offset")
    assert [b"".join(each.streaming_content) for each in followed] == [b"one\ntwo\n"] * logs.FOLLOWERS
    response = asked.get(f"/runs/{run.pk}/log/stream?offset=4")
    assert b"".join(response.streaming_content) == b"two\n"


def test_a_run_is_cancelled_once_and_run_again(program):
    run = make_run()
    asked = program(Scope.RUN, commands=True)
    cancelled = asked.post(f"/runs/{run.pk}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert "ended already" in refusal(asked.post(f"/runs/{run.pk}/cancel"), 409)["detail"]
    again = asked.post(f"/runs/{run.pk}/retry")
    assert again.status_code == 201
    assert again["Location"] == f"{API}/runs/{again.json()['id']}"
    assert again.json()["parameters"] == run.parameters
    assert set(AuditEntry.objects.exclude(kind="web.apitoken").values_list("by", flat=True)) == {"ada (a program)"}
    refusal(program(Scope.RUN).post(f"/runs/{run.pk}/retry"), 403)
    refusal(program(Scope.READ).post(f"/runs/{run.pk}/cancel"), 403)


# The system


def test_a_probe_needs_no_token():
    assert Client().get(f"{API}/system/health").json()["status"] == "ok"


def test_the_status_says_what_is_wrong_and_what_goes_on(program):
    make_run()
    make_run(state=State.RUNNING)
    now = timezone.now()
    Service.objects.create(instance="b", kind="beat", host="h", pid=1, started_at=now, seen_at=now)
    said = program(Scope.READ).get("/system/status").json()
    assert (said["well"], said["waiting"], said["running"], said["paused"]) == (False, 1, 1, False)
    assert any("there is no worker" in problem for problem in said["problems"])
    assert [service["kind"] for service in said["services"]] == ["beat"]


def test_all_schedules_are_paused_and_resumed(program):
    asked = program()
    said = asked.post("/system/pause", {"until": "1h"}).json()
    assert said["paused"]
    assert asked.get("/system/status").json()["paused_until"] == said["paused_until"]
    assert pointers(refusal(asked.post("/system/pause", {"until": "2020-01-01T00:00:00Z"}), 422)) == {"#/until"}
    assert asked.post("/system/resume").json() == {"paused": False, "paused_until": None}


def test_metrics_are_in_prometheus_format(program, monkeypatch):
    from scheduler_app.api import system

    monkeypatch.setattr(system, "_counted", None)
    make_run(state=State.FAILED)
    response = program(Scope.READ).get("/system/metrics")
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = response.content.decode().splitlines()
    assert 'scheduler_runs{state="failed"} 1' in lines
    assert 'scheduler_services{kind="beat"} 0' in lines
    assert "# TYPE scheduler_runs_recorded_total counter" in lines


# The description


def test_the_description_has_a_typed_endpoint_for_each_job(program, owner):
    asked = program(Scope.READ)
    described = asked.get("/openapi.json").json()
    assert described == json.loads(json.dumps(openapi.description()))
    operation = described["paths"]["/api/v1/jobs/check_port/runs"]["post"]
    order = operation["requestBody"]["content"]["application/json"]["schema"]
    assert order["properties"]["parameters"]["properties"]["port"]["type"] == "integer"
    assert order["required"] == ["parameters"]
    assert "/api/v1/jobs/{name}/runs" not in described["paths"]
    assert Client().get(f"{API}/openapi.json").status_code == 401
    signed_in = Client()
    signed_in.force_login(owner)
    assert signed_in.get(f"{API}/openapi.json").status_code == 200
    assert b"swagger-ui-bundle.js" in signed_in.get(f"{API}/docs").content
    assert Client().get(f"{API}/docs").status_code == 302
