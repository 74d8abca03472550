"""One service under supervision: its machine, its current process, and what people are told about it."""

from dataclasses import dataclass

from scheduler_app.supervisor.child import Child
from scheduler_app.supervisor.output import RotatingFile
from scheduler_app.supervisor.service import Service
from scheduler_app.supervisor.states import ENDED, Machine, State


@dataclass(slots=True)
class Unit:
    service: Service
    log: RotatingFile
    machine: Machine
    since: float
    """When the state began, epoch seconds."""
    child: Child | None = None
    launched_as: Service | None = None
    """The description that the current or last process was started from."""
    was_ready: bool = False
    """Ever, under this supervisor."""
    last_lines: tuple[str, ...] = ()
    """What the last failed launch printed at its end."""

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def state(self) -> State:
        return self.machine.state

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def is_outdated(self) -> bool:
        """Whether a process runs that was started from another description than the present one."""
        return not self.has_ended and self.launched_as is not None and self.launched_as is not self.service

    def needs_are_met_by(self, units: "dict[str, Unit]") -> bool:
        return all(units[name].state in (State.READY, State.DONE) for name in self.service.needs)

    def failure(self) -> str:
        """Return one sentence and the last lines for a service that is not as it should be."""
        sentence = f"{self.name}: {self.machine.reason or self.state}"
        if not self.last_lines:
            return sentence
        return "\n".join([f"{sentence}; its last lines:", *(f"    {line}" for line in self.last_lines)])
