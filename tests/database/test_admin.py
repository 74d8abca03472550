"""The admin's pages, asked as a browser asks them."""

import html
import json
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from beat_config import recorder
from beat_config.models import SchedulePolicy
from jobs import catalogue
from jobs.discovery import discover
from jobs.models import Run, RunOutput, Service
from jobs.states import State
from tests.factories import make_run, make_schedule, make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db]

ADD = "/admin/beat_config/schedule/add/"
LIST = "/admin/beat_config/schedule/"


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("ada"))
    return client


@pytest.fixture
def editor(client):
    """Somebody who may do everything with schedules and runs, but not run commands."""
    user = User.objects.create_user("eddie", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__model__in=["schedule", "run", "periodictask"]))
    user.user_permissions.remove(*Permission.objects.filter(codename="run_command"))
    client.force_login(user)
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
        "unit": "seconds",
        "catch_up": "latest",
        "overlap": "skip",
    }
    return {name: value for name, value in (values | changes).items() if value is not None}


def errors(response):
    assert response.status_code == 200, "it was saved"
    return response.context["adminform"].form.errors


@pytest.mark.parametrize("job", sorted(catalogue.registry()))
def test_a_form_with_nothing_filled_in_is_refused_at_its_fields_whatever_the_job(admin, job):
    refused = errors(admin.post(ADD, {"name": "mine", "task": job, "when": "every"}))

    needed = {f"parameter_{each.name}" for each in catalogue.registry()[job].parameters if each.required}
    assert set(refused) >= needed
    assert admin.post("/admin/beat_config/schedule/preview/", {"task": job, "when": "every"}).status_code == 200


def test_a_schedule_every_ten_seconds_is_stored_in_django_celery_beats_table(admin):
    answer = admin.post(ADD, form(), follow=True)

    task = PeriodicTask.objects.get()
    assert (task.task, task.interval.every, task.interval.period) == ("run_command", 10, "seconds")
    assert json.loads(task.kwargs)["command"] == "echo hi"
    policy = SchedulePolicy.objects.get(pk=task.pk)
    assert policy.next_fire_at - timezone.now() <= timedelta(seconds=10)
    assert "Next run" in answer.content.decode()


def test_a_cron_line_keeps_its_time_zone_and_means_what_cron_means(admin):
    admin.post(ADD, form(when="times", cron="30 2 1 * MON", time_zone="Asia/Kathmandu"))

    task = PeriodicTask.objects.get()
    assert str(task.crontab.timezone) == "Asia/Kathmandu"
    assert (task.crontab.minute, task.crontab.hour, task.crontab.day_of_week) == ("30", "2", "1")
    assert SchedulePolicy.objects.get(pk=task.pk).day_rule == "or"


def test_a_cron_line_beyond_the_columns_is_kept_as_typed(admin):
    admin.post(ADD, form(when="times", cron="*/5 0 2 L * *", time_zone="UTC"))

    policy = SchedulePolicy.objects.get()
    assert policy.expression == "*/5 0 2 L * *"
    assert policy.next_fire_at.hour == 2


