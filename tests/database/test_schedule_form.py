"""The schedule form beyond saving: its preview, test runs, running at once, and the examples of a first start."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from beat_config.crowds import MANY
from beat_config.examples import EXAMPLES
from beat_config.models import SchedulePolicy
from jobs.models import AuditEntry, Run, Secret
from tests.factories import make_schedule, make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db]

PAGE = "/admin/beat_config/schedule/"


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
    return {name: value for name, value in (values | changes).items() if value is not None}


def preview(client, **changes):
    return client.post(f"{PAGE}preview/", form(**changes)).content.decode()


def test_the_preview_tells_the_time_on_the_viewers_clock_where_it_is_another(admin):
    daily = {"when": "times", "cron": "0 12 * * *", "time_zone": "Asia/Kathmandu"}

    there = preview(admin, **daily, viewer_zone="Asia/Tokyo")
    here = preview(admin, **daily, viewer_zone="Asia/Kathmandu")

    assert "15:15 for you" in there
    assert "you are in Asia/Tokyo" in there
    assert "for you" not in here


def test_the_preview_asks_for_what_is_empty_and_complains_about_what_is_wrong(admin):
    assert "preview-problem" not in preview(admin, every="")
    assert "preview-problem" in preview(admin, when="times", cron="0 0 31 2 *")


def test_a_minute_that_many_share_is_warned_of(admin):
    at = timezone.now().replace(second=0, microsecond=0) + timedelta(hours=2)
    for number in range(MANY):
        make_schedule(once=at, due=at, name=f"other {number}")
    SchedulePolicy.objects.update(look_at=at)
    same, other = (timezone.localtime(moment) for moment in (at, at + timedelta(minutes=7)))

    assert f"{MANY} other schedules" in preview(admin, when="times", cron=f"{same:%M %H} * * *".replace(" 0", " "))
    assert "other schedules" not in preview(admin, when="times", cron=f"{other.minute} {other.hour} * * *")


def test_the_preview_says_what_is_set_in_each_folded_part_and_what_celery_gets(admin):
    said = preview(admin, where="queue", where_queue="reports", spread="10m", priority="9")

    assert 'summary-where">Runs on: Workers of one queue; Queue: reports' in said
    assert 'summary-limits">Spread over: 10m' in said
    assert 'summary-notes">none' in said
    assert "<dt>queue</dt><dd>reports</dd>" in said
    assert "<dt>priority</dt><dd>9</dd>" in said
    assert "<dt>kwargs: command</dt><dd>echo hi</dd>" in said


def test_what_celery_gets_shows_no_secret(admin):
    said = preview(
        admin, task="call_web_address", parameter_url="https://example.com/", parameter_token_value="s3cr3t-t0ken"
    )

    assert "s3cr3t-t0ken" not in said


def test_a_preview_takes_less_than_a_tenth_of_a_second(admin):
    import time

    heavy = {"when": "times", "cron": "*/7 3 L * *", "time_zone": "Europe/Berlin"}
    preview(admin, **heavy)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        preview(admin, **heavy)
        took.append(time.perf_counter() - began)

    assert min(took) < 0.1


def test_a_test_run_starts_the_job_once_and_saves_no_schedule(admin):
    answer = admin.post(f"{PAGE}test-run/", form(name="", time_limit="90s", every="nonsense"))

    run = Run.objects.get()
    assert answer.json() == {"run": run.pk, "address": f"/admin/jobs/run/{run.pk}/change/"}
    assert (run.job, run.parameters["command"], run.time_limit) == ("run_command", "echo hi", timedelta(seconds=90))
    assert run.schedule_id is None
    assert not PeriodicTask.objects.exists()
    assert AuditEntry.objects.get().after == {"Test run": "Run a command"}


def test_a_test_run_goes_where_the_form_says(admin):
    admin.post(f"{PAGE}test-run/", form(where="queue", where_queue="reports"))

    assert Run.objects.get().route == {"queue": "reports"}


def test_a_test_run_of_a_wrong_form_starts_nothing_and_says_what_is_wrong_at_its_field(admin):
    answer = admin.post(f"{PAGE}test-run/", form(parameter_command=""))

    assert answer.status_code == 422
    assert "must be filled in" in str(answer.json()["problems"]["parameter_command"])
    assert not Run.objects.exists()


@pytest.mark.parametrize("missing", ["run_schedule", "run_command"])
def test_a_test_run_needs_the_permission_to_run_and_the_jobs_own(client, missing):
    user = User.objects.create_user("eddie", is_staff=True)
    given = {"add_schedule", "run_schedule", "run_command"} - {missing}
    user.user_permissions.set(Permission.objects.filter(codename__in=given))
    client.force_login(user)

    assert client.post(f"{PAGE}test-run/", form()).status_code == 403
    assert not Run.objects.exists()


def test_save_and_run_now_saves_starts_and_leads_to_the_run(admin):
    answer = admin.post(f"{PAGE}add/", form(_run="1"))

    run = Run.objects.get()
    assert run.schedule_id == PeriodicTask.objects.get().pk
    assert answer.headers["Location"] == f"/admin/jobs/run/{run.pk}/change/"


def test_a_moment_is_one_of_the_chosen_zone(admin):
    day = timezone.now() + timedelta(days=30)
    admin.post(f"{PAGE}add/", form(when="once", once_0=f"{day:%Y-%m-%d}", once_1="12:00", time_zone="Asia/Kathmandu"))

    assert f"{PeriodicTask.objects.get().clocked.clocked_time:%H:%M}" == "06:15"


def test_a_moment_that_the_clocks_jump_over_is_refused(admin):
    sent = form(when="once", once_0="2031-03-30", once_1="02:30", time_zone="Europe/Berlin")
    errors = admin.post(f"{PAGE}add/", sent).context["adminform"].form.errors

    assert "There is no 02:30 on that day" in str(errors["once"])


def test_a_city_is_enough_for_the_sun(admin):
    admin.post(f"{PAGE}add/", form(when="sun", event="sunset", city="Europe/Berlin", latitude="", longitude=""))

    solar = PeriodicTask.objects.get().solar
    assert (solar.event, float(solar.latitude), float(solar.longitude)) == ("sunset", 52.5, 13.367)


@pytest.mark.parametrize("key", EXAMPLES)
def test_each_example_is_added_by_one_click_and_comes_due(admin, key):
    admin.post(f"{PAGE}examples/{key}/")

    policy = SchedulePolicy.objects.select_related("schedule").get()
    assert (policy.schedule.name, policy.schedule.task) == (EXAMPLES[key].name, EXAMPLES[key].job)
    assert policy.next_fire_at > timezone.now()
    assert json.loads(policy.schedule.kwargs)
    assert AuditEntry.objects.get().action == AuditEntry.Action.ADDED


def test_examples_are_offered_until_there_is_something_else(rf):
    from beat_config import examples

    assert [offer.schedule for offer in examples.offers()] == [None, None, None]
    added = make_task(name=EXAMPLES["disk"].name, every=timedelta(hours=1))
    assert [offer.schedule for offer in examples.offers()] == [added.pk, None, None]
    make_task(name="my own", every=timedelta(hours=1))
    assert examples.offers() == []


def test_an_example_that_is_a_command_needs_the_permission_for_commands(client):
    user = User.objects.create_user("eddie", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="add_schedule"))
    client.force_login(user)

    assert client.post(f"{PAGE}examples/backup/").status_code == 403
    assert client.post(f"{PAGE}examples/no-such/").status_code == 404
    assert not PeriodicTask.objects.exists()


def test_a_typed_secret_of_a_test_run_is_stored_as_one(admin):
    sent = form(task="call_web_address", parameter_url="https://example.com/", parameter_token_value="s3cr3t-t0ken")
    sent |= {"parameter_method": "GET", "parameter_accepted_status_codes": "200-299", "parameter_timeout": "30s"}
    admin.post(f"{PAGE}test-run/", sent)

    assert Run.objects.get().parameters["token"] == {"secret": Secret.objects.get().name}
