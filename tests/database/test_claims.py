"""Taking and ending runs: who may, and who may not any more."""

import threading
from datetime import timedelta

import pytest
from django.db import connection

from jobs import claims
from jobs.claims import Hold, Outcome
from jobs.models import Run
from jobs.states import ACTIVE, FINAL, TRANSITIONS, State, sources
from tests.factories import NOW, make_run

pytestmark = [pytest.mark.database, pytest.mark.django_db]

LEASE = timedelta(seconds=30)


def claim(run, worker="a", now=NOW):
    return claims.claim(run.pk, run.attempt, worker=worker, lease=LEASE, now=now)


@pytest.mark.parametrize("state", [State.PENDING, State.QUEUED])
def test_a_waiting_run_is_taken_by_the_first_who_asks(state):
    run = make_run(state=state)

    held = claim(run, worker="first")

    assert held is not None
    run.refresh_from_db()
    assert (run.state, run.worker, run.started_at, run.lease_until) == (State.RUNNING, "first", NOW, NOW + LEASE)
    assert run.dispatch_at is None


def test_a_second_claim_of_a_run_is_refused():
    run = make_run()
    claim(run, worker="first")

    assert claim(run, worker="second") is None
    run.refresh_from_db()
    assert run.worker == "first"


@pytest.mark.parametrize("state", sorted(FINAL))
def test_a_run_that_has_ended_is_not_taken(state):
    run = make_run(state=state)

    assert claim(run) is None
    run.refresh_from_db()
    assert run.state == state


def test_a_message_for_another_attempt_takes_nothing():
    run = make_run(attempt=2)

    assert claims.claim(run.pk, 1, worker="a", lease=LEASE, now=NOW) is None


def test_an_expired_run_is_not_started():
    run = make_run(expires_at=NOW)

    assert claim(run) is None


def test_only_the_holder_of_the_token_finishes_a_run():
    run = make_run()
    first = claim(run)
    claims.interrupt_expired(NOW + LEASE + timedelta(seconds=1))

    assert not claims.finish(first, Outcome(State.SUCCEEDED), now=NOW)
    run.refresh_from_db()
    assert run.state == State.INTERRUPTED


def test_finishing_writes_the_outcome_and_frees_the_run():
    run = make_run()
    held = claim(run)
    end = NOW + timedelta(seconds=3)

    assert claims.finish(held, Outcome(State.FAILED, "exit code 7", exit_code=7, output_size=12), now=end)

    run.refresh_from_db()
    assert (run.state, run.reason, run.exit_code, run.finished_at) == (State.FAILED, "exit code 7", 7, end)
    assert (run.token, run.lease_until, run.output_size) == (None, None, 12)


def test_a_run_cannot_be_finished_as_something_that_is_no_end():
    held = claim(make_run())

    with pytest.raises(ValueError, match="cannot finish run"):
        claims.finish(held, Outcome(State.QUEUED), now=NOW)


def test_renewing_extends_the_lease_and_tells_of_a_wish_to_cancel():
    run = make_run()
    held = claim(run)
    later = NOW + timedelta(seconds=20)

    assert claims.renew(held, lease=LEASE, now=later) is Hold.KEPT
    claims.cancel(run.pk, by="ada", now=later)
    assert claims.renew(held, lease=LEASE, now=later) is Hold.CANCEL
    run.refresh_from_db()
    assert run.lease_until == later + LEASE


def test_a_worker_whose_run_was_taken_away_learns_it():
    run = make_run()
    held = claim(run)
    Run.objects.filter(pk=run.pk).update(state=State.INTERRUPTED, token=None, finished_at=NOW)

    assert claims.renew(held, lease=LEASE, now=NOW) is Hold.LOST
    assert claims.look(held) is Hold.LOST


def test_cancelling_ends_a_waiting_run_at_once_and_says_by_whom():
    run = make_run(state=State.QUEUED)

    assert claims.cancel(run.pk, by="ada", now=NOW)

    run.refresh_from_db()
    assert (run.state, run.reason, run.dispatch_at) == (State.CANCELLED, "cancelled by ada", None)


def test_cancelling_what_has_ended_changes_nothing():
    run = make_run(state=State.SUCCEEDED)

    assert not claims.cancel(run.pk, by="ada", now=NOW)
    run.refresh_from_db()
    assert run.state == State.SUCCEEDED


def test_only_expired_leases_are_interrupted():
    kept, lost = make_run(state=State.RUNNING), make_run(state=State.RUNNING, lease_until=NOW - timedelta(seconds=1))

    assert claims.interrupt_expired(NOW) == 1

    kept.refresh_from_db()
    lost.refresh_from_db()
    assert (kept.state, lost.state) == (State.RUNNING, State.INTERRUPTED)
    assert "disappeared" in lost.reason


def test_a_run_nobody_started_in_time_is_missed():
    run = make_run(state=State.QUEUED, expires_at=NOW)

    assert claims.expire_waiting(NOW) == 1

    run.refresh_from_db()
    assert (run.state, run.dispatch_at) == (State.MISSED, None)


def test_every_final_state_lets_nothing_follow_and_every_active_one_can_end():
    assert set(State) == FINAL | ACTIVE
    for state in ACTIVE:
        assert TRANSITIONS[state] & FINAL
    assert sources(State.RUNNING) == {State.PENDING, State.QUEUED}


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_that_claim_at_the_same_time_one_gets_the_run():
    run = make_run()
    gate = threading.Barrier(8)
    taken = []

    def work(number):
        gate.wait()
        if claim(run, worker=str(number)) is not None:
            taken.append(number)
        connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 1
