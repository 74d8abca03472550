"""Simulated processes: activities that can be paused wherever another process could come in between, and killed.

An activity is a call of the product's code in a greenlet with a database connection of its own. It stops at the edges
of its transactions (SQLite lets nobody write within one) and goes on when the simulation says so.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import connections
from greenlet import getcurrent, greenlet

from tests.simulation.database import SimulatedCrash

WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class Activity:
    """One call, such as `record_due(now)`, on its way."""

    def __init__(self, slot: "Slot", what: str, now: datetime, action: Callable[[], Any], crash_in: int | None) -> None:
        self.slot = slot
        # What a worker has not acknowledged yet.
        self.message: tuple[int, int] | None = None
        self.what = what
        self.now = now
        self.crash_in = crash_in
        # The runs that a dispatcher has taken.
        self.sending: list[int] = []
        # All that it has been told the time is.
        self.told = [now]
        self.pauses = 0
        self.dead = False
        self.crashed = False
        self.result: Any = None
        self._action = action
        self._greenlet = greenlet(self._run)

    def __str__(self) -> str:
        return f"{self.slot.name} {self.what}"

    @property
    def moments(self) -> list[datetime]:
        """Return what may be "now" to it: what it was given, or when it looked at the clock itself."""
        return [self.now] if self.what == "record" else self.told

    @property
    def over(self) -> bool:
        return self._greenlet.dead

    @property
    def is_current(self) -> bool:
        return getcurrent() is self._greenlet

    def go_on(self) -> None:
        connections["default"] = self.slot.connection
        self._greenlet.switch()

    def kill(self) -> None:
        """End it where it stands; nothing it would still do to the database happens."""
        self.dead = True
        connections["default"] = self.slot.connection
        if self._greenlet:
            self._greenlet.throw(SimulatedCrash())

    def pause(self) -> None:
        self.pauses += 1
        self._greenlet.parent.switch()

    def count_down(self) -> None:
        """Die here, if this is the call to die at; a process that is dead makes no calls."""
        if self.dead:
            raise SimulatedCrash
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in <= 0:
                self.dead = True
                raise SimulatedCrash

    def _run(self) -> None:
        try:
            self.result = self._action()
        except SimulatedCrash:
            self.crashed = True


class Slot:
    """A thread of a process: one database connection, one activity at a time."""

    def __init__(self, name: str, world: Any) -> None:
        self.name = name
        self.activity: Activity | None = None
        self._world = world
        self._wrote = False
        self.connection = world.database.connect(self, world.time)

    @property
    def idle(self) -> bool:
        return self.activity is None

    @property
    def running(self) -> bool:
        return self.activity is not None and self.activity.is_current

    def restart(self) -> None:
        """Give up what is not committed, as the end of a process does, and have a connection for the next one."""
        if self.activity is not None:
            self.activity.kill()
            self.activity = None
        self._wrote = False
        if self.connection.is_like_new:
            return
        self.connection.close()
        self.connection = self._world.database.connect(self, self._world.time)

    def close(self) -> None:
        if self.activity is not None:
            self.activity.kill()
        self.connection.close()

    # What the connection tells; see Database.connect.

    def call(self, execute, sql, params, many, context):
        activity = self.activity
        outside = not self.connection.in_atomic_block
        if activity is None or not activity.is_current:
            return execute(sql, params, many, context)
        if outside:
            self.tell(activity)
            self._world.may_pause(activity)
        activity.count_down()
        result = execute(sql, params, many, context)
        if sql.startswith(WRITES):
            # Without a transaction, what INSERT … RETURNING does is done when its row has been fetched: told later.
            self._wrote = True
        return result

    def before_commit(self) -> None:
        if self.activity is not None:
            self.activity.count_down()

    def committed(self) -> None:
        if self.activity is not None:
            self.tell(self.activity)
            self._world.may_pause(self.activity)

    def tell(self, activity: Activity) -> None:
        """Let the observer see what *activity* has committed since it was last told."""
        if self._wrote:
            self._wrote = False
            self._world.observer.observe(activity)


class Process:
    """What is killed as a whole."""

    def __init__(self, name: str, world: Any, *threads: str) -> None:
        self.name = name
        self.slots = {thread: Slot(f"{name}.{thread}", world) for thread in threads}

    def restart(self) -> None:
        for slot in self.slots.values():
            slot.restart()
