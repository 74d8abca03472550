"""People decide about people: nobody gives what they have not got, nor decides about those who may do more."""

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django_celery_beat.models import PeriodicTask

from jobs.models import AuditEntry
from tests.database.test_admin import ADD, LIST, form
from tests.factories import NOW, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def signed_in(client, name, *groups, permissions=()):
    user = User.objects.create_user(name, is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return user


@pytest.fixture
def clerk(client):
    """Somebody who only looks after the users."""
    return signed_in(client, "clerk", permissions=("view_user", "change_user", "add_user", "delete_user"))


def change(client, user, **values):
    return client.post(f"/admin/auth/user/{user.pk}/change/", {"username": user.username, "is_active": "on", **values})


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"is_superuser": "on"}, id="everything"),
        pytest.param({"groups": "admin"}, id="a group that may do more"),
        pytest.param({"user_permissions": "run_command"}, id="running commands"),
    ],
)
def test_nobody_gives_themselves_what_they_have_not_got(client, clerk, values):
    if group := values.get("groups"):
        values = {"groups": Group.objects.get(name=group).pk}
    if name := values.get("user_permissions"):
        kept = [*clerk.user_permissions.values_list("pk", flat=True)]
        values = {"user_permissions": [Permission.objects.get(codename=name).pk, *kept]}

    answer = change(client, clerk, **values)

    assert "You cannot let somebody do what you may not do yourself" in answer.content.decode()
    clerk = User.objects.get(pk=clerk.pk)
    assert not clerk.has_perm("jobs.run_command")


@pytest.mark.parametrize("active", [True, False])
def test_who_may_do_more_cannot_be_changed_deleted_or_given_a_password(client, clerk, active):
    boss = User.objects.create_user("boss", is_staff=True, is_active=active)
    boss.groups.add(Group.objects.get(name="operator"))
    password = {"usable_password": "true", "password1": "correct horse", "password2": "correct horse"}

    assert change(client, boss).status_code == 403
    assert client.post(f"/admin/auth/user/{boss.pk}/password/", password).status_code == 403
    assert client.post(f"/admin/auth/user/{boss.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post("/admin/auth/user/", {"action": "delete_selected", "_selected_action": boss.pk, "post": "yes"})
    assert User.objects.get(pk=boss.pk).password == boss.password


def test_an_admin_does_not_decide_about_the_owner(client):
    signed_in(client, "ada", "admin")
    owner = User.objects.create_superuser("owner")

    assert change(client, owner).status_code == 403


def test_a_group_cannot_be_given_more_than_one_has(client):
    signed_in(client, "clerk", permissions=("view_group", "change_group", "add_group"))
    run_command = Permission.objects.get(codename="run_command").pk

    client.post("/admin/auth/group/add/", {"name": "mine", "permissions": [run_command]})
    editors = Group.objects.get(name="editor")

    assert not Group.objects.filter(name="mine").exists()
    assert client.post(f"/admin/auth/group/{editors.pk}/change/", {"name": "x"}).status_code == 403


def test_an_admin_adds_somebody_with_a_group_who_can_sign_in(client):
    signed_in(client, "ada", "admin")
    password = {"usable_password": "true", "password1": "correct horse", "password2": "correct horse"}

    client.post(
        "/admin/auth/user/add/", {"username": "bob", **password, "groups": [Group.objects.get(name="viewer").pk]}
    )

    client.logout()
    assert client.login(username="bob", password="correct horse")
    assert client.get(LIST).status_code == 200
    assert client.get(ADD).status_code == 403


def test_a_viewer_reads_a_schedule_in_words(client):
    signed_in(client, "vera", "viewer")
    schedule = make_schedule(name="nightly", cron="30 2 * * *")

    page = client.get(f"{LIST}{schedule.pk}/change/").content.decode()

    assert "You may look at this schedule, but not change it" in page
    assert "02:30" in page
    assert client.post(f"{LIST}{schedule.pk}/change/", form()).status_code == 403


def test_the_audit_log_shows_what_its_reader_may_look_at(client):
    signed_in(client, "ed", "editor")
    for kind in ("beat_config.schedule", "auth.user", ""):
        AuditEntry.objects.create(at=NOW, by="ada", action="changed", kind=kind, subject=f"about {kind}")

    page = client.get("/admin/jobs/auditentry/").content.decode()

    assert "about beat_config.schedule" in page
    assert "about auth.user" not in page


def test_an_entry_shows_what_there_was_beside_what_there_is(client):
    signed_in(client, "ed", "editor")
    entry = AuditEntry.objects.create(
        at=NOW, by="ada", action="changed", subject="nightly",
        before={"when": "every minute", "tags": []}, after={"when": "every hour", "tags": []},
    )  # fmt: skip

    page = client.get(f"/admin/jobs/auditentry/{entry.pk}/change/").content.decode()

    assert "<del>every minute</del>" in page
    assert "<ins>every hour</ins>" in page
    assert page.count("audit-differs") == 1


def test_a_things_history_leads_to_its_entries_in_the_audit_log(client):
    signed_in(client, "ed", "editor")
    schedule = make_schedule(name="nightly")
    for pk in (schedule.pk, schedule.pk + 1):
        AuditEntry.objects.create(
            at=NOW, by="ada", action="changed", kind="beat_config.schedule", subject_id=pk, subject=f"number {pk}"
        )

    page = client.get(f"{LIST}{schedule.pk}/history/", follow=True).content.decode()

    assert f"number {schedule.pk}" in page
    assert f"number {schedule.pk + 1}" not in page


def changed_schedule(client):
    """Make a schedule and change it, in the admin; return it and the change's entry."""
    client.force_login(User.objects.create_superuser("ada"))
    web = form(task="call_web_address", parameter_command=None, parameter_url="https://example.org/", tags="old")
    client.post(ADD, web)
    schedule = PeriodicTask.objects.get()
    client.post(f"{LIST}{schedule.pk}/change/", web | {"every": "20", "tags": "new", "name": "renamed"})
    return schedule, AuditEntry.objects.latest("pk")


def test_a_changed_schedule_is_put_back_from_its_entry_and_that_is_an_entry_too(client):
    schedule, entry = changed_schedule(client)
    signed_in(client, "ed", "editor")
    page = client.get(f"/admin/jobs/auditentry/{entry.pk}/change/").content.decode()

    client.post(f"/admin/jobs/auditentry/{entry.pk}/revert/")

    assert "Put it back" in page
    schedule.refresh_from_db()
    assert (schedule.name, schedule.interval.every) == ("mine", 10)
    back = AuditEntry.objects.latest("pk")
    assert (back.by, back.action, back.before, back.after) == ("ed", "changed", entry.after, entry.before)


def test_a_schedule_that_is_gone_or_whose_job_needs_more_is_not_put_back(client):
    _, entry = changed_schedule(client)
    AuditEntry.objects.filter(pk=entry.pk).update(
        before={**entry.before, "job": "run_command", "parameters": {"command": "x"}}
    )
    signed_in(client, "ed", "editor")
    assert client.post(f"/admin/jobs/auditentry/{entry.pk}/revert/").status_code == 403
    PeriodicTask.objects.all().delete()

    page = client.post(f"/admin/jobs/auditentry/{entry.pk}/revert/", follow=True).content.decode()

    assert "the schedule was deleted since" in page


def test_the_systems_page_says_what_a_helper_asks_for_and_no_key(client):
    signed_in(client, "ada", "admin")

    page = client.get("/admin/system/").content.decode()

    for said in ("scheduler-app", "Data folder", "retention.days", "90 days"):
        assert said in page
    assert settings.SECRET_KEY not in page
