"""A web hook starts its schedule, with what it may take from the request, for whom it was made, and nothing else."""

import hmac
import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from beat_config import pausing
from jobs.models import Run
from scheduler_app.web import hooks
from scheduler_app.web.models import WebHook
from tests.database.test_api import fresh_buckets, pointers, refusal
from tests.factories import make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

__all__ = ["fresh_buckets"]  # a fixture


@pytest.fixture
def hook():
    def make(**columns):
        owner = User.objects.filter(username="ada").first() or User.objects.create_superuser("ada")
        schedule = make_schedule(task="check_port", kwargs={"host": "nas", "port": 22})
        made = WebHook(name="git", schedule=schedule.schedule, owner=owner, **columns)
        made.text = hooks.give_text(made)
        made.save()
        return made

    return make


def call(hook, body=b"", **headers):
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client().generic("POST", f"/hooks/{hook.text}", data=sent, content_type="application/json", headers=headers)


def test_a_call_starts_the_schedule_with_its_own_parameters(hook):
    mine = hook()
    answer = call(mine, {"port": 1, "anything": "else"})
    run = Run.objects.get()
    assert (answer.status_code, answer.json()) == (202, {"run": run.pk, "new": True})
    assert (run.origin, run.requested_by, run.schedule_id) == ("webhook", "web hook git", mine.schedule_id)
    assert (run.parameters["host"], run.parameters["port"]) == ("nas", 22)
    mine.refresh_from_db()
    assert mine.last_used_at is not None


def test_only_the_named_parameters_come_from_the_request_and_are_checked(hook):
    mine = hook(takes={"port": "repository.port"})
    call(mine, {"repository": {"port": 443}, "host": "evil.example"})
    call(mine, {"repository": {}})
    assert [(run.parameters["host"], run.parameters["port"]) for run in Run.objects.order_by("pk")] == [
        ("nas", 443),
        ("nas", 22),
    ]
    assert pointers(refusal(call(mine, {"repository": {"port": "x"}}), 422)) == {"#/repository/port"}
    refusal(call(mine, b"["), 400)
    refusal(call(mine, b"[" * 100_000), 400)
    refusal(call(mine, b" " * 10_000_000), 413)
    assert Run.objects.count() == 2


def test_a_signed_hook_believes_only_what_is_signed(hook):
    mine = hook(signed=True)
    body = b'{"a": 1}'

    def signature(of, key):
        return "sha256=" + hmac.new(key.encode(), of, "sha256").hexdigest()

    right = signature(body, hooks.signing_key(mine))
    for wrong in (
        None,
        "",
        right[:-1],
        signature(body, "another"),
        signature(b"{}", hooks.signing_key(mine)),
        "\udcff",
    ):
        said = refusal(call(mine, body, **({hooks.SIGNATURE: wrong} if wrong is not None else {})), 401)
        assert pointers(said) == {hooks.SIGNATURE}
    assert Run.objects.count() == 0
    first = call(mine, body, **{hooks.SIGNATURE: right, "X-GitHub-Delivery": "72d3"})
    again = call(mine, body, **{hooks.SIGNATURE: right, "X-GitHub-Delivery": "72d3"})
    assert (first.json()["new"], again.json()["new"]) == (True, False)
    assert first.json()["run"] == again.json()["run"] == Run.objects.get().pk


def test_nothing_starts_where_it_is_not_wanted_or_not_allowed_any_more(hook):
    mine, now = hook(per_minute=1_000), timezone.now()
    refusal(Client().post("/hooks/hook_nonsense"), 404)
    refusal(call(mine, Origin="https://evil.example"), 403)
    pausing.pause(now + timedelta(hours=1), by="ada", now=now)
    assert refusal(call(mine), 503)["detail"].endswith("all schedules are paused")
    pausing.resume(timezone.now(), by="ada")
    PeriodicTask.objects.update(enabled=False)
    assert "disabled" in refusal(call(mine), 409)["detail"]
    PeriodicTask.objects.update(enabled=True)
    User.objects.update(is_superuser=False)
    assert "may not do so any more" in refusal(call(mine), 403)["detail"]
    User.objects.update(is_superuser=True, is_active=False)
    refusal(call(mine), 404)
    User.objects.update(is_active=True)
    assert hooks.revoke(mine, by="ada")
    refusal(call(mine), 404)
    assert Run.objects.count() == 0


def test_too_many_calls_are_told_to_wait(hook):
    mine = hook(per_minute=6)
    assert [call(mine).status_code for _ in range(2)] == [202, 429]


@pytest.mark.parametrize("text", ["a b", "= ref", "branch =", "a = b..c", "a\na = b"])
def test_what_names_no_parameters_is_refused(text):
    with pytest.raises(ValueError, match="cannot use"):
        hooks.parse_takes(text)


def test_what_is_taken_reads_as_it_was_written():
    text = "branch = ref\ncommit = head_commit.id\nhost"
    assert hooks.write_takes(hooks.parse_takes(text)) == text
