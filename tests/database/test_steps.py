"""The way of a run in sentences: what became of it, why it did not run, what it waits for."""

from datetime import timedelta

import pytest

from jobs import claims, delivery, exit_codes, machines
from jobs.models import EVERY_MACHINE, ChainedRun, Origin, Run, Service
from jobs.states import State
from jobs.steps import steps_of
from scheduler_app import routing
from tests.factories import NOW, make_run, make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db]

SECOND = timedelta(seconds=1)


def make_service(kind, **columns):
    defaults = {"host": "desk", "pid": 1, "started_at": NOW, "seen_at": NOW, "instance": f"{kind}{columns}"[:200]}
    return Service.objects.create(kind=kind, **(defaults | columns))


def sentences(run, now=NOW):
    run.refresh_from_db()
    return [step.sentence for step in steps_of(run, now)]


def waits(run, now=NOW):
    run.refresh_from_db()
    last = steps_of(run, now)[-1]
    assert last.moment is None
    return last.sentence


def test_a_run_that_went_well_is_told_from_due_to_its_end():
    run = make_run(
        schedule_name="Backup",
        state=State.SUCCEEDED,
        fire_time=NOW,
        worker="w@desk",
        exit_code=0,
        queued_at=NOW + SECOND,
        started_at=NOW + 5 * SECOND,
        finished_at=NOW + 65 * SECOND,
    )

    steps = steps_of(run, NOW + timedelta(hours=1))

    assert [(step.moment - NOW).total_seconds() for step in steps] == [0, 1, 5, 65]
    assert [step.sentence for step in steps] == [
        "Due by its schedule Backup.",
        "Sent to the message broker, for any worker.",
        "Started by the worker w@desk, 5.00 s after it was due.",
        "Succeeded after 1 min 0 s.",
    ]


NOT_RUN = {
    "skipped while the previous one went on": (
        {"state": State.SKIPPED, "reason": "the previous run (12) was still going"},
        "Not run, skipped: the previous run (12) was still going.",
    ),
    "skipped in a blackout": (
        {"state": State.SKIPPED, "reason": "blackout: Nights (every day 22:00 to 06:00)"},
        "Not run, skipped: blackout: Nights (every day 22:00 to 06:00).",
    ),
    "skipped in a pause": (
        {"state": State.SKIPPED, "reason": "schedules were paused by ada"},
        "Not run, skipped: schedules were paused by ada.",
    ),
    "missed": (
        {"state": State.MISSED, "reason": "noticed 3 h late"},
        "Not run, missed: noticed 3 h late.",
    ),
    "cancelled while it waited": (
        {"state": State.CANCELLED, "reason": "cancelled by ada"},
        "Not run: cancelled by ada before it started.",
    ),
    "parameters that cannot be used": (
        {"state": State.FAILED, "reason": "cannot use the parameter url"},
        "Not run: cannot use the parameter url.",
    ),
}


@pytest.mark.parametrize(("columns", "sentence"), NOT_RUN.values(), ids=NOT_RUN)
def test_a_run_that_did_not_run_says_why(columns, sentence):
    run = make_run(fire_time=NOW, **columns)

    assert sentences(run)[-1] == sentence


def test_a_skipped_run_leads_to_the_run_that_was_in_its_way():
    run = make_run(state=State.SKIPPED, fire_time=NOW, reason="the previous run (12) was still going")

    assert steps_of(run, NOW)[-1].run == 12


@pytest.mark.parametrize(("queued_at", "told"), [(None, "could not be sent"), (NOW, "no worker took it in time")])
def test_a_run_that_expired_says_how_far_it_had_come(queued_at, told):
    run = make_run(fire_time=NOW, expires_at=NOW + SECOND, state=State.QUEUED, queued_at=queued_at)

    claims.expire_waiting(NOW + 2 * SECOND)

    last = sentences(run)[-1]
    assert last.startswith("Not run: expired before a worker could start it. It could start until 2026-03-02 13:00:01")
    assert told in last


def test_a_fire_that_was_noticed_late_says_how_late():
    run = make_run(fire_time=NOW - timedelta(hours=2), state=State.SUCCEEDED, started_at=NOW)

    assert "Noticed 2 h 0 min late: no beat was running, or it was held up." in sentences(run)


def test_a_coalesced_record_says_for_how_many_it_stands():
    run = make_run(
        fire_time=NOW - timedelta(hours=2),
        covers=120,
        covers_until=NOW - SECOND,
        state=State.MISSED,
        reason="too late",
    )

    first = sentences(run)[0]
    assert first == "Due by its schedule: 120 times until 2026-03-02 12:59:59, of which this is the one record."


def test_without_a_beat_a_run_waits_for_one_then_for_the_broker_then_for_nothing():
    run = make_run(fire_time=NOW)
    assert waits(run).startswith("Waits: no beat is running")

    beat = make_service(Service.Kind.BEAT, broker_away_since=NOW - 60 * SECOND)
    assert waits(run) == (
        "Waits: the message broker has not answered since 12:59:00. It is sent when the broker is back."
    )

    Service.objects.filter(pk=beat.pk).update(broker_away_since=None)
    assert waits(run) == "Is about to be sent to a worker."

    assert waits(run, NOW + timedelta(minutes=5)).startswith("Waits: no beat is running")


