"""Secrets from the form to the child, and what can be seen of them on the way."""

import json
import stat
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.db import connection
from django_celery_beat.models import PeriodicTask

from beat_config import recorder, secret_upkeep
from jobs import executor, secret_check, vault
from jobs.models import Run, RunOutput, Secret
from jobs.states import State
from tests.factories import NOW, make_run, make_schedule, make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

PASSWORD = "correct-horse-battery"
JOB = """
import os, sys, time
from jobs import SecretText, job

@job
def sign_in(password: SecretText, spare: SecretText | None = None):
    text = password.get_secret_value()
    print("it is", str(password), "of", len(text))
    for character in text:
        sys.stdout.write(character)
        sys.stdout.flush()
    print(" sent")
    print("spelled", text, file=sys.stderr)
    print("argv", sys.argv, "environment", [name for name, value in os.environ.items() if text in value])

@job
def many(keys: list[SecretText]):
    print(len(keys))
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch):
    """The jobs of these tests, and a data folder without a key."""
    jobs = settings.SCHEDULER_PATHS.jobs
    jobs.mkdir(parents=True, exist_ok=True)
    (jobs / "secretive.py").write_text(JOB)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    yield settings.SCHEDULER_PATHS
    (jobs / "secretive.py").unlink()
    settings.SCHEDULER_PATHS.secrets_key.unlink(missing_ok=True)
    settings.SCHEDULER_PATHS.secrets_looked_up_to.unlink(missing_ok=True)


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("ada"))
    return client


def execute(run):
    executor.execute(run.pk, run.attempt, worker="test")
    run.refresh_from_db()
    return run, b"".join(
        bytes(piece.data) for piece in RunOutput.objects.filter(run=run).order_by("stream", "number")
    ).decode()


def form(**changes):
    values = {
        "name": "mine",
        "enabled": "on",
        "task": "sign_in",
        "when": "every",
        "every": "10",
        "unit": "minutes",
        "catch_up": "latest",
        "overlap": "skip",
    }
    return values | changes


def stored_bytes():
    """Everything that the database keeps, as bytes."""
    if connection.vendor == "sqlite":
        file = Path(connection.settings_dict["NAME"])
        return b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))
    return b"".join(secret_check._texts())


def test_a_typed_value_is_stored_as_a_secret_and_reaches_only_the_child(admin):
    answer = admin.post(
        "/admin/beat_config/schedule/add/?job=sign_in", form(parameter_password_value=PASSWORD), follow=True
    )
    task = PeriodicTask.objects.get()
    assert json.loads(task.kwargs) == {"password": {"secret": "mine: Password"}, "spare": None}
    assert "Stored as the secret mine: Password" in answer.content.decode()

    admin.post("/admin/beat_config/schedule/", {"action": "run_now", "_selected_action": [task.pk]})
    run, output = execute(Run.objects.get())

    assert run.state == State.SUCCEEDED, output
    assert f"it is ******** of {len(PASSWORD)}" in output
    assert "******** sent" in output
    assert "spelled ********" in output
    assert "environment []" in output
    assert PASSWORD not in output
    assert PASSWORD.encode() not in stored_bytes()
    page = admin.get(f"/admin/jobs/run/{run.pk}/change/").content.decode()
    assert "the secret mine: Password" in page


def test_typing_another_value_replaces_the_schedules_own_secret(admin):
    admin.post("/admin/beat_config/schedule/add/?job=sign_in", form(parameter_password_value=PASSWORD))
    task = PeriodicTask.objects.get()
    admin.post(f"/admin/beat_config/schedule/{task.pk}/change/", form(parameter_password_value="another one"))

    assert vault.values() == {"mine: Password": "another one"}


def test_a_typed_value_leaves_a_secret_that_others_use_alone(admin):
    admin.post("/admin/beat_config/schedule/add/?job=sign_in", form(parameter_password_value=PASSWORD))
    task = PeriodicTask.objects.get()
    make_task(name="other", task="sign_in", kwargs={"password": {"secret": "mine: Password"}})
    admin.post(f"/admin/beat_config/schedule/{task.pk}/change/", form(parameter_password_value="mine alone"))

    assert vault.values() == {"mine: Password": PASSWORD, "mine: Password 2": "mine alone"}


def test_a_secret_is_chosen_by_its_name_and_the_form_never_shows_a_value(admin):
    vault.store("mail", PASSWORD, by="ada")
    admin.post("/admin/beat_config/schedule/add/?job=sign_in", form(parameter_password_name="mail"))
    task = PeriodicTask.objects.get()
    assert json.loads(task.kwargs)["password"] == {"secret": "mail"}

    page = admin.get(f"/admin/beat_config/schedule/{task.pk}/change/").content.decode()
    assert '<option value="mail" selected' in page
    assert PASSWORD not in page


def test_a_name_that_is_no_secret_is_refused_without_repeating_it(admin):
    data = form(task="many", parameter_keys="hunter2-typed-here")
    answer = admin.post("/admin/beat_config/schedule/add/?job=many", data)
    errors = answer.context["adminform"].form.errors

    assert "There is no secret of that name" in str(errors["parameter_keys"])
    assert "hunter2" not in str(errors)


def test_whoever_may_not_see_secrets_cannot_use_those_of_others(client):
    user = User.objects.create_user("eddie", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__model__in=["schedule", "periodictask"]))
    client.force_login(user)
    vault.store("mail", PASSWORD, by="ada")

    answer = client.post("/admin/beat_config/schedule/add/?job=sign_in", form(parameter_password_name="mail"))
    assert answer.status_code == 403
    client.post("/admin/beat_config/schedule/add/?job=sign_in", form(parameter_password_value="my own"))
    assert PeriodicTask.objects.count() == 1


def test_a_command_gets_secrets_as_variables():
    vault.store("mail", PASSWORD, by="ada")
    parameters = {
        "command": 'test "$PASSWORD" = correct-horse-battery && echo "got $PASSWORD"',
        "shell": True,
        "secrets": {"PASSWORD": {"secret": "mail"}},
    }
    run, output = execute(make_run(parameters=parameters))

    assert (run.state, output) == (State.SUCCEEDED, "got ********\n")


def test_the_admin_makes_replaces_and_lists_secrets_and_refuses_to_delete_what_is_used(admin):
    admin.post("/admin/jobs/secret/add/", {"name": "mail", "description": "the robot's", "value": PASSWORD})
    secret = Secret.objects.get()
    assert (vault.read("mail"), secret.changed_by) == (PASSWORD, "ada")

    admin.post(f"/admin/jobs/secret/{secret.pk}/change/", {"description": "still", "value": ""})
    assert vault.read("mail") == PASSWORD
    admin.post(f"/admin/jobs/secret/{secret.pk}/change/", {"description": "still", "value": "another"})
    assert vault.read("mail") == "another"

    task = make_task(name="sender", task="sign_in", kwargs={"password": {"secret": "mail"}})
    page = admin.get("/admin/jobs/secret/").content.decode()
    assert "sender" in page
    assert "secrets.key" in page
    admin.post(f"/admin/jobs/secret/{secret.pk}/delete/", {"post": "yes"})
    assert Secret.objects.exists()
    task.delete()
    admin.post(f"/admin/jobs/secret/{secret.pk}/delete/", {"post": "yes"})
    assert not Secret.objects.exists()


def test_the_key_file_is_for_its_owner_only(folder):
    vault.store("mail", PASSWORD, by="ada")

    assert stat.S_IMODE(folder.secrets_key.stat().st_mode) == 0o600
    assert folder.secrets_key.read_text().startswith("file ")


def test_a_lost_key_fails_the_runs_that_need_it_and_nothing_else(admin, folder):
    vault.store("mail", PASSWORD, by="ada")
    folder.secrets_key.unlink()

    run, _ = execute(make_run(job="sign_in", parameters={"password": {"secret": "mail"}}))
    assert run.state == State.FAILED
    assert "Password: cannot find the key of the secrets" in run.reason
    assert execute(make_run())[0].state == State.SUCCEEDED
    assert "cannot find the key" in admin.get("/admin/jobs/secret/").content.decode()

    vault.store("new", "with a new key", by="ada")
    run, _ = execute(make_run(job="sign_in", parameters={"password": {"secret": "mail"}}))
    assert "another key" in run.reason
    assert vault.read("new") == "with a new key"


def test_a_value_under_another_name_or_changed_is_refused():
    vault.store("one", PASSWORD, by="ada")
    vault.store("two", "another", by="ada")
    one = Secret.objects.get(name="one")
    Secret.objects.filter(name="two").update(sealed=one.sealed)

    with pytest.raises(vault.SecretError, match="cannot read the secret 'two'"):
        vault.read("two")


def test_values_of_other_programs_and_earlier_versions_become_secrets_also_in_the_history():
    policy = make_schedule(name="old", task="sign_in", kwargs={"password": PASSWORD})
    recorder.record_due(NOW)
    strange = make_run(job="sign_in", parameters={"password": "forgotten-value"}, state=State.FAILED)
    assert PASSWORD.encode() in stored_bytes()

    finding = secret_upkeep.tidy()

    task = PeriodicTask.objects.get(pk=policy.pk)
    assert json.loads(task.kwargs) == {"password": {"secret": "old: Password"}}
    run = Run.objects.get(schedule=task)
    assert run.parameters == {"password": {"secret": "old: Password"}}
    strange.refresh_from_db()
    assert strange.parameters == {"password": {"secret": ""}}
    assert PASSWORD.encode() not in stored_bytes()
    assert b"forgotten-value" not in stored_bytes()
    assert (finding.secrets, finding.found) == (1, ())
    assert execute(run)[0].state == State.SUCCEEDED


def test_the_check_finds_a_plain_text_in_the_stored_bytes():
    vault.store("mail", PASSWORD, by="ada")
    assert "none found" in str(secret_check.check())
    make_task(task="run_command", kwargs={"command": f"curl -u me:{PASSWORD}"})

    assert secret_check.check().found == ("mail",)
