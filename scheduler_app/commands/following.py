"""A run that somebody waits for: what it prints and how far it has come, until it has ended."""

import threading
import time
from collections.abc import Iterator

from jobs import terms, wording
from jobs.models import Run
from jobs.states import ACTIVE
from scheduler_app.commands import runs
from scheduler_app.commands.problems import StillGoingOnError
from scheduler_app.commands.screens import Screen

LOOK_INTERVAL = 0.25

_look_again = threading.Event()
"""Never set: only the run's end, Ctrl-C or the deadline ends a wait."""


def follow(run: Run, screen: Screen, *, longest: float | None = None) -> Run:
    """Show what *run* prints until it has ended, and so do its next attempts; return the last one.

    Raises StillGoingOnError after *longest* seconds.
    """
    give_up_at = None if longest is None else time.monotonic() + longest
    with screen:
        while True:
            run = _follow_attempt(run.pk, screen, give_up_at)
            following = (run.terms or {}).get(terms.NEXT)
            attempt = Run.objects.filter(pk=following).first() if following else None
            if attempt is None:
                return run
            screen.note(f"Run {run.pk} {wording_of(run)}; tried again as run {attempt.pk}.")
            run = attempt


def show(run: Run, screen: Screen) -> None:
    """Show what *run* has printed by now."""
    with screen:
        Printed().show(run, screen)
        screen.end_of_output()


def wording_of(run: Run) -> str:
    """Return how *run* ended: "succeeded", "failed: exit code 3"."""
    label = run.get_state_display().lower()
    return f"{label}: {run.reason}" if run.reason else label


def _follow_attempt(number: int, screen: Screen, give_up_at: float | None) -> Run:
    printed = Printed()
    while True:
        # The state first: what a run printed is complete before it has ended.
        run = runs.found(number)
        printed.show(run, screen)
        if run.state not in ACTIVE:
            return run
        screen.progress(run, wording.progress(run))
        if give_up_at is not None and time.monotonic() >= give_up_at:
            raise StillGoingOnError(
                f"run {number} goes on ({run.get_state_display().lower()}): scheduler-app run wait {number} waits again"
            )
        _look_again.wait(LOOK_INTERVAL)


class Printed:
    """What has been shown of one run's output."""

    def __init__(self) -> None:
        self._last = 0

    def show(self, run: Run, screen: Screen) -> None:
        for number, stream, data in self._new(run):
            # What was dropped to keep the end lies between the first and the last pieces.
            if number > self._last + 1:
                screen.note(f"… {run.output_dropped:,} bytes are not kept …")
            self._last = number
            screen.output(stream, bytes(data))
        if run.state not in ACTIVE:
            screen.end_of_output()

    def _new(self, run: Run) -> Iterator[tuple[int, int, bytes | memoryview]]:
        pieces = run.output.filter(number__gt=self._last).order_by("number")
        return pieces.values_list("number", "stream", "data").iterator(chunk_size=50)
