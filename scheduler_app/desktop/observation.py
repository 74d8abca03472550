"""What the tray knows at one moment, as plain values: the supervisor's snapshot and what the web service tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self


class Look(StrEnum):
    """What the icon says at a glance; each has a shape and a colour of its own."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    BUSY = "running a job"
    PAUSED = "paused"
    DEGRADED = "degraded"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class RunningJob:
    run: int
    name: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Failure:
    run: int
    name: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Upcoming:
    schedule: int
    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Runnable:
    """A schedule that *Run now* offers."""

    schedule: int
    name: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is started by schedules until then; None is until somebody resumes them."""

    until: datetime | None


@dataclass(frozen=True, slots=True)
class Activity:
    """What the web service tells of runs and schedules."""

    running: Sequence[RunningJob] = ()
    running_count: int = 0
    failures: Sequence[Failure] = ()
    recovered: Sequence[Failure] = ()
    upcoming: Sequence[Upcoming] = ()
    runnable: Sequence[Runnable] = ()
    pause: Pause | None = None
    problems: Sequence[str] = ()
    """What the overview says is wrong."""

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Self:
        """Return what *told* says; raise KeyError, TypeError or ValueError where it is no answer of ours."""
        pause = told["pause"]
        return cls(
            running=tuple(RunningJob(each["run"], each["name"], _moment(each["at"])) for each in told["running"]),
            running_count=int(told["running_count"]),
            failures=tuple(_failure(each) for each in told["failures"]),
            recovered=tuple(_failure(each) for each in told["recovered"]),
            upcoming=tuple(Upcoming(each["schedule"], each["name"], _moment(each["at"])) for each in told["upcoming"]),
            runnable=tuple(Runnable(each["schedule"], each["name"]) for each in told["runnable"]),
            problems=tuple(str(each) for each in told["problems"]),
            pause=None if pause is None else Pause(_moment(pause["until"]) if pause["until"] else None),
        )


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    state: str
    reason: str = ""

    @property
    def has_process(self) -> bool:
        return self.state in {"starting", "ready", "stopping", "insisting", "killing"}


@dataclass(frozen=True, slots=True)
class Observation:
    """*state* is the supervisor's word for the whole, "stopped" when there is none; *problem* is why it cannot tell."""

    state: str = "stopped"
    services: Sequence[Service] = field(default_factory=tuple)
    url: str = ""
    problem: str = ""
    activity: Activity | None = None
    disk_is_low: str = ""
    """How much room is left where the data folder is, when that is little; else empty."""

    @classmethod
    def of_snapshot(cls, snapshot: Mapping[str, Any], activity: Activity | None, disk_is_low: str = "") -> Self:
        services = tuple(Service(each["name"], each["state"], each["reason"]) for each in snapshot["services"])
        return cls(snapshot["state"], services, snapshot["url"], snapshot["problem"], activity, disk_is_low)

    @property
    def look(self) -> Look:
        if self.state in {"stopped", "stopping"}:
            return Look.STOPPED
        if self.state in {"failing", "degraded", "starting"}:
            return Look(self.state)
        if self.activity is None:
            return Look.RUNNING
        if self.activity.problems:
            return Look.DEGRADED
        if self.activity.running_count:
            return Look.BUSY
        return Look.PAUSED if self.activity.pause else Look.RUNNING


def _failure(told: Mapping[str, Any]) -> Failure:
    return Failure(told["run"], told["name"], told["reason"], _moment(told["at"]))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()
