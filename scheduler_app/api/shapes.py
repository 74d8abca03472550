"""What requests and answers look like: pydantic models, from which the OpenAPI description is made too."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from ninja import Schema
from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from jobs.durations import parse_duration
from jobs.states import State

LARGEST_ID = 2**63 - 1
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]


class Strict(Schema):
    """What somebody sends: a name that is not known is a mistake."""

    model_config = ConfigDict(extra="forbid")


def _read(read: Callable[[str], object], needed: str) -> BeforeValidator:
    def check(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError(needed)  # noqa: TRY004 - pydantic takes ValueErrors
        try:
            return read(value)
        except ValueError:
            raise ValueError(needed) from None

    return BeforeValidator(check)


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError
    return moment


def _moment_or_duration(text: str) -> object:
    return _aware(text) if "T" in text.upper() and "-" in text else parse_duration(text)


_MOMENT = 'a moment with its offset is needed, such as "2026-12-24T18:00:00+01:00"'
Moment = Annotated[
    datetime, _read(_aware, _MOMENT), WithJsonSchema({"type": "string", "format": "date-time"}, mode="validation")
]
Wait = Annotated[
    Any,
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number", "minimum": 0}], "examples": ["10m", 600]}),
]
Until = Annotated[
    Any,
    _read(_moment_or_duration, 'a duration such as "1h", or a moment with its offset, is needed'),
    WithJsonSchema({"type": "string", "examples": ["1h", "2026-12-24T18:00:00+01:00"]}),
]


class RunOptions(Strict):
    """When, where and how a run is made."""

    at: Moment | None = Field(None, description="When it starts; otherwise at once.")
    delay: Wait | None = Field(None, description="In what time it starts; instead of `at`.")
    expires: Until | None = Field(None, description="Until when a worker may start it: a moment, or a time from `at`.")
    priority: int | None = Field(None, ge=0, le=255, description="Of the runs that wait, the highest goes first.")
    queue: str | None = Field(None, description="Only workers of this queue run it.")
    key: str | None = Field(
        None,
        description="Your own name for this request: sent again, it gives the same run. The header Idempotency-Key says"
        " the same.",
    )


class RunOrder(RunOptions):
    """Have a job run."""

    parameters: dict[str, Any] = Field(default_factory=dict)


class ScheduleOfRun(Schema):
    id: int
    name: str


class StepOut(Schema):
    moment: datetime | None = Field(description="None: what it waits for.")
    sentence: str


class RunOut(Schema):
    id: int
    state: State
    ended: bool
    job: str
    schedule: ScheduleOfRun | None
    parameters: dict[str, Any] = Field(description="Secrets by their names.")
    origin: str
    requested_by: str
    reason: str
    due: datetime | None
    created: datetime
    not_before: datetime | None
    expires: datetime | None
    started: datetime | None
    finished: datetime | None
    attempt: int
    max_attempts: int
    worker: str
    machine: str
    exit_code: int | None
    covers: int = Field(description="How many fires this one record is for.")
    log_size: int


class RunWithSteps(RunOut):
    steps: list[StepOut]


class RunPage(Schema):
    items: list[RunOut]
    next: str | None = Field(description="Send it as `cursor` for the next page; none: this is the last.")


class Log(Schema):
    offset: int
    text: str
    next: int = Field(description="Send it as `offset` for what comes next.")
    ended: bool = Field(description="The run has ended and this is all.")
    dropped: int = Field(description="Bytes in the middle that were not kept.")


class JobOut(Schema):
    name: str
    title: str
    group: str
    summary: str
    description: str
    needs_permission: str | None


class JobWithSchema(JobOut):
    parameters: dict[str, Any] = Field(description="JSON Schema of the parameters.")