def test_a_schedule_for_one_moment_is_stored_as_clocked(admin):
    at = timezone.localtime() + timedelta(days=1)
    admin.post(ADD, form(when="once", once_0=f"{at:%Y-%m-%d}", once_1=f"{at:%H:%M:%S}"))

    task = PeriodicTask.objects.get()
    assert task.one_off
    assert task.clocked.clocked_time == at.replace(microsecond=0)


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        pytest.param({"name": ""}, "name", "required", id="no name"),
        pytest.param({"task": "no_such_job"}, "task", "no_such_job", id="an unknown job"),
        pytest.param({"parameter_command": ""}, "parameter_command", "must be filled in", id="no command"),
        pytest.param(
            {"parameter_accepted_exit_codes": "four"}, "parameter_accepted_exit_codes", "four", id="a wrong type"
        ),
        pytest.param({"parameter_environment": "NOVALUE"}, "parameter_environment", "NAME=VALUE", id="no mapping"),
        pytest.param({"every": ""}, "every", "How often", id="no number"),
        pytest.param({"every": "0"}, "every", "greater than or equal to 1", id="every zero seconds"),
        pytest.param({"when": "times", "cron": ""}, "cron", "cron line", id="no cron line"),
        pytest.param({"when": "times", "cron": "61 * * * *"}, "cron", "61", id="out of range"),
        pytest.param({"when": "times", "cron": "0 0 31 2 *"}, "cron", "31", id="never fires"),
        pytest.param({"when": "times", "cron": "* * *"}, "cron", "3", id="too few fields"),
        pytest.param(
            {"when": "times", "cron": "@daily", "time_zone": "Europe/Berlyn"},
            "time_zone",
            "Europe/Berlin",
            id="an unknown zone",
        ),
        pytest.param(
            {"when": "once", "once_0": "2001-01-01", "once_1": "00:00:00"}, "once", "is over", id="in the past"
        ),
        pytest.param({"when": "once", "once_0": "", "once_1": ""}, "once", "When?", id="no moment"),
        pytest.param({"time_limit": "soon"}, "time_limit", "soon", id="no period"),
        pytest.param({"catch_up": "all"}, "overlap", "several at once", id="all of them, but one at a time"),
        pytest.param(
            {"catch_up": "all", "overlap": "replace"}, "overlap", "only one", id="all of them, but only the last"
        ),
        pytest.param(
            {"overlap": "allow", "concurrency_key": "disk"}, "concurrency_key", "same time", id="apart and together"
        ),
        pytest.param({"catch_up_window": "10s"}, "catch_up_window", "shorter", id="older than too late"),
        pytest.param({"when_wrong": "any", "attempts": "1"}, "attempts", "2", id="again, but once"),
        pytest.param({"catch_up_window": "soon"}, "catch_up_window", "soon", id="no window"),
        pytest.param({"grace": "-1s"}, "grace", "-1s", id="negative lateness"),
        pytest.param({"expires_after": "never"}, "expires_after", "never", id="no expiry"),
        pytest.param({"priority": "11"}, "priority", "11", id="no priority"),
    ],
)
def test_bad_input_is_refused_at_its_field(admin, changes, field, says):
    answer = admin.post(ADD, form(**changes))

    assert says in " ".join(errors(answer)[field])
    assert not PeriodicTask.objects.exists()


def test_a_name_that_is_taken_is_refused(admin):
    make_task(name="mine")

    assert "already" in str(errors(admin.post(ADD, form()))["name"])


def test_the_form_shows_a_stored_schedule_as_it_was_typed(admin):
    admin.post(ADD, form(when="times", cron="0 8-17 * * 1-5", time_zone="Europe/Paris", time_limit="10m"))
    task = PeriodicTask.objects.get()

    shown = admin.get(f"{LIST}{task.pk}/change/").context["adminform"].form

    initial = {name: shown.get_initial_for_field(field, name) for name, field in shown.fields.items()}
    assert (initial["when"], initial["cron"], initial["time_zone"]) == ("times", "0 8-17 * * 1-5", "Europe/Paris")
    assert (initial["parameter_command"], initial["time_limit"]) == ("echo hi", timedelta(minutes=10))


def test_saving_what_the_form_shows_changes_nothing_about_when_it_fires(admin):
    task = make_task(cron="0 0 1 * 1", name="theirs")
    recorder.record_due(timezone.now())
    before = SchedulePolicy.objects.get(pk=task.pk)

    admin.post(f"{LIST}{task.pk}/change/", form(name="theirs", when="times", cron="0 0 1 * 1", time_zone="UTC"))

    after = SchedulePolicy.objects.get(pk=task.pk)
    assert (after.next_fire_at, after.day_rule) == (before.next_fire_at, "and")


def test_changing_the_trigger_starts_from_now(admin):
    policy = make_schedule(every=timedelta(hours=1), name="mine")

    admin.post(f"{LIST}{policy.pk}/change/", form(every="30"))

    left = SchedulePolicy.objects.get(pk=policy.pk).next_fire_at - timezone.now()
    assert timedelta(seconds=25) < left <= timedelta(seconds=30)


