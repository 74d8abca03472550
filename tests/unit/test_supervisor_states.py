"""The life of one service: every pair of state and event, and the limits that move it on."""

import pytest

from scheduler_app.supervisor.states import (
    CRASH_LOOP,
    TABLE,
    Action,
    Event,
    Limits,
    Machine,
    Moment,
    RefusedError,
    State,
    accepts,
    step,
)

LIMITS = Limits(ready=30, stop=10, insist=5, kill=4, healthy=60, backoff_first=1, backoff_cap=8, failed_retry=100)
NOW = 1000.0

S, E = State, Event

# One line a state; what every event makes of it: (next state, action); what is not there is refused.
EXPECTED: dict[State, dict[Event, tuple[State, Action | None]]] = {
    S.STOPPED: {E.START: (S.WAITING, None), E.RESTART: (S.WAITING, None)},
    S.WAITING: {E.NEEDS_MET: (S.STARTING, Action.LAUNCH), E.STOP: (S.STOPPED, None)},
    S.STARTING: {
        E.BECAME_READY: (S.READY, None),
        E.COMPLETED: (S.DONE, None),
        E.EXITED: (S.BACKOFF, None),
        E.TIME_UP: (S.STOPPING, Action.ASK_TO_STOP),
        E.STOP: (S.STOPPING, Action.ASK_TO_STOP),
        E.RESTART: (S.STOPPING, Action.ASK_TO_STOP),
    },
    S.READY: {
        E.TIME_UP: (S.READY, None),
        E.EXITED: (S.BACKOFF, None),
        E.HUNG: (S.STOPPING, Action.ASK_TO_STOP),
        E.STOP: (S.STOPPING, Action.ASK_TO_STOP),
        E.RESTART: (S.STOPPING, Action.ASK_TO_STOP),
    },
    S.DONE: {E.START: (S.WAITING, None), E.RESTART: (S.WAITING, None)},
    S.STOPPING: {
        E.BECAME_READY: (S.STOPPING, None),
        E.HUNG: (S.STOPPING, None),
        E.COMPLETED: (S.STOPPED, None),
        E.EXITED: (S.STOPPED, None),
        E.STOP: (S.STOPPING, None),
        E.START: (S.STOPPING, None),
        E.RESTART: (S.STOPPING, None),
        E.TIME_UP: (S.INSISTING, Action.ASK_TO_STOP),
        E.HURRY: (S.INSISTING, Action.ASK_TO_STOP),
    },
    S.INSISTING: {
        E.BECAME_READY: (S.INSISTING, None),
        E.HUNG: (S.INSISTING, None),
        E.COMPLETED: (S.STOPPED, None),
        E.EXITED: (S.STOPPED, None),
        E.STOP: (S.INSISTING, None),
        E.START: (S.INSISTING, None),
        E.RESTART: (S.INSISTING, None),
        E.TIME_UP: (S.KILLING, Action.KILL),
        E.HURRY: (S.KILLING, Action.KILL),
    },
    S.KILLING: {
        E.BECAME_READY: (S.KILLING, None),
        E.HUNG: (S.KILLING, None),
        E.COMPLETED: (S.STOPPED, None),
        E.EXITED: (S.STOPPED, None),
        E.STOP: (S.KILLING, None),
        E.START: (S.KILLING, None),
        E.RESTART: (S.KILLING, None),
        E.TIME_UP: (S.FAILED, None),
    },
    S.BACKOFF: {
        E.TIME_UP: (S.STARTING, Action.LAUNCH),
        E.START: (S.STARTING, Action.LAUNCH),
        E.RESTART: (S.STARTING, Action.LAUNCH),
        E.STOP: (S.STOPPED, None),
    },
    S.FAILED: {
        E.TIME_UP: (S.STARTING, Action.LAUNCH),
        E.START: (S.WAITING, None),
        E.RESTART: (S.WAITING, None),
        E.STOP: (S.STOPPED, None),
    },
}


def after(machine, *events, limits=LIMITS, now=NOW, chance=0.5, detail=""):
    for event in events:
        machine, _ = step(machine, event, Moment(now, limits, chance, detail))
    return machine


@pytest.mark.parametrize("state", State, ids=str)
@pytest.mark.parametrize("event", Event, ids=str)
def test_every_pair_of_state_and_event_does_what_the_table_of_expectations_says(state, event):
    expected = EXPECTED[state].get(event)
    if expected is None:
        assert not accepts(state, event)
        with pytest.raises(RefusedError) as refusal:
            step(Machine(state), event, Moment(NOW, LIMITS))
        assert str(refusal.value) == f"cannot {event} in state {state}"
        return
    machine, action = step(Machine(state), event, Moment(NOW, LIMITS))
    assert (machine.state, action) == expected


def test_the_expectations_cover_the_whole_table():
    assert {(state, event) for state, events in EXPECTED.items() for event in events} == set(TABLE)


