"""The shape of a schedule as a document: what files, the API and the command line hand over, before any rule is asked.

Only what the document itself shows is refused here: fields that there are not, values of another kind, and what no
person writes. Whether it makes a schedule is for the schedule form's rules: see `documents`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from beat_config.models import CatchUp, DayRule, Overlap, WhenWrong
from jobs.errors import near_names
from jobs.kinds import MASK, show

DEEPEST = 50
MOST_VALUES = 50_000
MOST_CHARACTERS = 1_000_000
LARGEST_BITS = 1_024
# Outside, not every moment has a reading in every time zone.
FIRST_YEAR, LAST_YEAR = 1970, 9998


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one value of a document; *path* is empty for the whole, *value* as a sentence repeats it."""

    path: str
    value: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}" if self.path else self.sentence


class DocumentError(ValueError):
    """A document that makes no schedule: all that is wrong with it, at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def _moment(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and "T" in value.upper().replace(" ", "T")):
        return value
    raise PydanticCustomError("moment", "a date and a time are needed, such as 2026-12-24T18:00:00+01:00")


def _day(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    raise PydanticCustomError("day", "a date is needed, such as 2026-12-24")


def _in_range(value: Any) -> Any:
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise PydanticCustomError("year", f"a year from {FIRST_YEAR} to {LAST_YEAR} is needed")
    return value


Moment = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_in_range)]
Day = Annotated[date, BeforeValidator(_day), AfterValidator(_in_range)]
Period = Annotated[str, Field(examples=["30s", "10 minutes", "1h 30m", "2 days"])]
Degrees = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Sun(_Table):
    """An event of the sun at a place on earth."""

    event: str = Field(default="sunrise", description="Such as sunrise, sunset, dawn_civil, dusk_nautical, solar_noon.")
    latitude: Degrees
    longitude: Degrees


class Where(_Table):
    """Which workers take its runs: one of these. Left out, any worker does."""

    queue: str | None = None
    topic: str | None = None
    labels: dict[str, str] | None = None
    every_machine: Literal[True] | None = Field(default=None, description="One run on every machine.")


class ScheduleDocument(_Table):
    """A schedule. What is left out is as in a form that nobody has touched."""

    name: str
    job: str = Field(description="The name of a job; scheduler-app job list shows them.")
    enabled: StrictBool = True
    description: str = ""
    tags: list[str] = []
    parameters: dict[str, Any] = Field(
        default={}, description='What the job asks for; a secret is {"secret": "the name of a stored one"}.'
    )

    every: Period | None = None
    cron: str | None = Field(default=None, examples=["30 2 * * *"])
    once: Moment | None = None
    sun: Sun | None = None
    time_zone: str | None = Field(
        default=None, description="The clock that cron, and times without an offset, go by.", examples=["Europe/Berlin"]
    )
    day_rule: DayRule = Field(
        default=DayRule.OR, description="What holds when a cron line names both days of the month and weekdays."
    )
    start: Moment | None = None
    end: Moment | None = None
    every_nth_week: StrictInt | None = None
    weeks_from: Day | None = None
    spread: Period | None = None
    blackouts: list[str] = []

    where: Where | None = None
    priority: StrictInt | None = None

    preset: Literal["once", "must", "on_time", "often"] | None = Field(
        default=None, description="Sets several of the fields below; those that are given besides it win."
    )
    catch_up: CatchUp | None = None
    catch_up_window: Period | None = None
    catch_up_cap: StrictInt | None = None
    grace: Period | None = None
    expires_after: Period | None = None
    overlap: Overlap | None = None
    concurrency_key: str | None = None
    when_wrong: WhenWrong | None = None
    attempts: StrictInt | None = None
    retry_delay: Period | None = None
    retry_doubles: StrictBool | None = None
    retry_longest: Period | None = None
    retry_varies: StrictBool | None = None
    time_limit: Period | None = None

    on_success: str | None = Field(default=None, description="The name of the schedule to start then.")
    on_failure: str | None = None
    on_end: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_nobody_writes(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            problem = find_unfit(data)
            if problem is not None:
                # The path is in the context: pydantic knows only the place of this validator.
                raise PydanticCustomError("unfit", "{sentence}", {"path": problem.path, "sentence": problem.sentence})
        return data


# The names of the fields that a problem may be about, by the path of the table that they are in.
_TABLES: Mapping[str, type[BaseModel]] = {"": ScheduleDocument, "sun": Sun, "where": Where}


def parse(data: Any) -> ScheduleDocument:
    """Return the document that *data*, as JSON or TOML has it, is; raise DocumentError."""
    try:
        return ScheduleDocument.model_validate(data)
    except ValidationError as error:
        raise DocumentError(problems_of(error)) from None


def problems_of(error: ValidationError, start: int = 0) -> list[Problem]:
    """Return what pydantic found, in our words; *start* is how much of each path leads to the document."""
    return [_problem(each, start) for each in error.errors(include_url=False)]


def find_unfit(data: Any) -> Problem | None:
    """Return the first value in *data* that no document holds: of no end, not a number, half a character."""
    waiting: list[tuple[str, int, Any]] = [("", 0, data)]
    values = characters = 0
    while waiting:
        path, depth, value = waiting.pop()
        values += 1
        parts: list[tuple[Any, Any]] = []
        if isinstance(value, Mapping):
            parts = list(value.items())
            texts = [str(key) for key in value]
        else:
            texts = [value] if isinstance(value, str) else []
            parts = list(enumerate(value)) if isinstance(value, list | tuple) else []
        characters += sum(map(len, texts))
        if sentence := _unfit(value, texts):
            return Problem(path, "", sentence)
        if depth > DEEPEST:
            return Problem(path[:80], "", f"it is nested deeper than {DEEPEST} levels")
        if values + len(waiting) + len(parts) > MOST_VALUES or characters > MOST_CHARACTERS:
            return Problem("", "", f"it holds more than {MOST_VALUES} values or {MOST_CHARACTERS} characters")
        waiting += [(f"{path}.{_printable(key)}" if path else _printable(key), depth + 1, part) for key, part in parts]
    return None


def _unfit(value: Any, texts: Iterable[str]) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no number that can be stored"
    if isinstance(value, int) and value.bit_length() > LARGEST_BITS:
        return f"a number of more than {LARGEST_BITS} bits is too large"
    if isinstance(value, Mapping) and any(not isinstance(key, str) for key in value):
        return "every name must be a text"
    for text in texts:
        if "\0" in text:
            return "it holds a NUL character, which not every database can store"
        if any("\ud800" <= character <= "\udfff" for character in text):
            return "it holds half a character (a lone surrogate), which cannot be stored as UTF-8"
    return ""


def _problem(found: ErrorDetails, start: int) -> Problem:
    context = found.get("ctx", {})
    loc = [str(each) for each in found["loc"][start:]]
    kind = found["type"]
    if kind == "unfit":
        return Problem(".".join([*loc, *filter(None, [context["path"]])]), "", context["sentence"])
    path, value = ".".join(map(_printable, loc)), found["input"]
    shown = "" if isinstance(value, list | tuple | Mapping) else MASK if loc[:1] == ["parameters"] else show(value)
    if kind == "missing":
        return Problem(path, "", "it must be given")
    if kind == "extra_forbidden":
        table = _TABLES.get(".".join(loc[:-1]))
        names = list(table.model_fields) if table else []
        near = near_names(loc[-1], names)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"
        return Problem(path, "", f"there is no such field; {hint}")  # what it holds may be a password
    if kind in {"enum", "literal_error"}:
        return Problem(path, shown, f"{shown} is not possible; allowed are {context['expected']}")
    sentence = next((words for prefix, words in _NEEDED.items() if kind.startswith(prefix)), found["msg"])
    return Problem(path, shown, sentence)


_NEEDED = {
    "string": "a text is needed",
    "bool": "true or false is needed",
    "int": "a whole number is needed",
    "float": "a number is needed",
    "finite_number": "a number is needed",
    "list": 'a list is needed, such as ["a", "b"]',
    "dict": "names with values are needed",
    "model": "names with values are needed",
    "datetime": "a date and a time are needed, such as 2026-12-24T18:00:00+01:00",
    "date": "a date is needed, such as 2026-12-24",
}


def _printable(key: object) -> str:
    text = str(key)
    return text if text.isprintable() and len(text) <= 60 else show(text.encode("utf-8", "replace").decode())  # noqa: PLR2004
