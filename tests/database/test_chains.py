"""What a run starts when it has ended: exactly once, with its outcome, and never in a circle."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.db import connection
from django_celery_beat.models import PeriodicTask

from beat_config import chains
from beat_config.models import Blackout, Chain, Pause
from jobs import claims, executor
from jobs.claims import Outcome
from jobs.models import ChainedRun, Origin, Run, RunOutput
from jobs.states import State
from scheduler_app.config import load
from tests.factories import NOW, make_run, make_schedule, make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db]

LEASE = timedelta(seconds=30)
When = Chain.When


def chain(leader, follower, when=When.SUCCESS):
    return Chain.objects.create(leader_id=leader.pk, follower_id=follower.pk, when=when)


def end(run, state, **columns):
    held = claims.claim(run.pk, run.attempt, worker="w", lease=LEASE, now=NOW)
    assert claims.finish(held, Outcome(state, **columns), now=NOW)


def followers():
    return Run.objects.filter(origin=Origin.CHAIN).order_by("pk")


@pytest.mark.parametrize(
    ("when", "starts"),
    [
        pytest.param(When.SUCCESS, {State.SUCCEEDED}, id="success"),
        pytest.param(When.FAILURE, {State.FAILED, State.TIMED_OUT, State.INTERRUPTED}, id="failure"),
        pytest.param(
            When.ALWAYS,
            {State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.INTERRUPTED, State.CANCELLED},
            id="always",
        ),
    ],
)
def test_a_follower_starts_after_these_outcomes(when, starts):
    first, then = make_schedule(), make_schedule(kwargs={"command": "echo next"})
    chain(first, then, when)
    for state in (State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.INTERRUPTED, State.CANCELLED):
        run = make_run(schedule_id=first.pk)
        end(run, state)
        found = followers()
        assert bool(found) == (state in starts), state
        if found:
            assert (found[0].schedule_id, found[0].parameters) == (then.pk, {"command": "echo next"})
            assert (found[0].state, found[0].dispatch_at) == (State.PENDING, NOW)
            assert ChainedRun.objects.get().parent_id == run.pk
        ChainedRun.objects.all().delete()
        followers().delete()


def test_a_schedule_of_two_chains_starts_once_after_one_run():
    first, then = make_schedule(), make_schedule()
    chain(first, then, When.SUCCESS)
    chain(first, then, When.ALWAYS)
    end(make_run(schedule_id=first.pk), State.SUCCEEDED)

    assert followers().count() == 1


def test_only_the_last_attempt_starts_what_follows():
    first, then = make_schedule(), make_schedule()
    chain(first, then, When.FAILURE)
    run = make_run(schedule_id=first.pk, state=State.RUNNING, max_attempts=2, worker="gone")
    claims.interrupt_expired(NOW + timedelta(minutes=1))
    assert not followers()

    again = Run.objects.get(attempt=2)
    end(again, State.INTERRUPTED)
    assert ChainedRun.objects.get().parent_id == again.pk != run.pk


def test_a_disabled_follower_runs_all_the_same_and_a_deleted_one_does_not():
    first, then = make_schedule(), make_schedule(enabled=False)
    chain(first, then)
    end(make_run(schedule_id=first.pk), State.SUCCEEDED)
    assert followers().count() == 1

    PeriodicTask.objects.filter(pk=then.pk).delete()
    end(make_run(schedule_id=first.pk), State.SUCCEEDED)
    assert followers().count() == 1


def test_a_follower_that_still_runs_is_skipped_queued_or_replaced_as_its_schedule_says():
    first = make_schedule()
    for overlap, state, reason in (("skip", State.SKIPPED, "was still going"), ("queue", State.PENDING, "")):
        then = make_schedule(policy={"overlap": overlap})
        Chain.objects.all().delete()
        chain(first, then)
        make_run(schedule_id=then.pk, state=State.RUNNING)
        end(make_run(schedule_id=first.pk), State.SUCCEEDED)
        run = followers().get(schedule=then.pk)
        assert run.state == state
        assert reason in run.reason

    then = make_schedule(policy={"overlap": "replace"})
    Chain.objects.all().delete()
    chain(first, then)
    going = make_run(schedule_id=then.pk, state=State.RUNNING)
    end(make_run(schedule_id=first.pk), State.SUCCEEDED)
    going.refresh_from_db()
    assert going.cancel_requested_at == NOW
    assert followers().get(schedule=then.pk).state == State.PENDING


def test_a_follower_is_skipped_while_everything_is_paused_and_in_its_blackouts():
    first, then = make_schedule(), make_schedule()
    chain(first, then)
    pause = Pause.objects.create(start=NOW - timedelta(hours=1), by="ada")
    end(make_run(schedule_id=first.pk), State.SUCCEEDED)
    assert (followers()[0].state, followers()[0].reason) == (State.SKIPPED, "schedules were paused by ada")

    pause.delete()
    blackout = Blackout.objects.create(
        name="closed", kind="once", zone="UTC", start_at=NOW - timedelta(hours=1), end_at=NOW + timedelta(hours=1)
    )
    then.blackouts.add(blackout)
    end(make_run(schedule_id=first.pk), State.SUCCEEDED)
    assert followers()[1].state == State.SKIPPED
    assert "closed" in followers()[1].reason


def test_a_circle_made_by_another_program_ends():
    one, other = make_schedule(policy={"overlap": "allow"}), make_schedule(policy={"overlap": "allow"})
    chain(one, other)
    chain(other, one)
    end(make_run(schedule_id=one.pk, exclusive_key=None), State.SUCCEEDED)
    for _ in range(chains.LONGEST + 5):
        run = followers().last()
        if run.state != State.PENDING:
            break
        end(run, State.SUCCEEDED)

    assert run.state == State.SKIPPED
    assert "50 runs have started one another" in run.reason
    assert followers().count() == chains.LONGEST + 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_around_the_end_of_a_run_neither_loses_nor_doubles_what_follows():
    first, then = make_schedule(), make_schedule(policy={"overlap": "allow"})
    chain(first, then)
    runs = [make_run(schedule_id=first.pk, exclusive_key=None) for _ in range(3)]
    program = """