def test_every_policy_is_stored_and_shown_again(admin):
    chosen = {
        "catch_up": "all",
        "catch_up_window": "2h",
        "catch_up_cap": "7",
        "grace": "30s",
        "overlap": "queue",
        "concurrency_key": "disk",
        "when_wrong": "any",
        "attempts": "5",
        "retry_delay": "30s",
        "retry_longest": "10m",
        "retry_doubles": "True",
        "expires_after": "10m",
        "priority": "9",
        "time_limit": "1h 30m",
    }
    admin.post(ADD, form(**chosen))

    policy = SchedulePolicy.objects.select_related("schedule").get()
    assert (policy.catch_up, policy.catch_up_window, policy.catch_up_cap) == ("all", timedelta(hours=2), 7)
    assert (policy.grace, policy.overlap, policy.concurrency_key) == (timedelta(seconds=30), "queue", "disk")
    assert (policy.when_wrong, policy.attempts, policy.time_limit) == ("any", 5, timedelta(minutes=90))
    assert (policy.retry_delay, policy.retry_longest) == (timedelta(seconds=30), timedelta(minutes=10))
    assert (policy.retry_doubles, policy.retry_varies) == (True, False)
    assert (policy.schedule.expire_seconds, policy.schedule.priority) == (600, 9)
    shown = admin.get(f"{LIST}{policy.pk}/change/").context["adminform"].form
    assert {name: str(shown[name].value()) for name in chosen} == chosen
    assert shown["preset"].value() == ""


@pytest.mark.parametrize(
    ("preset", "catch_up", "overlap", "when_wrong", "expires"),
    [
        ("must", "all", "queue", "crash", None),
        ("on_time", "none", "skip", "job", 300),
        ("once", "latest", "skip", "job", None),
        ("often", "latest", "allow", "job", None),
    ],
)
def test_a_preset_sets_the_policies_also_without_its_script_and_is_shown_again(
    admin, preset, catch_up, overlap, when_wrong, expires
):
    admin.post(ADD, form(preset=preset))

    policy = SchedulePolicy.objects.select_related("schedule").get()
    assert (policy.catch_up, policy.overlap, policy.when_wrong) == (catch_up, overlap, when_wrong)
    assert policy.schedule.expire_seconds == expires
    shown = admin.get(f"{LIST}{policy.pk}/change/").context["adminform"].form
    assert shown["preset"].value() == preset


def test_what_others_stored_is_kept_when_the_form_has_no_word_for_it(admin):
    policy = make_schedule(every=timedelta(seconds=10), name="mine", priority=3)

    assert '<option value="3" selected' in admin.get(f"{LIST}{policy.pk}/change/").content.decode()
    admin.post(f"{LIST}{policy.pk}/change/", form(priority="3"))

    assert PeriodicTask.objects.get().priority == 3


def test_a_moment_that_is_over_cannot_be_enabled_again(admin):
    policy = make_schedule(once=timezone.now() - timedelta(days=1), due=None, name="mine", enabled=False)
    at = timezone.localtime(policy.schedule.clocked.clocked_time)
    sent = form(when="once", once_0=f"{at:%Y-%m-%d}", once_1=f"{at:%H:%M:%S}")

    assert "is over" in str(errors(admin.post(f"{LIST}{policy.pk}/change/", sent))["once"])


def test_a_schedule_that_cannot_fire_says_why_in_the_list(admin):
    make_task(cron="0 0 31 2 *")
    recorder.record_due(timezone.now())

    assert "cannot run: cannot use &#x27;31&#x27;" in admin.get(LIST).content.decode()


def test_a_run_started_by_hand_keeps_apart_from_what_its_schedule_keeps_apart(admin):
    policy = make_schedule(policy={"concurrency_key": "disk"})

    admin.post(LIST, {"action": "run_now", "_selected_action": [policy.pk]})

    assert Run.objects.get().exclusive_key == "disk"


def test_choosing_another_job_shows_its_parameters(admin):
    page = admin.get(f"{ADD}?job=call_web_address").content.decode()

    assert 'name="parameter_url"' in page
    assert 'name="parameter_command"' not in page


