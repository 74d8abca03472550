"""Who changed what: one entry for each change, in its transaction, and never a secret."""

import json
import time

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django_celery_beat.models import PeriodicTask

from beat_config.models import Blackout
from jobs import audit
from jobs.models import AuditEntry, Run, Secret
from jobs.states import State
from scheduler_app import desktop_signature
from tests.database.test_admin import ADD, LIST, form
from tests.factories import make_run, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("ada"))
    return client


def entries():
    return [(entry.by, entry.action, entry.kind, entry.subject) for entry in AuditEntry.objects.order_by("pk")]


def test_adding_changing_and_deleting_a_schedule_are_three_entries_with_what_there_was_and_is(admin):
    admin.post(ADD, form())
    pk = PeriodicTask.objects.get().pk
    admin.post(f"{LIST}{pk}/change/", form(every="20", tags="nightly"))
    admin.post(f"{LIST}{pk}/delete/", {"post": "yes"})

    added, changed, deleted = AuditEntry.objects.order_by("pk")
    assert entries() == [("ada", did, "beat_config.schedule", "mine") for did in ("added", "changed", "deleted")]
    assert added.before is None
    assert changed.before == added.after
    assert {name for name in changed.after if changed.after[name] != changed.before[name]} == {"every", "when", "tags"}
    assert changed.after["tags"] == ["nightly"]
    assert (deleted.before, deleted.after) == (changed.after, None)


def test_saving_without_a_change_is_no_entry(admin):
    admin.post(ADD, form())
    admin.post(f"{LIST}{PeriodicTask.objects.get().pk}/change/", form())

    assert [entry.action for entry in AuditEntry.objects.all()] == ["added"]


def test_a_form_that_is_refused_is_no_entry(admin):
    admin.post(ADD, form(name=""))

    assert not AuditEntry.objects.exists()


def test_switching_several_is_an_entry_for_each_that_was_not_so_already(admin):
    one, two = make_schedule(name="one"), make_schedule(name="two", enabled=False)
    admin.post(LIST, {"action": "disable", "_selected_action": [one.pk, two.pk]})

    assert entries() == [("ada", "disabled", "beat_config.schedule", "one")]


def test_starting_cancelling_and_pausing_are_entries(admin):
    schedule = make_schedule(name="one")
    ended = make_run(state=State.SUCCEEDED, schedule_id=schedule.pk)

    admin.post(LIST, {"action": "run_now", "_selected_action": [schedule.pk]})
    run = Run.objects.latest("pk")
    admin.post(f"/admin/jobs/run/{run.pk}/cancel/")
    admin.post(f"/admin/jobs/run/{run.pk}/cancel/")  # it has ended: nothing is done
    admin.post(f"/admin/jobs/run/{ended.pk}/again/")
    admin.post("/admin/pause/", {"length": "resumed"})
    admin.post("/admin/resume/")
    admin.post("/admin/resume/")

    assert [(did, what) for _, did, _, what in entries()] == [
        ("run", "one"),
        ("cancelled", f"Run {run.pk}: one"),
        ("run", str(ended)),
        ("paused", "All schedules"),
        ("resumed", "All schedules"),
    ]


def test_what_the_tray_does_is_done_by_the_person_at_it(client, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "grace")
    schedule = make_schedule(name="one")
    for path, content in (
        ("/desktop/run/", {"schedule": schedule.pk}),
        ("/desktop/pause/", {"length": "1h"}),
        ("/desktop/resume/", {}),
    ):
        body = json.dumps(content).encode()
        header = desktop_signature.sign(settings.SECRET_KEY, "POST", path, body, time.time())
        assert client.generic("POST", path, body, headers={desktop_signature.HEADER: header}).status_code == 200

    assert {by for by, *_ in entries()} == {"grace at the tray"}
    assert [did for _, did, *_ in entries()] == ["run", "paused", "resumed"]


def test_a_secret_is_noted_wherever_it_is_given_and_its_value_nowhere(admin):
    admin.post("/admin/jobs/secret/add/", {"name": "mail", "value": "hunter2-one"})
    pk = Secret.objects.get().pk
    admin.post(f"/admin/jobs/secret/{pk}/change/", {"value": "hunter2-two"})
    admin.post(f"/admin/jobs/secret/{pk}/delete/", {"post": "yes"})
    hook = form(task="call_webhook", parameter_url="https://example.org/", parameter_secret_value="hunter2-three")
    admin.post(ADD, hook, follow=True)

    found = entries()
    assert [(did, kind) for _, did, kind, _ in found] == [
        ("added", "jobs.secret"),
        ("changed", "jobs.secret"),
        ("deleted", "jobs.secret"),
        ("added", "jobs.secret"),
        ("added", "beat_config.schedule"),
    ]
    assert "hunter2" not in json.dumps([*AuditEntry.objects.values("before", "after", "subject")])


def test_users_and_groups_are_noted_with_the_groups_of_the_one_and_the_permissions_of_the_other(admin):
    admin.post("/admin/auth/group/add/", {"name": "night shift"})
    password = {"usable_password": "true", "password1": "correct horse", "password2": "correct horse"}
    admin.post("/admin/auth/user/add/", {"username": "bob", **password})
    user = User.objects.get(username="bob")
    admin.post(
        f"/admin/auth/user/{user.pk}/change/",
        {"username": "bob", "is_active": "on", "groups": [Group.objects.get(name="night shift").pk]},
    )
    admin.post(
        f"/admin/auth/user/{user.pk}/password/",
        {**password, "password1": "battery staple", "password2": "battery staple"},
    )

    group, added, changed, again = AuditEntry.objects.order_by("pk")
    assert (group.kind, group.subject, added.kind) == ("auth.group", "night shift", "auth.user")
    assert (changed.before["Groups"], changed.after["Groups"]) == ([], ["night shift"])
    assert {name for name in again.after if again.after[name] != again.before[name]} == {"Password"}
    assert "pbkdf2" not in json.dumps([*AuditEntry.objects.values("before", "after")])


@pytest.mark.django_db(transaction=True)
def test_an_entry_goes_with_its_change_when_that_fails(admin, monkeypatch):
    one = Blackout.objects.create(name="one", zone="UTC", start_time="1:00", end_time="2:00")

    def fail(*_arguments, **_options):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("beat_config.blackout_admin.BlackoutAdmin.delete_queryset", fail)
    chosen = {"action": "delete_selected", "_selected_action": [one.pk], "post": "yes"}
    with pytest.raises(RuntimeError):
        admin.post("/admin/beat_config/blackout/", chosen)

    assert not AuditEntry.objects.exists()


def test_who_and_what_are_cut_to_what_the_table_holds():
    audit.record("x" * 300, audit.Action.CHANGED, "y" * 300, {}, {"a": 1})

    entry = AuditEntry.objects.get()
    assert (len(entry.by), len(entry.subject)) == (150, 200)


def test_lists_are_called_by_what_they_list(admin_client):
    for kind, title in (("jobs/run", "Runs"), ("auth/user", "Users"), ("jobs/refusedmessage", "Refused messages")):
        page = admin_client.get(f"/admin/{kind}/").content.decode()
        assert f"<title> {title} |" in " ".join(page.split()), kind
