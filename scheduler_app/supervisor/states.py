"""The life of one service as a table of named states and events.

Pure: times and chance come in, a new machine and at most one action come out. An event that a state does not
expect is refused. The loop (loop.py) owns the machines and carries the actions out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

CRASH_LOOP = 5
"""Failures in a row, none followed by a healthy time, that are called a crash loop."""


class State(StrEnum):
    STOPPED = "stopped"
    WAITING = "waiting"  # is to start when what it needs is ready
    STARTING = "starting"
    READY = "ready"
    DONE = "done"  # a task that runs once has ended well
    STOPPING = "stopping"  # was asked to stop
    INSISTING = "insisting"  # was asked a second time
    KILLING = "killing"
    BACKOFF = "backoff"  # ended on its own, will be started again
    FAILED = "failed"  # a crash loop, or a task that runs once and failed


class Event(StrEnum):
    START = "start"
    NEEDS_MET = "needs met"
    BECAME_READY = "became ready"
    COMPLETED = "completed"  # a task that runs once exited with 0
    EXITED = "exited"
    HUNG = "hang"  # gives no sign of life any more
    STOP = "stop"
    RESTART = "restart"
    HURRY = "hurry"  # do not wait any longer for a clean stop
    TIME_UP = "time up"  # the machine's deadline has passed


class Action(StrEnum):
    LAUNCH = "launch"
    ASK_TO_STOP = "ask to stop"
    KILL = "kill"


class RefusedError(Exception):
    """The service's state does not expect this event."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"cannot {event} in state {state}")
        self.state = state
        self.event = event


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a state may last, and how restarts are spaced."""

    ready: float = 30.0
    hung: float = 60.0
    """Without a sign of life; longer than a full disk, a swapping machine or a debugger's prompt takes to answer."""
    stop: float = 10.0
    insist: float = 5.0
    kill: float = 5.0
    healthy: float = 30.0
    backoff_first: float = 0.5
    backoff_cap: float = 30.0
    failed_retry: float | None = 60.0
    runs_once: bool = False

    def backoff(self, failures: int, chance: float) -> float:
        """Return the delay after *failures* in a row; *chance* in [0, 1) spreads it over 75 to 125 %."""
        # Services that failed for one reason must not come back in step and fail each other again.
        doubled = self.backoff_first * 2.0 ** min(failures - 1, 30)
        return min(doubled, self.backoff_cap) * (0.75 + chance / 2)


@dataclass(frozen=True, slots=True)
class Machine:
    state: State = State.STOPPED
    deadline: float | None = None
    failures: int = 0
    """In a row; a healthy time sets it back."""
    restarts: int = 0
    """Launches that nobody asked for, ever; people read it."""
    then: State = State.STOPPED
    """What follows the exit of a process that is being stopped: STOPPED, STARTING or BACKOFF."""
    reason: str = ""
    """Why the service is not ready though it should be."""


@dataclass(frozen=True, slots=True)
class Moment:
    now: float
    limits: Limits
    chance: float = 0.5
    detail: str = ""
    """What is known about the event, for *reason*: "exited with code 3"."""


Step = tuple[Machine, Action | None]


def step(machine: Machine, event: Event, moment: Moment) -> Step:
    """Return the machine after *event* and what is to be done; raise RefusedError for a pair not in the table."""
    transition = TABLE.get((machine.state, event))
    if transition is None:
        raise RefusedError(machine.state, event)
    return transition(machine, moment)


def accepts(state: State, event: Event) -> bool:
    return (state, event) in TABLE


def _wait(machine: Machine, _: Moment) -> Step:
    return replace(machine, state=State.WAITING, deadline=None, failures=0, reason=""), None


def _launch(machine: Machine, moment: Moment) -> Step:
    deadline = moment.now + moment.limits.ready
    return replace(machine, state=State.STARTING, deadline=deadline, then=State.STOPPED, reason=""), Action.LAUNCH


def _relaunch(machine: Machine, moment: Moment) -> Step:
    return _launch(replace(machine, restarts=machine.restarts + 1), moment)


def _ready(machine: Machine, moment: Moment) -> Step:
    deadline = moment.now + moment.limits.healthy if machine.failures else None
    return replace(machine, state=State.READY, deadline=deadline), None


def _healthy(machine: Machine, _: Moment) -> Step:
    return replace(machine, deadline=None, failures=0), None


def _done(machine: Machine, _: Moment) -> Step:
    return replace(machine, state=State.DONE, deadline=None, failures=0), None


def _fail(machine: Machine, moment: Moment) -> Step:
    limits, failures = moment.limits, machine.failures + 1
    failed = replace(machine, failures=failures, then=State.STOPPED, reason=machine.reason or moment.detail)
    if limits.runs_once:
        return replace(failed, state=State.FAILED, deadline=None), None
    if failures >= CRASH_LOOP:
        # Still tried, but rarely: what it needs (a disk, a database) may come back while nobody looks.
        retry = None if limits.failed_retry is None else moment.now + limits.failed_retry
        reason = f"crash loop: {failures} failures in a row, the last: {failed.reason}"
        return replace(failed, state=State.FAILED, deadline=retry, reason=reason), None
    deadline = moment.now + limits.backoff(failures, moment.chance)
    return replace(failed, state=State.BACKOFF, deadline=deadline), None