@pytest.mark.parametrize("job", discover(None).values(), ids=lambda job: job.name)
def test_every_built_in_job_has_a_form_with_a_field_and_a_help_or_a_plain_name_for_each_parameter(admin, job):
    page = admin.get(f"{ADD}?job={job.name}").content.decode()

    assert job.summary
    for parameter in job.parameters:
        part = "_name" if parameter.kind == "secret" else ""
        assert f'name="parameter_{parameter.name}{part}"' in page
        assert html.escape(parameter.help, quote=True) in page


def test_lists_sizes_lengths_of_time_and_choices_are_typed_as_people_write_them(admin):
    typed = {
        "task": "clean_old_files",
        "parameter_folder": "~/Downloads",
        "parameter_older_than": "2 weeks",
        "parameter_pattern": "*.log\n\n *.tmp \n",
        "parameter_keep": "3",
        "parameter_command": None,
        "parameter_accepted_exit_codes": None,
    }
    assert admin.post(ADD, form(**typed)).status_code == 302
    kept = json.loads(PeriodicTask.objects.get(name="mine").kwargs)
    assert (kept["older_than"], kept["pattern"], kept["keep"]) == ("14d", ["*.log", "*.tmp"], 3)
    assert kept["dry_run"] is False  # a switch that is off is not sent by a browser

    wrong = form(**typed | {"task": "check_disk_space", "parameter_folders": "/", "parameter_least_free": "a lot"})
    assert "a size is needed" in str(errors(admin.post(ADD, wrong | {"name": "other"}))["parameter_least_free"])
    right = wrong | {"name": "other", "parameter_least_free": "1.5 GB", "parameter_least_free_percent": "5"}
    assert admin.post(ADD, right).status_code == 302
    assert json.loads(PeriodicTask.objects.get(name="other").kwargs)["least_free"] == "1500MB"


def test_jobs_that_could_read_write_or_run_anything_need_the_permission_for_commands():
    free = {name for name, job in discover(None).items() if job.permission is None}
    assert free == {
        *(
            "call_web_address",
            "call_webhook",
            "check_certificate",
            "check_disk_space",
            "check_port",
            "check_process",
            "wait_for_file",
        ),
    }


def test_a_new_job_file_is_offered_at_the_next_look_and_a_broken_one_hurts_no_other(admin):
    folder = settings.SCHEDULER_PATHS.jobs
    mine, broken = folder / "fresh_own.py", folder / "shattered_own.py"
    try:
        assert b"fresh_own" not in admin.get(ADD).content
        broken.write_text("import nothing_of_this_name\n")
        mine.write_text("from jobs import job\n@job\ndef fresh_own(days: int = 30) -> None: ...\n")
        assert b"fresh_own" in admin.get(ADD).content
        assert b"parameter_days" in admin.get(ADD, {"job": "fresh_own"}).content
        assert b"shattered_own.py" in admin.get("/admin/").content
        mine.write_text("from jobs import job\n@job\ndef fresh_own(renamed_days: int = 30) -> None: ...\n")
        assert b"parameter_renamed_days" in admin.get(ADD, {"job": "fresh_own"}).content
    finally:
        mine.unlink(missing_ok=True)
        broken.unlink(missing_ok=True)


def test_a_command_may_only_be_scheduled_by_those_who_may_run_commands(editor):
    assert editor.post(ADD, form()).status_code == 403
    assert not PeriodicTask.objects.exists()


def test_a_command_may_only_be_started_by_those_who_may_run_commands(editor):
    policy = make_schedule()
    run = make_run(state=State.SUCCEEDED)

    assert editor.post(LIST, {"action": "run_now", "_selected_action": [policy.pk]}).status_code == 403
    assert editor.post(f"/admin/jobs/run/{run.pk}/again/").status_code == 403
    assert Run.objects.count() == 1


def test_run_now_records_a_run_for_the_workers(admin):
    policy = make_schedule(name="mine")

    admin.post(LIST, {"action": "run_now", "_selected_action": [policy.pk]})

    run = Run.objects.get()
    assert (run.schedule_id, run.state, run.origin, run.requested_by) == (policy.pk, State.PENDING, "manual", "ada")
    assert run.fire_time is None