@pytest.mark.parametrize(
    ("state", "events", "seconds"),
    [
        pytest.param(S.WAITING, [E.NEEDS_MET], 30, id="starting lasts until the service must be ready"),
        pytest.param(S.READY, [E.STOP], 10, id="a clean stop has the service's own limit"),
        pytest.param(S.READY, [E.STOP, E.TIME_UP], 5, id="the second request has the short limit"),
        pytest.param(S.READY, [E.STOP, E.TIME_UP, E.TIME_UP], 4, id="the kill has the kill limit"),
        pytest.param(S.STARTING, [E.TIME_UP], 5, id="what was never ready gets the short limit"),
        pytest.param(S.READY, [E.HUNG], 5, id="what hangs gets the short limit"),
    ],
)
def test_a_state_lasts_as_long_as_its_limit(state, events, seconds):
    assert after(Machine(state), *events).deadline == NOW + seconds


@pytest.mark.parametrize(
    ("failures", "delay"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (10_000, 8.0)], ids=str
)
def test_back_off_doubles_up_to_its_cap(failures, delay):
    assert LIMITS.backoff(failures, chance=0.5) == delay


def test_chance_spreads_the_back_off_over_a_quarter_each_way():
    assert (LIMITS.backoff(1, 0.0), LIMITS.backoff(1, 1.0)) == (0.75, 1.25)


def test_failures_in_a_row_are_a_crash_loop_that_says_so():
    machine = Machine(S.STARTING)
    for _ in range(CRASH_LOOP - 1):
        machine = after(machine, E.EXITED, E.TIME_UP, detail="exited with code 3")
    assert machine.state is S.STARTING
    machine = after(machine, E.EXITED, detail="exited with code 3")
    assert machine.state is S.FAILED
    assert machine.reason == "crash loop: 5 failures in a row, the last: exited with code 3"


def test_a_crash_loop_is_tried_again_now_and_then():
    looping = after(Machine(S.STARTING, failures=CRASH_LOOP - 1), E.EXITED)
    assert looping.deadline == NOW + 100
    assert after(looping, E.TIME_UP, E.EXITED).state is S.FAILED


def test_a_healthy_time_sets_the_failures_back():
    machine = after(Machine(S.STARTING, failures=3), E.BECAME_READY)
    assert machine.deadline == NOW + 60
    machine = after(machine, E.TIME_UP)
    assert (machine.state, machine.failures, machine.deadline) == (S.READY, 0, None)


def test_ready_without_healthy_time_does_not_set_the_failures_back():
    machine = after(Machine(S.STARTING, failures=CRASH_LOOP - 1), E.BECAME_READY, E.EXITED)
    assert machine.state is S.FAILED


def test_a_task_that_runs_once_is_not_tried_again():
    machine = after(Machine(S.STARTING), E.EXITED, limits=Limits(runs_once=True), detail="exited with code 1")
    assert (machine.state, machine.deadline, machine.reason) == (S.FAILED, None, "exited with code 1")


def test_what_is_not_ready_in_time_is_a_failure_with_that_reason_once_it_has_ended():
    machine = after(Machine(S.STARTING), E.TIME_UP, E.EXITED, detail="ended by SIGTERM")
    assert (machine.state, machine.failures, machine.reason) == (S.BACKOFF, 1, "not ready within 30 s")


def test_a_restart_starts_again_after_the_exit_and_is_no_failure():
    machine, action = step(after(Machine(S.READY), E.RESTART), E.EXITED, Moment(NOW, LIMITS))
    assert (machine.state, action, machine.failures, machine.restarts) == (S.STARTING, Action.LAUNCH, 0, 0)


def test_a_stop_during_a_restart_wins():
    assert after(Machine(S.READY), E.RESTART, E.STOP, E.EXITED).state is S.STOPPED


def test_a_start_during_a_stop_starts_again_after_the_exit():
    assert after(Machine(S.READY), E.STOP, E.START, E.EXITED).state is S.STARTING


def test_only_launches_that_nobody_asked_for_count_as_restarts():
    asked = after(Machine(S.BACKOFF), E.START)
    unasked = after(Machine(S.BACKOFF), E.TIME_UP)
    assert (asked.restarts, unasked.restarts) == (0, 1)


def test_what_cannot_be_killed_is_named():
    machine = after(Machine(S.KILLING), E.TIME_UP)
    assert machine.reason == "its process is still there 4 s after it was killed"
    assert machine.deadline is None


def test_a_service_that_hangs_is_started_anew_and_counts_as_failed():
    machine = after(Machine(S.READY), E.HUNG, detail="no sign of life for 60 s")
    assert machine.reason == "no sign of life for 60 s"

    machine = after(machine, E.EXITED, detail="ended by SIGKILL")

    assert (machine.state, machine.failures, machine.reason) == (S.BACKOFF, 1, "no sign of life for 60 s")
