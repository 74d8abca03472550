"""The one thread that decides: messages come in through a queue, actions on processes go out.

Whoever else wants something (a thread that watches a process, the control channel, a signal) posts a message, so
nothing here needs a lock.
"""

import contextlib
import queue
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scheduler_app.supervisor.child import Child, Noticed
from scheduler_app.supervisor.output import RotatingFile
from scheduler_app.supervisor.service import Service, ServiceSet, SupervisorError
from scheduler_app.supervisor.snapshot import snapshot
from scheduler_app.supervisor.states import (
    BEING_STOPPED,
    Action,
    Event,
    Machine,
    Moment,
    RefusedError,
    State,
    accepts,
    step,
)
from scheduler_app.supervisor.unit import Unit

BROKER = "broker"
"""Name of the service whose failure to start can be answered with another kind of broker."""
FALL_BACK_AFTER = 3
"""Failed launches of a private broker that was never ready. One may be the port that a node just killed still holds."""
SIGNAL_CHECK = 1.0
"""Longest wait: on Windows a signal's handler runs only when the main thread comes back from the queue."""
ANSWER_LIMIT = 10.0

Verb = Literal["start", "stop", "restart"]
_EVENTS: dict[str, Event] = {"start": Event.START, "stop": Event.STOP, "restart": Event.RESTART}


@dataclass(frozen=True, slots=True)
class _Command:
    """A question or an order from another thread, with the place for its answer."""

    verb: str
    service: str
    answer: "queue.SimpleQueue[dict[str, Any] | SupervisorError]"


@dataclass(frozen=True, slots=True)
class _Shutdown:
    reason: str