def test_a_sent_run_waits_for_a_worker_that_takes_its_queue_and_has_time():
    run = make_run(state=State.QUEUED, queued_at=NOW, route={"queue": "reports"})
    assert waits(run).startswith("Waits: no worker is running")

    make_service(Service.Kind.WORKER, queues=[routing.DEFAULT_QUEUE, routing.queue_of_machine("desk")], slots=1)
    assert waits(run) == (
        "Waits: no running worker takes the queue reports. They take runs for any worker, runs for the machine desk."
    )

    taker = make_service(Service.Kind.WORKER, queues=["reports"], slots=1, broker_away_since=NOW)
    assert waits(run) == "Waits: no worker for it has reached the message broker since 13:00:00."

    Service.objects.filter(pk=taker.pk).update(broker_away_since=None)
    assert waits(run) == "Waits for a worker to take it."

    for _ in range(2):
        make_run(state=State.RUNNING)
    assert waits(run) == "Waits: all workers are busy, with 2 runs."


def test_a_run_whose_turn_has_not_come_names_the_one_before_it():
    first = make_run(exclusive_key="k")
    second = make_run(exclusive_key="k")
    assert claims.claim(first.pk, 1, worker="w", lease=SECOND, now=NOW)
    assert claims.claim(second.pk, 1, worker="w", lease=SECOND, now=NOW) is None

    second.refresh_from_db()
    last = steps_of(second, NOW)[-1]
    assert (last.sentence, last.run) == (f"Waits for its turn: waits for run {first.pk} to end.", first.pk)


def test_a_run_that_the_broker_does_not_take_says_what_it_said_and_when_it_is_tried_again():
    reason = f"{delivery.UNDELIVERED}no worker listens to the topic 'a.b'"
    run = make_run(reason=reason, dispatch_at=NOW + 30 * SECOND, expires_at=NOW + 90 * SECOND)

    assert waits(run) == f"Not delivered: {reason}. It is tried again at 13:00:30. At 13:01:30 it expires."


def test_attempts_lead_to_each_other_and_tell_the_pause_between_them():
    run = make_run(max_attempts=3)
    held = claims.claim(run.pk, 1, worker="w", lease=SECOND, now=NOW)
    Run.objects.filter(pk=run.pk).update(
        terms={"retry": {"on": ["failed"], "delay": 60, "doubles": False, "longest": 3600, "varies": False}}
    )
    held.run.refresh_from_db()
    claims.finish(held, claims.Outcome(State.FAILED, "exit code 127", 127), now=NOW)
    again = Run.objects.exclude(pk=run.pk).get()

    run.refresh_from_db()
    *_, ended, tried_again = steps_of(run, NOW)
    assert f"Exit code 127: {exit_codes.words(127)}" in ended.sentence
    assert (tried_again.sentence, tried_again.run) == (
        f"Tried again as run {again.pk}, which starts at 13:01:00.",
        again.pk,
    )
    first, *_, last = steps_of(again, NOW)
    assert (first.sentence, first.run) == (f"Attempt 2 of 3: run {run.pk} ended as failed.", run.pk)
    assert last.sentence == "Pauses before attempt 2 of 3: it is sent to a worker at 13:01:00."


def test_a_run_that_another_one_started_leads_to_it_and_back():
    parent = make_run(state=State.SUCCEEDED, schedule_name="Backup")
    follower = make_run(
        origin=Origin.CHAIN, schedule_name="Report", route={"started_by": {"run": parent.pk, "depth": 1}}
    )
    ChainedRun.objects.create(run=follower, parent_id=parent.pk, follower_id=make_task().pk)

    assert steps_of(parent, NOW)[-1].run == follower.pk
    first = steps_of(follower, NOW)[0]
    assert (first.sentence, first.run) == (f"Started because run {parent.pk} (Backup) ended.", parent.pk)


def test_a_running_run_says_when_its_worker_is_silent_and_who_told_it_to_end():
    run = make_run(state=State.RUNNING, worker="w@desk", requested_by="ada", origin=Origin.MANUAL)
    assert sentences(run) == ["ada asked for it, by hand.", "Started by the worker w@desk.", "Runs."]
    assert waits(run, NOW + timedelta(minutes=1)).startswith("Its worker has not been heard of since 13:00:30.")

    claims.cancel(run.pk, by="eve", now=NOW)
    assert sentences(run)[-2:] == ["Told to end: cancelled by eve.", "Ends as soon as the job lets it."]


def test_a_run_of_every_machine_tells_who_has_taken_it():
    run = make_run(
        fire_time=NOW,
        machine=EVERY_MACHINE,
        route={"exchange": routing.MACHINES},
        queued_at=NOW,
        expires_at=NOW + timedelta(minutes=10),
    )
    machines.join(run.pk, 1, machine="desk", now=NOW)

    assert waits(run) == "Waits for its machines: 1 have taken it, more may until 13:10:00."
    assert "Sent to the message broker, for every machine." in sentences(run)
    part = Run.objects.get(machine="desk")
    assert steps_of(part, NOW)[0].run == run.pk


@pytest.mark.parametrize(
    ("code", "said"),
    [(0, "all went well"), (127, "not found"), (137, "memory"), (143, "SIGTERM"), (150, "signal 22"), (77, "")],
)
def test_exit_codes_in_words(code, said):
    told = exit_codes.words(code)

    assert said in told
    assert bool(told) == bool(said)