def test_disabling_takes_the_next_run_away_and_enabling_brings_one_that_is_not_now(admin):
    policy = make_schedule(every=timedelta(hours=1))

    admin.post(LIST, {"action": "disable", "_selected_action": [policy.pk]})
    assert SchedulePolicy.objects.get(pk=policy.pk).next_fire_at is None

    admin.post(LIST, {"action": "enable", "_selected_action": [policy.pk]})
    assert SchedulePolicy.objects.get(pk=policy.pk).next_fire_at > timezone.now() + timedelta(minutes=59)


def test_deleting_a_schedule_keeps_its_history(admin):
    policy = make_schedule(name="gone")
    run = make_run(schedule_id=policy.pk, schedule_name="gone", state=State.SUCCEEDED)

    admin.post(f"{LIST}{policy.pk}/delete/", {"post": "yes"})

    assert not PeriodicTask.objects.exists()
    page = admin.get(f"/admin/jobs/run/{run.pk}/change/")
    assert "gone" in page.content.decode()


def test_a_run_shows_its_output_escaped(admin):
    run = make_run(state=State.SUCCEEDED)
    RunOutput.objects.create(run=run, number=1, stream=1, data=b"<script>alert(1)</script>\x00\xff")

    page = admin.get(f"/admin/jobs/run/{run.pk}/change/").content.decode()

    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "\\xff" in page


def test_the_live_part_of_a_run_is_sent_only_when_it_has_changed(admin):
    run = make_run(state=State.QUEUED)
    address = f"/admin/jobs/run/{run.pk}/live/"
    version = admin.get(address).context["version"]

    assert admin.get(address, {"seen": version}).status_code == 204
    Run.objects.filter(pk=run.pk).update(state=State.SUCCEEDED, dispatch_at=None, finished_at=timezone.now())
    assert admin.get(address, {"seen": version}).status_code == 200


def test_nothing_about_runs_changes_by_a_get(admin):
    run = make_run()

    assert admin.get(f"/admin/jobs/run/{run.pk}/cancel/").status_code == 405
    assert admin.get(f"/admin/jobs/run/{run.pk}/again/").status_code == 405


def test_the_start_page_says_what_is_wrong_and_what_to_do(admin):
    (settings.SCHEDULER_PATHS.jobs / "broken_own.py").write_text("import nothing_of_this_name\n")
    try:
        page = admin.get("/admin/").content.decode()
    finally:
        (settings.SCHEDULER_PATHS.jobs / "broken_own.py").unlink()

    assert "no beat runs" in page
    assert "there is no worker" in page
    assert "broken_own.py" in page


def test_the_start_page_says_when_all_is_well(admin):
    now = timezone.now()
    for kind in Service.Kind.values:
        Service.objects.create(instance=kind, kind=kind, host="h", pid=1, started_at=now, seen_at=now)

    assert "All is well" in admin.get("/admin/").content.decode()


@pytest.mark.parametrize("address", ["/admin/", LIST, ADD, "/admin/jobs/run/", "/admin/jobs/run/1/live/"])
def test_nobody_sees_anything_without_signing_in(client, address):
    assert client.get(address).status_code == 302


def test_foreign_host_names_are_refused(admin):
    assert admin.get("/admin/", headers={"host": "evil.example"}).status_code == 400


def test_every_page_has_a_content_security_policy_without_inline_scripts(admin):
    policy = admin.get("/admin/").headers["Content-Security-Policy"]

    assert "script-src 'self' 'unsafe-eval'" in policy


@pytest.mark.parametrize("state", State)
def test_the_history_and_a_runs_page_show_every_state(admin, state):
    run = make_run(state=state, schedule_name="mine", reason="because", started_at=timezone.now())

    assert state.label in admin.get("/admin/jobs/run/").content.decode()
    page = admin.get(f"/admin/jobs/run/{run.pk}/change/").content.decode()
    assert state.label in page
    assert "because" in page
