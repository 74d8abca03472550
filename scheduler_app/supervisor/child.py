"""One launch of a service: its process and the threads that listen to it.

Each thread ends with the process; what they notice is posted to the loop as a message.
"""

import contextlib
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from scheduler_app import platforms
from scheduler_app.supervisor.output import RotatingFile, Tail, copy_output
from scheduler_app.supervisor.service import INSTANCE_VARIABLE, Probe, Pulse, Service, SupervisorError
from scheduler_app.supervisor.states import Event

PROBE_INTERVAL = 0.1
PULSE_LOOKS = 6
"""So many times within the limit of a hang the pulse is looked at."""
DRAIN_LIMIT = 2.0
"""Seconds that the last output may take to arrive after the exit; a process that escaped may hold the pipe for ever."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something happened to a launch."""

    service: str
    instance: str
    """A message about an earlier launch is out of date."""
    event: Event
    detail: str = ""


class Child:
    """Begins at once and in a thread of its own, since what a service needs beforehand may take seconds."""

    def __init__(self, service: Service, log: RotatingFile, post: Callable[[Noticed], None]) -> None:
        self.instance = f"{service.name}.{secrets.token_hex(8)}"
        self.tail = Tail()
        self._service = service
        self._log = log
        self._post = post
        self._asking = threading.Event()
        self._launching = threading.Lock()
        self._tree: platforms.ProcessTree | None = None
        self._unwanted = False
        self._unusable = ""
        self._thread("life", self._live)

    @property
    def pid(self) -> int | None:
        """None before the process has begun."""
        return self._tree.pid if self._tree is not None else None

    def ask_to_stop(self) -> None:
        """Write "stop" on the lifeline: the process stops cleanly, the second time quickly."""
        tree = self._no_longer_wanted()
        if tree is not None:
            # It may have ended, which is what was asked for; its thread tells.
            with contextlib.suppress(OSError, ValueError):
                lifeline = _pipe(tree.popen.stdin)
                lifeline.write(b"stop\n")
                lifeline.flush()

    def kill(self) -> None:
        """End the whole tree, in a thread: to find all of it takes a while."""
        tree = self._no_longer_wanted()
        if tree is not None:
            self._thread("kill", tree.kill)

    def _no_longer_wanted(self) -> platforms.ProcessTree | None:
        self._asking.set()
        with self._launching:
            self._unwanted = True
            return self._tree

    def _live(self) -> None:
        try:
            self._service.prepare()
            tree = self._launch()
        except (OSError, SupervisorError) as error:
            self._notice(Event.EXITED, f"cannot be started: {error}")
            return
        if tree is None:
            self._notice(Event.EXITED, "stopped before it began")
            return
        reader = self._thread("output", copy_output, _pipe(tree.popen.stdout), self._log, self.tail)
        if self._service.probe is not None:
            self._thread("probe", self._ask_until_ready, self._service.probe)
        code = tree.popen.wait()
        self._asking.set()
        # Whatever it started and left behind holds files, ports and our pipe.
        tree.kill()
        reader.join(DRAIN_LIMIT)
        # A "stop" that nobody read may still be in the buffer.
        with contextlib.suppress(OSError):
            _pipe(tree.popen.stdin).close()
        tree.close()
        completed = code == 0 and self._service.limits.runs_once
        self._notice(Event.COMPLETED if completed else Event.EXITED, self._unusable or describe_exit(code))

    def _launch(self) -> platforms.ProcessTree | None:
        with self._launching:
            if not self._unwanted:
                self._tree = platforms.spawn(
                    self._service.argv,
                    env={**self._service.environment, INSTANCE_VARIABLE: self.instance},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
            return self._tree

    def _ask_until_ready(self, probe: Probe) -> None:
        while not self._asking.wait(PROBE_INTERVAL):
            try:
                ready = probe(self.instance)
            except OSError:
                continue  # nobody listens yet
            except SupervisorError as error:
                self._unusable = str(error)
                self.kill()
                return
            if ready:
                self._notice(Event.BECAME_READY)
                if self._service.pulse is not None:
                    self._watch(self._service.pulse, self._service.limits.hung)
                return

    def _watch(self, pulse: Pulse, limit: float) -> None:
        """Tell when there has been no sign of life for *limit* seconds."""
        interval = limit / PULSE_LOOKS
        last: object = None
        alive_at = looked_at = time.monotonic()
        while not self._asking.wait(interval):
            now = time.monotonic()
            try:
                current = pulse()
            except OSError:
                current = last
            # Where nobody looked for long, this machine slept, and the service with it.
            slept = now - looked_at > 2 * interval
            looked_at = time.monotonic()
            if current != last or slept:
                last, alive_at = current, looked_at
            elif looked_at - alive_at >= limit:
                self._notice(Event.HUNG, f"no sign of life for {limit:g} s")
                return

    def _notice(self, event: Event, detail: str = "") -> None:
        self._post(Noticed(self._service.name, self.instance, event, detail))

    def _thread(self, role: str, target: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, name=f"{self._service.name} {role}", daemon=True)
        thread.start()
        return thread


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101  # it was asked for when the process was started
    return stream


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    return f"ended by {_signal_name(-code)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
