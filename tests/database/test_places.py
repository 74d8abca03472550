"""Where a schedule's runs go: the form, django-celery-beat's columns, and the page of what was refused."""

import json

import pytest
from django.contrib.auth.models import Permission, User
from django_celery_beat.models import PeriodicTask

from beat_config import places, recorder
from jobs.models import RefusedMessage, Run
from tests.factories import NOW, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

ADD = "/admin/beat_config/schedule/add/"
REFUSED = "/admin/jobs/refusedmessage/"


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("ada"))
    return client


def form(**changes):
    values = {
        "name": "mine",
        "enabled": "on",
        "task": "run_command",
        "parameter_command": "echo hi",
        "parameter_accepted_exit_codes": "0",
        "when": "every",
        "every": "10",
        "unit": "minutes",
        "catch_up": "latest",
        "overlap": "skip",
    }
    return values | changes


COLUMNS = ("queue", "exchange", "routing_key", "headers")


@pytest.mark.parametrize(
    ("chosen", "columns", "words"),
    [
        pytest.param({}, (None, None, None, "{}"), "any worker", id="not said"),
        pytest.param({"where": "any"}, (None, None, None, "{}"), "any worker", id="any"),
        pytest.param(
            {"where": "queue", "where_queue": "reports"},
            ("reports", None, None, "{}"),
            "workers of the queue reports",
            id="queue",
        ),
        pytest.param(
            {"where": "topic", "where_topic": "reports.eu"},
            (None, "scheduler.topics", "reports.eu", "{}"),
            "workers that listen to reports.eu",
            id="topic",
        ),
        pytest.param({"where": "every"}, (None, "scheduler.machines", None, "{}"), "every machine", id="every machine"),
        pytest.param(
            {"where": "labels", "where_labels": "os=linux, gpu=yes"},
            (None, "scheduler.labels", None, '{"gpu": "yes", "os": "linux"}'),
            "workers with gpu=yes, os=linux",
            id="labels",
        ),
    ],
)
def test_the_form_writes_django_celery_beats_columns_and_shows_them_again(admin, chosen, columns, words):
    admin.post(ADD, form(**chosen))

    task = PeriodicTask.objects.get()
    assert tuple(getattr(task, name) for name in COLUMNS) == columns
    assert places.of(task).words == words
    page = admin.get(f"/admin/beat_config/schedule/{task.pk}/change/")
    shown = page.context["adminform"].form.initial
    assert all(shown[name] == value or name == "where_labels" for name, value in chosen.items())
    listed = admin.get("/admin/beat_config/schedule/").content.decode()
    assert (words in listed) == (words != "any worker")


@pytest.mark.parametrize(
    ("chosen", "field", "says"),
    [
        ({"where": "queue"}, "where_queue", "Which queue"),
        ({"where": "queue", "where_queue": "a b"}, "where_queue", "'a b' is not possible"),
        ({"where": "queue", "where_queue": "scheduler.dead"}, "where_queue", "are taken"),
        ({"where": "topic"}, "where_topic", "Which topic"),
        ({"where": "topic", "where_topic": "eu.*"}, "where_topic", "a schedule names one topic"),
        ({"where": "topic", "where_topic": "eu..x"}, "where_topic", "not words"),
        ({"where": "labels"}, "where_labels", "Which labels"),
        ({"where": "every", "concurrency_key": "disk"}, "concurrency_key", "on one machine only"),
        ({"where": "labels", "where_labels": "gpu"}, "where_labels", "not a label such as gpu=yes"),
    ],
)
def test_a_place_that_cannot_be_is_refused_when_it_is_saved(admin, chosen, field, says):
    answer = admin.post(ADD, form(**chosen))
    assert says in answer.context["adminform"].form.errors[field][0]
    assert not PeriodicTask.objects.exists()


def test_what_another_program_has_set_stays_when_something_else_is_changed(admin):
    policy = make_schedule(exchange="theirs", routing_key="x", headers=json.dumps({"a": 1}))

    page = admin.get(f"/admin/beat_config/schedule/{policy.pk}/change/").content.decode()
    admin.post(f"/admin/beat_config/schedule/{policy.pk}/change/", form(where="other", name="renamed"))

    task = PeriodicTask.objects.get()
    assert "exchange theirs, routing key x" in page
    assert (task.name, task.exchange, task.routing_key, task.headers) == ("renamed", "theirs", "x", '{"a": 1}')


def test_leaving_labels_takes_their_headers_away_and_other_headers_stay(admin):
    labelled = make_schedule(exchange="scheduler.labels", headers=json.dumps({"gpu": "yes"}))
    traced = make_schedule(queue="reports", headers=json.dumps({"trace": "1"}))
    for policy in (labelled, traced):
        task = policy.schedule
        places.store(places.Place(places.Kind.ANY), task)
        task.save()

    assert PeriodicTask.objects.get(pk=labelled.pk).headers == "{}"
    assert PeriodicTask.objects.get(pk=traced.pk).headers == '{"trace": "1"}'


@pytest.mark.parametrize("start", ["by its time", "by hand"])
def test_a_run_goes_where_its_schedule_says(admin, start):
    policy = make_schedule(queue="reports")
    if start == "by its time":
        recorder.record_due(NOW)
    else:
        admin.post("/admin/beat_config/schedule/", {"action": "run_now", "_selected_action": policy.pk})
    assert Run.objects.get().route == {"queue": "reports"}


def refuse():
    return RefusedMessage.objects.create(
        received_at=NOW,
        queue="scheduler.any",
        worker="one@here",
        reason="it cannot be read",
        size=4,
        beginning="<b>\\x00",
    )


def test_refused_messages_are_listed_and_shown_with_what_they_began_with(admin):
    row = refuse()

    for address in (REFUSED, f"{REFUSED}{row.pk}/change/"):
        page = admin.get(address).content.decode()
        assert "it cannot be read" in page
        assert "&lt;b&gt;\\x00" in page


def test_refused_messages_are_cleared_by_post_alone(admin):
    refuse()

    assert admin.get(f"{REFUSED}clear/").status_code == 405
    assert RefusedMessage.objects.count() == 1

    admin.post(f"{REFUSED}clear/")
    assert RefusedMessage.objects.count() == 0


def test_whoever_may_only_look_at_refused_messages_clears_none(client):
    user = User.objects.create_user("vera", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_refusedmessage"))
    client.force_login(user)
    refuse()

    page = client.get(REFUSED)
    assert page.status_code == 200
    assert "Delete all" not in page.content.decode()
    assert client.post(f"{REFUSED}clear/").status_code == 403
    assert RefusedMessage.objects.count() == 1


def test_whoever_may_not_look_at_refused_messages_sees_none(client):
    client.force_login(User.objects.create_user("nemo", is_staff=True))
    assert client.get(REFUSED).status_code == 403