class Supervisor:
    def __init__(
        self,
        services: ServiceSet,
        *,
        open_log: Callable[[str], RotatingFile],
        about: Mapping[str, Any],
        on_stop: Callable[[str], None] = lambda _reason: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """*open_log* gives the file for a service's name; *about* is what every snapshot says unchanged.

        *on_stop* is called in the loop's thread each time a stop is asked for.
        """
        # A SimpleQueue, because a signal's handler posts from inside the thread that waits on it.
        self._messages: queue.SimpleQueue[Noticed | _Command | _Shutdown] = queue.SimpleQueue()
        self._set = services
        self._open_log = open_log
        self._journal = open_log("supervisor")
        self._about = about
        self._on_stop = on_stop
        self._chance = chance
        self._units = {service.name: self._unit(service) for service in services.services}
        self._stopping = False
        self._hurried = False
        self.problem = ""
        """Why the supervisor gave up; empty when it was asked to stop."""

    def run(self) -> None:
        """Start everything, watch over it, and return when all of it has ended after a stop."""
        for unit in self._units.values():
            self._apply(unit, Event.START)
        self._advance()
        while not (self._stopping and all(unit.has_ended for unit in self._units.values())):
            with contextlib.suppress(queue.Empty):
                self._handle(self._messages.get(timeout=self._until_next_deadline()))
            self._expire()
            self._advance()
        self._write("everything has ended")
        for unit in self._units.values():
            unit.log.close()
        self._journal.close()

    def request_stop(self, reason: str) -> None:
        """Ask for a clean stop of everything; again: do not wait as long. For signal handlers and any thread."""
        self._messages.put(_Shutdown(reason))

    def snapshot(self) -> dict[str, Any]:
        """Return the state of everything. For any thread but the loop's."""
        return self._ask("status", "")

    def command(self, verb: Verb, service: str) -> None:
        """Start, stop or restart one service; raise SupervisorError when that cannot be done now. For any thread."""
        self._ask(verb, service)

    def _ask(self, verb: str, service: str) -> dict[str, Any]:
        answer: queue.SimpleQueue[dict[str, Any] | SupervisorError] = queue.SimpleQueue()
        self._messages.put(_Command(verb, service, answer))
        try:
            result = answer.get(timeout=ANSWER_LIMIT)
        except queue.Empty:
            raise SupervisorError("cannot answer: the supervisor has ended or is stuck") from None
        if isinstance(result, SupervisorError):
            raise result
        return result

    def _unit(self, service: Service) -> Unit:
        return Unit(service=service, log=self._open_log(service.name), machine=Machine(), since=time.time())

    def _until_next_deadline(self) -> float:
        deadlines = [unit.machine.deadline for unit in self._units.values() if unit.machine.deadline is not None]
        return max(0.0, min(SIGNAL_CHECK, min(deadlines, default=float("inf")) - time.monotonic()))

    def _handle(self, message: Noticed | _Command | _Shutdown) -> None:
        match message:
            case Noticed():
                self._notice(message)
            case _Command():
                message.answer.put(self._answer(message))
            case _Shutdown(reason):
                self._shut_down(reason)

    def _notice(self, message: Noticed) -> None:
        unit = self._units.get(message.service)
        if unit is None or unit.child is None or unit.child.instance != message.instance:
            return
        if message.event in (Event.EXITED, Event.COMPLETED):
            # Kept until the next failure: a person asks for it when the service is already up again.
            unit.last_lines = unit.child.tail.lines()
            unit.child = None
        self._apply(unit, message.event, message.detail)

    def _answer(self, command: _Command) -> dict[str, Any] | SupervisorError:
        if command.verb == "status":
            return snapshot(
                self._units.values(), self._set.broker, self._about, stopping=self._stopping, problem=self.problem
            )
        unit = self._units.get(command.service)
        if unit is None:
            known = ", ".join(self._units)
            return SupervisorError(f"cannot {command.verb} {command.service!r}: the services here are {known}")
        if self._stopping:
            return SupervisorError(f"cannot {command.verb} {command.service}: everything is being stopped")
        event = _EVENTS[command.verb]
        if not accepts(unit.state, event):
            return SupervisorError(f"cannot {command.verb} {command.service}: it is {unit.state}")
        self._write(f"{command.service}: asked to {command.verb}")
        self._apply(unit, event)
        return {}

    def _shut_down(self, reason: str) -> None:
        self._hurried = self._stopping
        self._write(f"stop: {reason}{', again: hurry' if self._hurried else ''}")
        self._stopping = True
        self._on_stop(reason)
        for unit in self._units.values():
            if self._hurried and accepts(unit.state, Event.HURRY):
                self._apply(unit, Event.HURRY)

    def _expire(self) -> None:
        now = time.monotonic()
        for unit in self._units.values():
            if unit.machine.deadline is not None and unit.machine.deadline <= now:
                self._apply(unit, Event.TIME_UP)

    def _advance(self) -> None:
        """Do what the states of other services allow now."""
        if self._stopping:
            self._stop_what_nothing_needs()
            return
        for unit in self._units.values():
            if unit.state is State.WAITING and unit.needs_are_met_by(self._units):
                self._apply(unit, Event.NEEDS_MET)
        self._give_up_when_a_task_failed()
        self._fall_back_when_the_broker_does_not_start()
        self._remove_what_is_not_used()

    def _stop_what_nothing_needs(self) -> None:
        for unit in reversed(self._units.values()):
            users = (other for other in self._units.values() if unit.name in other.service.needs | other.service.uses)
            if self._hurried or unit.has_ended or all(other.has_ended for other in users):
                self._stop(unit)

    def _stop(self, unit: Unit) -> None:
        # A service that is being stopped in order to be started again has to forget that start.
        is_stopping_already = unit.state in BEING_STOPPED and unit.machine.then is State.STOPPED
        if accepts(unit.state, Event.STOP) and not is_stopping_already:
            self._apply(unit, Event.STOP)

    def _give_up_when_a_task_failed(self) -> None:
        for unit in self._units.values():
            if unit.service.limits.runs_once and unit.state is State.FAILED:
                self.problem = unit.failure()
                self._shut_down(unit.machine.reason)
                return

    def _fall_back_when_the_broker_does_not_start(self) -> None:
        broker = self._units.get(BROKER)
        if broker is None or broker.was_ready or self._set.without is None:
            return
        too_slow = broker.state in BEING_STOPPED and broker.machine.then is State.BACKOFF
        if broker.machine.failures < FALL_BACK_AFTER and not too_slow:
            return
        self._set = self._set.without(broker.machine.reason)
        self._write(f"broker: {self._set.broker.reason}")
        remaining = {service.name: service for service in self._set.services}
        for unit in self._units.values():
            unit.service = remaining.get(unit.name, unit.service)
            if unit.is_outdated and not unit.service.limits.runs_once:
                self._apply(unit, Event.RESTART)

    def _remove_what_is_not_used(self) -> None:
        used = {service.name for service in self._set.services}
        for unit in [unit for unit in self._units.values() if unit.name not in used]:
            self._stop(unit)
            if unit.has_ended:
                unit.log.close()
                del self._units[unit.name]

    def _apply(self, unit: Unit, event: Event, detail: str = "") -> None:
        moment = Moment(time.monotonic(), unit.service.limits, self._chance(), detail)
        before = unit.machine
        try:
            unit.machine, action = step(before, event, moment)
        except RefusedError as refusal:
            self._write(f"{unit.name}: {refusal}; nothing was done")
            return
        if unit.machine.state is not before.state:
            unit.since = time.time()
            unit.was_ready = unit.was_ready or unit.state in (State.READY, State.DONE)
            because = f" ({unit.machine.reason})" if unit.machine.reason else ""
            process = f" [process {unit.child.pid}]" if unit.child is not None and unit.child.pid else ""
            self._write(f"{unit.name}: {before.state} → {unit.state}{because}{process}")
        match action:
            case Action.LAUNCH:
                self._launch(unit)
            case Action.ASK_TO_STOP if unit.child is not None:
                unit.child.ask_to_stop()
            case Action.KILL if unit.child is not None:
                unit.child.kill()

    def _launch(self, unit: Unit) -> None:
        unit.launched_as = unit.service
        unit.child = Child(unit.service, unit.log, self._messages.put)

    def _write(self, line: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        self._journal.write(f"{stamp} {line}\n".encode())
