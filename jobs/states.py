"""The states of a run and the moves between them that are allowed."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    MISSED = "missed"

    @property
    def label(self) -> str:
        return self.value.replace("_", " ").capitalize()


TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        # A worker may hold the message before beat has marked the run queued, hence pending → running.
        # A run of every machine has its parts run, not itself: it ends, well or badly, as they do.
        State.PENDING: frozenset(
            {State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELLED, State.MISSED}
        ),
        # Back to pending: its turn had not come, another run with its key still goes on.
        State.QUEUED: frozenset(
            {State.PENDING, State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELLED, State.MISSED}
        ),
        State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.INTERRUPTED}),
        State.SUCCEEDED: frozenset(),
        State.FAILED: frozenset(),
        State.TIMED_OUT: frozenset(),
        State.CANCELLED: frozenset(),
        State.INTERRUPTED: frozenset(),
        State.SKIPPED: frozenset(),
        State.MISSED: frozenset(),
    }
)

FINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)
ACTIVE = frozenset(TRANSITIONS) - FINAL
WAITING = frozenset({State.PENDING, State.QUEUED})


def sources(target: State) -> frozenset[State]:
    """Return the states from which a run may move to *target*: what a conditional update filters on."""
    return frozenset(state for state, following in TRANSITIONS.items() if target in following)
