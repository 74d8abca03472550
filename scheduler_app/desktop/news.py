"""What is worth a notification, from what the tray saw before and what it sees now. Pure.

A run is told once, by its number; what fails in one look together is told together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from scheduler_app.desktop.menu import Command, Verb
from scheduler_app.desktop.observation import Failure, Observation
from scheduler_app.desktop.wording import NAME, short

TOGETHER = 3
"""More failures at once than this are one notification."""
LONGEST_TITLE, LONGEST_TEXT = 63, 255
"""Characters that Windows takes (NOTIFYICONDATAW.szInfoTitle and szInfo); more would be an error there."""


@dataclass(frozen=True, slots=True)
class News:
    title: str
    text: str
    command: Command | None = None
    """What a click on it asks for."""

    def clipped(self) -> "News":
        return News(_clipped(self.title, LONGEST_TITLE), _clipped(self.text, LONGEST_TEXT), self.command)


@dataclass(slots=True)
class Newspaper:
    """Remembers what it has told."""

    _told: set[int] | None = None
    _failing: frozenset[str] = field(default_factory=frozenset)
    _low: bool = False

    def issue(self, seen: Observation) -> Sequence[News]:
        """Return the news since the last issue; the first one tells nothing of runs that are over."""
        return [each.clipped() for each in (*self._of_services(seen), *self._of_runs(seen), *self._of_disk(seen))]

    def _of_services(self, seen: Observation) -> Iterable[News]:
        failing = frozenset(service.name for service in seen.services if service.state == "failed")
        for service in seen.services:
            if service.name in failing - self._failing:
                yield News(f"{NAME}: {service.name} fails", service.reason, Command(Verb.OPEN_LOG, service.name))
        self._failing = failing

    def _of_runs(self, seen: Observation) -> Iterable[News]:
        activity = seen.activity
        if activity is None:
            return
        known, ids = self._told, {each.run for each in (*activity.failures, *activity.recovered)}
        self._told = ids if known is None else known | ids
        if known is None:
            return
        failures = [each for each in activity.failures if each.run not in known]
        if len(failures) > TOGETHER:
            names = ", ".join(dict.fromkeys(short(each.name) for each in failures))
            yield News(f"{len(failures)} runs failed", names, Command(Verb.OPEN_ADMIN))
        else:
            yield from (_failed(each) for each in failures)
        for each in activity.recovered:
            if each.run not in known:
                yield News(f"{short(each.name)} works again", each.reason, Command(Verb.OPEN_RUN, str(each.run)))

    def _of_disk(self, seen: Observation) -> Iterable[News]:
        if seen.disk_is_low and not self._low:
            yield News("The disk is nearly full", seen.disk_is_low, Command(Verb.OPEN_DATA))
        self._low = bool(seen.disk_is_low)


def _failed(failure: Failure) -> News:
    return News(f"{short(failure.name)} failed", failure.reason, Command(Verb.OPEN_RUN, str(failure.run)))


def _clipped(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