def _not_ready_in_time(machine: Machine, moment: Moment) -> Step:
    # Nothing was entrusted to a service that was never ready, so it gets the short limit.
    return _give_up(machine, moment, f"not ready within {moment.limits.ready:g} s")


def _hung(machine: Machine, moment: Moment) -> Step:
    # It will hardly hear the request; what it was doing is healed as after a crash.
    return _give_up(machine, moment, moment.detail)


def _give_up(machine: Machine, moment: Moment, reason: str) -> Step:
    deadline = moment.now + moment.limits.insist
    stopping = replace(machine, state=State.STOPPING, deadline=deadline, then=State.BACKOFF, reason=reason)
    return stopping, Action.ASK_TO_STOP


def _ask_to_stop(then: State) -> Callable[[Machine, Moment], Step]:
    def transition(machine: Machine, moment: Moment) -> Step:
        deadline = moment.now + moment.limits.stop
        stopping = replace(machine, state=State.STOPPING, deadline=deadline, then=then, failures=0, reason="")
        return stopping, Action.ASK_TO_STOP

    return transition


def _insist(machine: Machine, moment: Moment) -> Step:
    return replace(machine, state=State.INSISTING, deadline=moment.now + moment.limits.insist), Action.ASK_TO_STOP


def _kill(machine: Machine, moment: Moment) -> Step:
    return replace(machine, state=State.KILLING, deadline=moment.now + moment.limits.kill), Action.KILL


def _cannot_kill(machine: Machine, moment: Moment) -> Step:
    reason = f"its process is still there {moment.limits.kill:g} s after it was killed"
    return replace(machine, state=State.FAILED, deadline=None, then=State.STOPPED, reason=reason), None


def _decide_what_follows(then: State) -> Callable[[Machine, Moment], Step]:
    def transition(machine: Machine, _: Moment) -> Step:
        return replace(machine, then=then), None

    return transition


def _ended(machine: Machine, moment: Moment) -> Step:
    if machine.then is State.STARTING:
        return _launch(machine, moment)
    if machine.then is State.BACKOFF:
        return _fail(machine, moment)
    return _stopped(machine, moment)


def _stopped(machine: Machine, _: Moment) -> Step:
    return replace(machine, state=State.STOPPED, deadline=None, failures=0, reason=""), None


def _nothing(machine: Machine, _: Moment) -> Step:
    return machine, None


_WHILE_BEING_STOPPED: dict[Event, Callable[[Machine, Moment], Step]] = {
    # The probe's answer may have been on its way when the stop was asked for.
    Event.BECAME_READY: _nothing,
    Event.HUNG: _nothing,
    Event.COMPLETED: _ended,
    Event.EXITED: _ended,
    Event.STOP: _decide_what_follows(State.STOPPED),
    Event.START: _decide_what_follows(State.STARTING),
    Event.RESTART: _decide_what_follows(State.STARTING),
}

TABLE: dict[tuple[State, Event], Callable[[Machine, Moment], Step]] = {
    (State.STOPPED, Event.START): _wait,
    (State.STOPPED, Event.RESTART): _wait,
    (State.WAITING, Event.NEEDS_MET): _launch,
    (State.WAITING, Event.STOP): _stopped,
    (State.STARTING, Event.BECAME_READY): _ready,
    (State.STARTING, Event.COMPLETED): _done,
    (State.STARTING, Event.EXITED): _fail,
    (State.STARTING, Event.TIME_UP): _not_ready_in_time,
    (State.STARTING, Event.STOP): _ask_to_stop(State.STOPPED),
    (State.STARTING, Event.RESTART): _ask_to_stop(State.STARTING),
    (State.READY, Event.TIME_UP): _healthy,
    (State.READY, Event.EXITED): _fail,
    (State.READY, Event.HUNG): _hung,
    (State.READY, Event.STOP): _ask_to_stop(State.STOPPED),
    (State.READY, Event.RESTART): _ask_to_stop(State.STARTING),
    (State.DONE, Event.START): _wait,
    (State.DONE, Event.RESTART): _wait,
    **{(State.STOPPING, event): transition for event, transition in _WHILE_BEING_STOPPED.items()},
    (State.STOPPING, Event.TIME_UP): _insist,
    (State.STOPPING, Event.HURRY): _insist,
    **{(State.INSISTING, event): transition for event, transition in _WHILE_BEING_STOPPED.items()},
    (State.INSISTING, Event.TIME_UP): _kill,
    (State.INSISTING, Event.HURRY): _kill,
    **{(State.KILLING, event): transition for event, transition in _WHILE_BEING_STOPPED.items()},
    (State.KILLING, Event.TIME_UP): _cannot_kill,
    (State.BACKOFF, Event.TIME_UP): _relaunch,
    (State.BACKOFF, Event.START): _launch,
    (State.BACKOFF, Event.RESTART): _launch,
    (State.BACKOFF, Event.STOP): _stopped,
    (State.FAILED, Event.TIME_UP): _relaunch,
    (State.FAILED, Event.START): _wait,
    (State.FAILED, Event.RESTART): _wait,
    (State.FAILED, Event.STOP): _stopped,
}

ENDED = frozenset({State.STOPPED, State.WAITING, State.DONE, State.BACKOFF, State.FAILED})
"""States in which the service has no process."""

BEING_STOPPED = frozenset({State.STOPPING, State.INSISTING, State.KILLING})
