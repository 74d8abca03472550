"""Runs that went wrong and are tried again: each attempt is a row, and waits in the database."""

from datetime import timedelta

import pytest

from beat_config import recorder
from jobs import claims, executor, starting, terms
from jobs.claims import Outcome, Rules
from jobs.models import Run
from jobs.retries import Retry
from jobs.states import State
from tests.factories import NOW, make_run, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

LEASE = timedelta(seconds=30)
MINUTE = timedelta(minutes=1)


def start(run, now=NOW, rules=None):
    said = rules or claims.NO_RULES
    return claims.claim(run.pk, run.attempt, worker="w", lease=LEASE, now=now, rules=said)


def fail(held, now=NOW, state=State.FAILED):
    assert claims.finish(held, Outcome(state, "exit code 1", exit_code=1), now=now)
    return Run.objects.filter(attempt=held.run.attempt + 1).first()


def scheduled(**policy):
    make_schedule(every=timedelta(hours=1), policy={"attempts": 3, **policy})
    recorder.record_due(NOW)
    return Run.objects.get()


def test_the_next_attempt_is_a_row_that_waits_for_its_time():
    held = start(scheduled(when_wrong="failure", retry_delay=10 * MINUTE))

    second = fail(held)

    held.run.refresh_from_db()
    assert (held.run.state, held.run.exit_code) == (State.FAILED, 1)
    assert held.run.reason == "exit code 1; run again, attempt 2 of 3"
    assert (second.state, second.dispatch_at, second.fire_time) == (State.PENDING, NOW + 10 * MINUTE, NOW)
    assert second.reason == f"run {held.run.pk} failed; attempt 2 of 3"
    assert (held.run.terms[terms.NEXT], second.terms[terms.PREVIOUS]) == (second.pk, held.run.pk)


def test_each_wait_is_twice_as_long_and_the_last_attempt_is_the_last():
    run = scheduled(when_wrong="any", retry_delay=MINUTE, retry_doubles=True)

    second = fail(start(run))
    third = fail(start(second), state=State.TIMED_OUT)

    assert (second.dispatch_at, third.dispatch_at) == (NOW + MINUTE, NOW + 2 * MINUTE)
    assert fail(start(third)) is None


@pytest.mark.parametrize(
    ("when_wrong", "tried_again"),
    [
        ("job", set()),
        ("leave", set()),
        ("crash", {State.INTERRUPTED}),
        ("failure", {State.FAILED, State.TIMED_OUT}),
        ("any", {State.FAILED, State.TIMED_OUT, State.INTERRUPTED}),
    ],
)
def test_a_schedule_says_after_what_it_is_tried_again(when_wrong, tried_again):
    run = scheduled(when_wrong=when_wrong)
    ends = {State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.INTERRUPTED}

    again = set()
    for state in ends:
        copy = make_run(max_attempts=run.max_attempts, terms=run.terms)
        if fail(start(copy), state=state):
            again.add(state)
        Run.objects.filter(attempt=2).delete()

    assert again == tried_again


def test_a_job_s_own_rule_holds_where_the_schedule_says_nothing():
    rules = Rules(attempts=2, retry=Retry(frozenset({State.FAILED}), MINUTE))

    assert fail(start(make_run(), rules=rules)).dispatch_at == NOW + MINUTE
    Run.objects.all().delete()
    assert fail(start(scheduled(when_wrong="leave"), rules=rules)) is None


def test_an_attempt_that_waits_is_cancelled_as_any_run_that_waits():
    second = fail(start(scheduled(when_wrong="failure")))

    assert claims.cancel(second.pk, by="ada", now=NOW)

    second.refresh_from_db()
    assert (second.state, second.reason, second.dispatch_at) == (State.CANCELLED, "cancelled by ada", None)


def test_an_attempt_that_waits_counts_as_the_previous_run_still_going():
    second = fail(start(scheduled(when_wrong="failure", retry_delay=2 * timedelta(hours=1))))

    recorder.record_due(NOW + timedelta(hours=1))

    newest = Run.objects.latest("id")
    assert (newest.state, newest.reason) == (State.SKIPPED, f"the previous run ({second.pk}) was still going")


def test_an_attempt_has_as_long_to_be_started_as_the_first_had():
    run = make_run(expires_at=NOW + MINUTE, max_attempts=2)

    second = fail(start(run), state=State.INTERRUPTED, now=NOW + 10 * MINUTE)

    assert second.expires_at == NOW + 11 * MINUTE


def test_a_run_started_by_hand_again_begins_with_its_first_attempt():
    second = fail(start(scheduled(when_wrong="failure")))

    again = starting.start_again(second, by="ada")

    assert (again.attempt, again.max_attempts, again.terms) == (1, 3, {terms.RETRY: second.terms[terms.RETRY]})


@pytest.mark.django_db(transaction=True)
def test_a_job_that_says_so_is_tried_again_by_real_processes(settings):
    folder = settings.SCHEDULER_PATHS.jobs
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "flaky.py"
    file.write_text(
        "import os\nfrom jobs import job, JobFailed\n"
        "@job(retries=1, retry_delay=0)\ndef flaky() -> None:\n"
        "    print('attempt', os.environ['SCHEDULER_ATTEMPT'])\n"
        "    if os.environ['SCHEDULER_ATTEMPT'] == '1': raise JobFailed('not yet')\n"
    )
    try:
        first = make_run(job="flaky", parameters={})
        executor.execute(first.pk, 1, worker="test")
        executor.execute(Run.objects.get(attempt=2).pk, 2, worker="test")
    finally:
        file.unlink()

    runs = Run.objects.order_by("attempt")
    assert [run.state for run in runs] == [State.FAILED, State.SUCCEEDED]
    pieces = [run.output.filter(stream=1).order_by("number") for run in runs]
    printed = [b"".join(bytes(piece.data) for piece in found) for found in pieces]
    assert printed == [b"attempt 1\n", b"attempt 2\n"]
