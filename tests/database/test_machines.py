"""A run of every machine: one decision, one run a machine, and what became of the whole."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from beat_config import recorder
from beat_config.models import Chain
from beat_config.running_now import run_now
from jobs import claims, machines, terms
from jobs.claims import Outcome
from jobs.models import EVERY_MACHINE, Run
from jobs.retries import Retry
from jobs.states import State
from scheduler_app import routing
from tests.factories import NOW, make_run, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

LEASE = timedelta(seconds=30)
SOON = NOW + timedelta(seconds=1)
OVER = NOW + machines.WINDOW


def due(overlap="skip", **columns):
    """The run that beat records for a schedule of every machine."""
    make_schedule(exchange=routing.MACHINES, policy={"overlap": overlap}, **columns)
    recorder.record_due(NOW)
    return Run.objects.get()


def join(whole, machine, now=SOON):
    return machines.join(whole.pk, whole.attempt, machine=machine, now=now)


def claim(part, now=SOON):
    return claims.claim(part, 1, worker="worker@here", lease=LEASE, now=now)


def done(whole, machine, state=State.SUCCEEDED):
    assert claims.finish(claim(join(whole, machine)), Outcome(state), now=SOON)


def test_beat_records_one_run_that_nobody_can_claim_as_a_whole():
    whole = due()
    assert (whole.machine, whole.expires_at) == (EVERY_MACHINE, OVER)
    assert claim(whole.pk) is None


def test_each_machine_has_one_run_however_often_it_hears_of_it():
    whole = due()
    first = join(whole, "one")

    assert join(whole, "one") == first
    assert join(whole, "two") != first
    assert claim(first) is not None
    assert claim(join(whole, "one")) is None
    parts = Run.objects.filter(part_of=whole.pk).order_by("machine")
    assert [(part.machine, part.fire_time, part.parameters) for part in parts] == [
        ("one", whole.fire_time, whole.parameters),
        ("two", whole.fire_time, whole.parameters),
    ]


def test_the_database_itself_refuses_a_second_run_of_a_machine_and_a_second_decision_on_a_fire():
    whole = due()
    part = Run.objects.get(pk=join(whole, "one"))
    for machine, part_of in (("one", whole.pk), ("", None), (EVERY_MACHINE, None)):
        twin = Run(schedule_id=part.schedule_id, fire_time=part.fire_time, job="x", machine=machine, part_of=part_of)
        with transaction.atomic(), pytest.raises(IntegrityError):
            twin.save()


@pytest.mark.django_db(transaction=True)
def test_two_workers_of_a_machine_that_hear_of_it_at_once_start_it_once():
    whole = due()
    gate, won = threading.Barrier(4), []

    def work():
        gate.wait()
        won.append(claim(join(whole, "one")))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Run.objects.filter(part_of=whole.pk).count() == 1
    assert len([each for each in won if each]) == 1


def test_a_machine_that_comes_after_the_expiry_does_not_start_it():
    whole = due(expire_seconds=60)
    assert join(whole, "late", now=NOW + timedelta(seconds=60)) is None
    assert not Run.objects.filter(part_of=whole.pk).exists()


def test_a_part_whose_worker_ended_before_it_claimed_it_is_sent_to_its_machine():
    part = Run.objects.get(pk=join(due(), "one"))
    assert part.dispatch_at == SOON + machines.SENT_AFTER
    assert part.route == {"queue": "scheduler.machine.one"}


@pytest.mark.parametrize(
    ("states", "state", "says"),
    [
        pytest.param({}, State.MISSED, "no machine took it", id="nobody joined"),
        pytest.param({"a": State.SUCCEEDED, "b": State.SUCCEEDED}, State.SUCCEEDED, "done on a, b", id="all well"),
        pytest.param(
            {"a": State.SUCCEEDED, "b": State.FAILED}, State.FAILED, "not done on b (failed)", id="one failed"
        ),
    ],
)
def test_the_whole_ends_when_nobody_can_join_any_more_as_its_parts_have(states, state, says):
    whole = due()
    for machine, outcome in states.items():
        done(whole, machine, outcome)

    assert machines.end_whole(OVER - timedelta(seconds=1)) == 0
    assert machines.end_whole(OVER) == 1

    whole.refresh_from_db()
    assert (whole.state, whole.reason, whole.finished_at) == (
        state,
        says + (" before it expired" if not states else ""),
        OVER,
    )


def test_the_whole_goes_on_while_a_part_does():
    whole = due()
    held = claim(join(whole, "one"))
    assert machines.end_whole(OVER) == 0
    claims.expire_waiting(OVER)
    claims.finish(held, Outcome(State.SUCCEEDED), now=OVER)
    assert machines.end_whole(OVER) == 1


@pytest.mark.parametrize(
    ("overlap", "states"),
    [
        ("skip", ("running", "skipped")),
        ("queue", ("running", "pending")),
        ("allow", ("running", "running")),
    ],
)
def test_an_earlier_run_that_goes_on_is_in_the_way_on_its_own_machine_only(overlap, states):
    make_schedule(exchange=routing.MACHINES, policy={"overlap": overlap})
    wholes = []
    for minute in range(2):
        recorder.record_due(NOW + timedelta(minutes=minute))
        wholes.append(Run.objects.filter(machine=EVERY_MACHINE).latest("id"))
        claim(join(wholes[-1], "one", now=wholes[-1].created_at), now=wholes[-1].created_at)

    assert tuple(Run.objects.filter(machine="one").order_by("id").values_list("state", flat=True)) == states
    assert claim(join(wholes[1], "two", now=wholes[1].created_at), now=wholes[1].created_at) is not None


def test_replacing_ends_the_earlier_run_of_the_same_machine():
    make_schedule(exchange=routing.MACHINES, policy={"overlap": "replace"})
    for minute in range(2):
        moment = NOW + timedelta(minutes=minute)
        recorder.record_due(moment)
        whole = Run.objects.filter(machine=EVERY_MACHINE).latest("id")
        for machine in ("one", "two") if minute == 0 else ("one",):
            claim(join(whole, machine, now=moment), now=moment)
    asked = Run.objects.filter(cancel_requested_at__isnull=False)
    assert [run.machine for run in asked] == ["one"]


def test_cancelling_the_whole_ends_its_parts_and_lets_nobody_join():
    whole = due()
    running, waiting = join(whole, "one"), join(whole, "two")
    claim(running)

    assert claims.cancel(whole.pk, by="ada", now=SOON)

    assert join(whole, "three") is None
    assert Run.objects.get(pk=waiting).state == State.CANCELLED
    assert Run.objects.get(pk=running).cancel_requested_at == SOON


def test_run_now_is_a_run_of_every_machine_too():
    policy = make_schedule(exchange=routing.MACHINES)
    whole = run_now(policy.schedule, by="ada")
    part = join(whole, "one", now=whole.created_at)
    assert part is not None
    assert join(whole, "one", now=whole.created_at) == part


def test_a_second_attempt_after_a_crash_stays_on_its_machine():
    part = Run.objects.get(pk=join(due(), "one"))
    again = terms.with_retry(None, Retry(frozenset({State.INTERRUPTED})))
    Run.objects.filter(pk=part.pk).update(max_attempts=2, terms=again)
    claim(part.pk)

    claims.interrupt_expired(SOON + LEASE + timedelta(seconds=1))

    again = Run.objects.get(attempt=2)
    assert (again.machine, again.part_of, again.route) == ("one", part.part_of, part.route)


def test_the_page_of_the_whole_shows_which_machine_did_what(client):
    client.force_login(User.objects.create_superuser("ada"))
    whole = due()
    done(whole, "desk")
    done(whole, "cellar", State.FAILED)

    page = client.get(f"/admin/jobs/run/{whole.pk}/change/").content.decode()

    assert page.index("cellar") < page.index("Failed") < page.index("desk") < page.index("Succeeded")
    assert f"/admin/jobs/run/{Run.objects.get(machine='desk').pk}/change/" in page
    assert "on desk" in client.get("/admin/jobs/run/").content.decode()


def test_an_ordinary_run_knows_nothing_of_machines():
    run = make_run()
    assert machines.join(run.pk, 1, machine="one", now=NOW) is None
    assert (run.machine, run.part_of) == ("", None)


def test_what_follows_starts_once_when_the_whole_has_ended():
    whole = due()
    follower = make_schedule(due=None)
    Chain.objects.create(leader_id=whole.schedule_id, follower=follower.schedule, when=Chain.When.SUCCESS)
    done(whole, "one")
    done(whole, "two")
    assert not Run.objects.filter(schedule=follower.pk).exists()

    machines.end_whole(OVER)

    assert Run.objects.filter(schedule=follower.pk).count() == 1
