"""The four groups that every installation begins with, and what people make of them."""

import pytest
from django.contrib.auth.models import Group, Permission, User

from jobs import permissions
from jobs.models import ReadyGroup

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def member(group):
    user = User.objects.create_user(f"a {group}", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return User.objects.get(pk=user.pk)


def held(group):
    names = Group.objects.get(name=group).permissions.values_list("content_type__app_label", "codename")
    return {f"{app}.{name}" for app, name in names}


def test_each_group_may_do_what_the_one_before_it_may_and_more():
    viewer, operator, editor, admin = map(held, ("viewer", "operator", "editor", "admin"))

    assert viewer < operator < editor < admin
    assert all(name.split(".")[1].startswith("view_") for name in viewer)
    assert operator - viewer == {"jobs.run_schedule"}


def test_running_commands_is_for_admins_and_those_who_are_given_it():
    operator, editor, admin = map(member, ("operator", "editor", "admin"))

    assert [permissions.may_use_job(user, "run_command") for user in (operator, editor, admin)] == [False, False, True]
    assert permissions.may_use_job(editor, "call_web_address")
    editor.user_permissions.add(Permission.objects.get(codename="run_command"))
    assert permissions.may_use_job(User.objects.get(pk=editor.pk), "run_command")


def test_only_operators_and_above_may_operate():
    users = map(member, ("viewer", "operator", "editor", "admin"))

    assert [permissions.may_operate(user) for user in users] == [False, True, True, True]


def test_what_people_changed_stays_when_the_program_is_updated():
    group = Group.objects.get(name="viewer")
    group.permissions.add(Permission.objects.get(codename="change_blackout"))
    group.permissions.remove(Permission.objects.get(codename="view_run"))
    group.name = "audience"
    group.save()

    permissions.update_ready_groups()

    assert held("audience") == permissions.VIEWER - {"jobs.view_run"} | {"beat_config.change_blackout"}
    assert not Group.objects.filter(name="viewer").exists()


def test_what_a_version_gives_for_the_first_time_is_added_and_what_it_gives_no_more_is_taken(monkeypatch):
    monkeypatch.setattr(permissions, "VIEWER", permissions.VIEWER - {"jobs.view_run"} | {"jobs.view_secret"})

    permissions.update_ready_groups()

    assert "jobs.view_secret" in held("viewer")
    assert "jobs.view_run" not in held("viewer")


def test_a_group_that_was_deleted_is_not_made_again():
    Group.objects.get(name="viewer").delete()

    permissions.update_ready_groups()

    assert not Group.objects.filter(name="viewer").exists()


def test_a_group_of_that_name_that_people_had_before_stays_theirs():
    Group.objects.filter(name="editor").delete()
    ReadyGroup.objects.filter(name="editor").delete()
    Group.objects.create(name="editor")

    permissions.update_ready_groups()

    assert held("editor") == set()
