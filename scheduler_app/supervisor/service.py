"""What a service is: data only, so that tests run the supervisor with programs of their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scheduler_app.supervisor.states import Limits

INSTANCE_VARIABLE = "SCHEDULER_SERVICE_ID"
"""Environment variable that tells a process which launch of which service it is."""

Probe = Callable[[str], bool]
"""Asks whether the launch with this instance name is ready. May take a second.

An OSError means not yet, a SupervisorError that the launch has failed.
"""


Pulse = Callable[[], object]
"""Returns something else each time the service has given a sign of life; an OSError means that it does not answer."""


class SupervisorError(Exception):
    """What was asked cannot be done; str() is for the person."""


def nothing_to_prepare() -> None:
    """Most services need nothing before their process starts."""


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    step: str
    """What its start is called in front of people: "Starting the web server"."""
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    """All of it, not additions: a service may have to be free of a variable."""
    probe: Probe | None = None
    """None for a task that runs once."""
    pulse: Pulse | None = None
    """None for a service that is not watched once it is ready."""
    needs: frozenset[str] = frozenset()
    """What has to be ready before it starts, and stops after it."""
    uses: frozenset[str] = frozenset()
    """What it can start without, and waits for by itself; stops after it all the same."""
    limits: Limits = field(default_factory=Limits)
    prepare: Callable[[], None] = nothing_to_prepare
    """Called before each launch, may take seconds; an OSError or SupervisorError fails the launch."""


@dataclass(frozen=True, slots=True)
class BrokerInUse:
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class ServiceSet:
    """What one supervisor runs. Services are listed after those that they need."""

    services: tuple[Service, ...]
    broker: BrokerInUse
    without: Callable[[str], "ServiceSet"] | None = None
    """Makes the set without the private broker, given why. None when there is nothing to fall back to."""
