"""How many runs of a job go on at once, and how often one starts."""

import threading
from datetime import timedelta

import pytest
from django.db import connection

from jobs import claims
from jobs.claims import Outcome, Rules
from jobs.limits import LATE, LOOK_AGAIN, Limits
from jobs.models import Run
from jobs.retries import Retry
from jobs.states import State
from tests.factories import NOW, make_run

pytestmark = [pytest.mark.database, pytest.mark.django_db]

SECOND = timedelta(seconds=1)
LEASE = 30 * SECOND
TWO_AT_ONCE = Rules(limits=Limits(max_running=2))
EVERY_10_S = Rules(limits=Limits(pause=10 * SECOND))


def claim(run, rules, now=NOW):
    held = claims.claim(run.pk, run.attempt, worker="a", lease=LEASE, now=now, rules=rules)
    run.refresh_from_db()
    return held


def test_no_more_runs_of_a_job_go_on_at_once_than_it_allows():
    runs = [make_run() for _ in range(3)]
    beside = make_run(job="another")

    assert [claim(run, TWO_AT_ONCE) is not None for run in runs] == [True, True, False]

    assert claim(beside, TWO_AT_ONCE) is not None
    waits = runs[2]
    assert (waits.state, waits.reason) == (State.PENDING, "waits: of its job, 2 runs go on, and no more than 2 may")
    assert NOW + LOOK_AGAIN <= waits.dispatch_at <= NOW + 1.5 * LOOK_AGAIN


@pytest.mark.parametrize("how", ["finish", "retry", "interrupt"])
def test_the_end_of_a_run_lets_the_one_that_has_waited_longest_start(how):
    retry = Retry(frozenset({State.FAILED}), 5 * SECOND)
    rules = Rules(attempts=2, retry=retry if how == "retry" else None, limits=Limits(max_running=1))
    first, second, third = make_run(), make_run(), make_run()
    held = claim(first, rules)
    for run in (second, third):
        assert claim(run, rules) is None
    later = NOW + SECOND

    if how == "interrupt":
        later = NOW + LEASE + SECOND
        claims.interrupt_expired(later)
    else:
        claims.finish(held, Outcome(State.FAILED if how == "retry" else State.SUCCEEDED), now=later)

    for run in (second, third):
        run.refresh_from_db()
    assert second.dispatch_at == later
    assert third.dispatch_at >= NOW + LOOK_AGAIN
    assert claim(second, rules, later) is not None
    assert (second.reason, Run.objects.filter(state=State.RUNNING).count()) == ("", 1)
    assert claim(third, rules, later) is None


def test_what_a_limit_has_put_off_leaves_no_trace_in_the_ended_run():
    rules = Rules(limits=Limits(max_running=1, pause=SECOND))
    first, second = make_run(), make_run()
    claims.finish(claim(first, rules), Outcome(State.SUCCEEDED), now=NOW)
    assert claim(second, rules) is None

    claims.finish(claim(second, rules, NOW + SECOND), Outcome(State.SUCCEEDED), now=NOW + 2 * SECOND)

    second.refresh_from_db()
    assert (second.state, second.terms) == (State.SUCCEEDED, None)


def test_runs_of_a_job_with_a_rate_are_given_turns_of_their_own():
    runs = [make_run() for _ in range(4)]

    assert [claim(run, EVERY_10_S) is not None for run in runs] == [True, False, False, False]

    assert [run.dispatch_at for run in runs[1:]] == [NOW + number * 10 * SECOND for number in (1, 2, 3)]
    assert runs[1].reason == "waits for its turn: its job is started every 10 s at most"
    # A message that comes before its turn moves nothing.
    assert claim(runs[2], EVERY_10_S, NOW + 11 * SECOND) is None
    assert runs[2].dispatch_at == NOW + 20 * SECOND
    assert claim(runs[2], EVERY_10_S, NOW + 20 * SECOND + LATE) is not None


def test_turns_that_were_missed_are_not_taken_all_at_once():
    runs = [make_run() for _ in range(4)]
    for run in runs:
        claim(run, EVERY_10_S)
    later = NOW + timedelta(hours=1)

    assert [claim(run, EVERY_10_S, later) is not None for run in runs[1:]] == [True, False, False]
    assert [run.dispatch_at for run in runs[2:]] == [later + 10 * SECOND, later + 20 * SECOND]


def test_a_run_that_waits_for_a_limit_can_be_cancelled_and_keeps_its_place_among_exclusive_ones():
    first, second, third = make_run(), make_run(exclusive_key="k"), make_run(exclusive_key="k", dispatch_at=None)
    rules = Rules(limits=Limits(max_running=1))
    claim(first, rules)
    assert claim(second, rules) is None

    assert claims.release_left_behind(NOW) == 0  # the third waits for the second, which waits for the first

    assert claims.cancel(second.pk, by="ada", now=NOW)
    third.refresh_from_db()
    assert third.dispatch_at == NOW


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_together_keep_the_limits():
    runs = [make_run() for _ in range(12)]
    rules = Rules(limits=Limits(max_running=3))
    gate = threading.Barrier(len(runs))

    def take(run):
        gate.wait()
        claims.claim(run.pk, 1, worker="a", lease=LEASE, now=NOW, rules=rules)
        connection.close()

    threads = [threading.Thread(target=take, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Run.objects.filter(state=State.RUNNING).count() == 3
    assert Run.objects.filter(state=State.PENDING, dispatch_at__gt=NOW).count() == 9
