"""What the supervisor tells the command line and the tray: a plain dict, made from the units in the loop's thread."""

from collections.abc import Iterable, Mapping
from typing import Any

from scheduler_app.supervisor.service import BrokerInUse
from scheduler_app.supervisor.states import State
from scheduler_app.supervisor.unit import Unit

_WORDS: dict[State, str] = {
    State.WAITING: "starting",
    State.STARTING: "starting",
    State.READY: "running",
    State.DONE: "running",
    State.FAILED: "failing",
}
"""What a state says about the whole; every other one means that something is away: degraded."""


def overall(units: Iterable[Unit], *, stopping: bool) -> str:
    """Return one word: stopping, failing, starting, degraded or running."""
    if stopping:
        return "stopping"
    words = {_word(unit) for unit in units}
    return next((word for word in ("failing", "starting", "degraded") if word in words), "running")


def snapshot(
    units: Iterable[Unit], broker: BrokerInUse, about: Mapping[str, Any], *, stopping: bool, problem: str
) -> dict[str, Any]:
    """Return *about* (url, version, data_folder, database, pid) with the state of everything, ready for JSON."""
    units = list(units)
    return {
        **about,
        "state": overall(units, stopping=stopping),
        "problem": problem,
        "broker": {"kind": broker.kind, "reason": broker.reason},
        "services": [_service(unit) for unit in units],
    }


def _word(unit: Unit) -> str:
    word = _WORDS.get(unit.state, "degraded")
    # A service that comes back is not a start of the whole.
    return "degraded" if word == "starting" and unit.was_ready else word


def _service(unit: Unit) -> dict[str, Any]:
    return {
        "name": unit.name,
        "step": unit.service.step,
        "state": str(unit.state),
        "pid": unit.child.pid if unit.child is not None else None,
        "since": unit.since,
        "restarts": unit.machine.restarts,
        "reason": unit.machine.reason,
        "last_lines": list(unit.last_lines) if unit.machine.reason else [],
    }
