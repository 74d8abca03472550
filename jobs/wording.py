"""Runs in words: what the admin's lists and pages say."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs import parents
from jobs.models import EVERY_MACHINE, Origin, Run, RunOutput
from jobs.states import State

# Unfold's names for its label colours.
COLOURS = {
    State.PENDING: "default",
    State.QUEUED: "default",
    State.RUNNING: "info",
    State.SUCCEEDED: "success",
    State.FAILED: "danger",
    State.TIMED_OUT: "danger",
    State.CANCELLED: "warning",
    State.INTERRUPTED: "danger",
    State.SKIPPED: "warning",
    State.MISSED: "warning",
}


@dataclass(frozen=True, slots=True)
class Printed:
    """A stretch of output from one stream."""

    stream: str
    text: str


def duration(run: Run, now: datetime) -> timedelta | None:
    """Return how long the run took, or has been going; None when it has not started."""
    if run.started_at is None:
        return None
    return (run.finished_at or now) - run.started_at


def seconds(length: timedelta | None) -> str:
    """Return a length as people read it: 0.42 s, 12.3 s, 3 min 5 s, 2 h 4 min."""
    if length is None:
        return "–"
    total = length.total_seconds()
    if total < 10:  # noqa: PLR2004 - two decimals say nothing beyond that
        return f"{total:.2f} s"
    if total < 60:  # noqa: PLR2004
        return f"{total:.1f} s"
    minutes, rest = divmod(int(total), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(when: datetime, now: datetime) -> str:
    """Return a time as short as it is clear, in the zone of *when*: 18:06:41, Tue 18:06:41, 2026-12-24 18:06:41."""
    away = abs((when.date() - now.astimezone(when.tzinfo).date()).days)
    if away == 0:
        return f"{when:%H:%M:%S}"
    return f"{when:%a %H:%M:%S}" if away < 7 else f"{when:%Y-%m-%d %H:%M:%S}"  # noqa: PLR2004 - days of a week


def machine(run: Run) -> str:
    """Return the machine that the run is for; empty for any."""
    return "every machine" if run.machine == EVERY_MACHINE else run.machine


def started_by(run: Run) -> str:
    if run.origin == Origin.SCHEDULE:
        return "its schedule"
    if run.origin == Origin.CHAIN:
        return f"the end of run {parents.parent_number(run)}"
    return f"{run.requested_by or 'somebody'}, by hand"


def output(run: Run) -> list[Printed]:
    """Return what the run printed, neighbouring pieces of one stream joined, bytes that are no UTF-8 escaped."""
    stretches: list[tuple[int, bytearray]] = []
    gap = run.output_dropped
    previous = 0
    for number, stream, data in run.output.order_by("number").values_list("number", "stream", "data"):
        if gap and number > previous + 1:
            stretches.append((0, bytearray(f"… {gap:,} bytes are not kept …\n".encode())))
        previous = number
        if stretches and stretches[-1][0] == stream:
            stretches[-1][1].extend(data)
        else:
            stretches.append((stream, bytearray(data)))
    return [Printed(_NAMES[stream], bytes(data).decode(errors="backslashreplace")) for stream, data in stretches]


_NAMES = {0: "gap", **{stream.value: stream.label for stream in RunOutput.Stream}}