import os, sys, django
django.setup()
from datetime import timedelta
from django.utils import timezone
from jobs import claims
from jobs.claims import Outcome
from jobs.states import State
from scheduler_app.config import load
run, moment = int(sys.argv[1]), sys.argv[2]
if moment == "before":
    claims.on_end.insert(0, lambda *_: os.kill(os.getpid(), 9))
elif moment == "within":
    claims.on_end.append(lambda *_: os.kill(os.getpid(), 9))
held = claims.claim(run, 1, worker="w", lease=timedelta(seconds=-1), now=timezone.now())
claims.finish(held, Outcome(State.SUCCEEDED), now=timezone.now())
os.kill(os.getpid(), 9)
"""
    database = connection.settings_dict
    url = (
        f"sqlite:///{database['NAME']}"
        if connection.vendor == "sqlite"
        else f"postgresql://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    )
    environment = os.environ | {"SCHEDULER_DATABASE_URL": url}
    for run, moment in zip(runs, ["before", "within", "after"], strict=True):
        done = subprocess.run(
            [sys.executable, "-c", program, str(run.pk), moment], env=environment, capture_output=True, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()

    ended = {run.pk for run in Run.objects.filter(pk__in=[run.pk for run in runs], state=State.SUCCEEDED)}
    assert ended == {runs[2].pk}
    assert sorted(ChainedRun.objects.values_list("parent", flat=True)) == sorted(ended)
    assert followers().count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_follower_sees_the_outcome_of_the_run_before_it():
    settings.SCHEDULER_PATHS.jobs.mkdir(parents=True, exist_ok=True)
    first = make_schedule(name="Backup")
    then = make_schedule(
        kwargs={
            "command": 'echo "$SCHEDULER_PARENT_SCHEDULE $SCHEDULER_PARENT_RUN_ID $SCHEDULER_PARENT_STATE'
            ' $SCHEDULER_PARENT_EXIT_CODE"',
            "shell": True,
        }
    )
    chain(first, then, When.FAILURE)
    run = make_run(schedule_id=first.pk, schedule_name="Backup", parameters={"command": "exit 7", "shell": True})
    executor.execute(run.pk, 1, worker="w")
    after = followers().get()
    executor.execute(after.pk, 1, worker="w")

    output = b"".join(bytes(piece.data) for piece in RunOutput.objects.filter(run=after))
    assert output.decode() == f"Backup {run.pk} failed 7\n"
    # None of what it sees keeps it from calling the scheduler's own commands.
    assert load(environ=executor._environment(after, Path("progress"))).source is None


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("ada"))
    return client


def form(name, **changes):
    values = {
        "name": name,
        "enabled": "on",
        "task": "run_command",
        "parameter_command": "true",
        "parameter_accepted_exit_codes": "0",
        "when": "every",
        "every": "10",
        "unit": "minutes",
        "catch_up": "latest",
        "overlap": "skip",
    }
    return values | changes


def test_the_form_keeps_what_follows_and_refuses_circles_and_names_them(admin):
    one = make_schedule(name="one").pk
    add = "/admin/beat_config/schedule/add/"
    assert admin.post(add, form("two", after_success="one", after_failure="one")).status_code == 302
    two = PeriodicTask.objects.get(name="two")
    assert {(each.when, each.follower_id) for each in Chain.objects.filter(leader=two)} == {
        ("success", one),
        ("failure", one),
    }

    change = f"/admin/beat_config/schedule/{one}/change/"
    answer = admin.post(change, form("one", after_always="two"))
    assert "one → two → one" in str(answer.context["adminform"].form.errors["after_always"])
    answer = admin.post(change, form("one", after_always="one"))
    assert "one → one" in str(answer.context["adminform"].form.errors["after_always"])
    answer = admin.post(change, form("one", after_always="three"))
    assert "There is no schedule of that name" in str(answer.context["adminform"].form.errors["after_always"])

    page = admin.get(f"/admin/beat_config/schedule/{two.pk}/change/").content.decode()
    assert 'name="after_success" value="one"' in page
    assert "after two, if it succeeds" in admin.get("/admin/beat_config/schedule/").content.decode()
    admin.post(f"/admin/beat_config/schedule/{two.pk}/change/", form("two", after_failure="one"))
    assert list(Chain.objects.values_list("when", flat=True)) == ["failure"]


def test_the_pages_of_both_runs_lead_to_the_other(admin):
    first, then = make_schedule(name="Backup"), make_schedule(name="Report")
    chain(first, then)
    run = make_run(schedule_id=first.pk, schedule_name="Backup")
    end(run, State.SUCCEEDED)
    after = followers().get()

    page = admin.get(f"/admin/jobs/run/{run.pk}/change/").content.decode()
    assert f'href="/admin/jobs/run/{after.pk}/change/">run {after.pk}</a> (Report)' in page
    page = admin.get(f"/admin/jobs/run/{after.pk}/change/").content.decode()
    assert f'href="/admin/jobs/run/{run.pk}/change/">the end of run {run.pk}</a> (Backup)' in page
    assert f"after run {run.pk}" in admin.get("/admin/jobs/run/").content.decode()
    Run.objects.filter(pk=run.pk).delete()
    assert f"the end of run {run.pk}" in admin.get(f"/admin/jobs/run/{after.pk}/change/").content.decode()


def test_who_may_not_run_commands_cannot_have_them_started_by_a_chain(client):
    user = User.objects.create_user("eddie", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__model__in=["schedule", "periodictask"]))
    client.force_login(user)
    make_task(name="a command")
    call = {"task": "call_web_address", "parameter_url": "http://127.0.0.1:1/", "after_success": "a command"}

    answer = client.post("/admin/beat_config/schedule/add/?job=call_web_address", form("mine", **call))
    assert answer.status_code == 403
