"""Files of schedules: schedules.toml, or the same as YAML or JSON, read as documents and written from them."""

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from beat_config import yaml_text
from beat_config.document_shape import DocumentError, Problem, ScheduleDocument, parse
from beat_config.documents import Reading, brief
from beat_config.toml_text import table_lines
from jobs import catalogue
from jobs.errors import near_names
from jobs.kinds import SecretReference

LARGEST = 8_000_000
# PyYAML is slow.
LARGEST_YAML = 1_000_000


class ScheduleFile(BaseModel):
    """Schedules, and who they belong to."""

    model_config = ConfigDict(extra="forbid")

    owner: str | None = Field(
        default=None,
        description="What the file is known by, wherever it lies; left out, it is known by its path.",
        max_length=1000,
    )
    schedule: list[ScheduleDocument] = []


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a file of schedules, for editors."""
    schema = ScheduleFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Schedules"}


def read_file(path: Path) -> tuple[str, list[ScheduleDocument]]:
    """Return whose schedules *path* says, and them; raise DocumentError with all that is wrong."""
    try:
        size = path.stat().st_size
        largest = LARGEST_YAML if path.suffix in _YAML else LARGEST
        if size > largest:
            raise _refused(path, f"it has {size} bytes, and {largest} are read at most")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise _refused(path, "it is no UTF-8 text") from error
    data = _load(path, text)
    owner, documents = parse_file(data)
    return owner or str(path.resolve()), documents


def parse_file(data: Any) -> tuple[str | None, list[ScheduleDocument]]:
    """Return the owner that *data* names, and its schedules; raise DocumentError with all that is wrong."""
    if not isinstance(data, Mapping):
        raise DocumentError([Problem("", "", "names with values are needed: [[schedule]] and what belongs to it")])
    problems = [_unknown(str(name)) for name in data if name not in ScheduleFile.model_fields]
    owner, tables = data.get("owner"), data.get("schedule", [])
    if owner is not None and not (isinstance(owner, str) and 0 < len(owner) <= 1000):  # noqa: PLR2004 - the column's
        problems.append(Problem("owner", "", "a text of 1 to 1000 characters is needed"))
    if not isinstance(tables, list):
        problems.append(Problem("schedule", "", "a list is needed: write [[schedule]] before each"))
        tables = []
    documents: list[ScheduleDocument] = []
    names: set[str] = set()
    for number, table in enumerate(tables, 1):
        try:
            document = parse(table)
        except DocumentError as error:
            name = table.get("name") if isinstance(table, Mapping) else None
            problems += placed(error, number, name)
            continue
        found = [*_plain_secrets(document)]
        if document.name in names:
            found.append(Problem("name", document.name, "the file has this name twice"))
        problems += placed(DocumentError(found), number, document.name)
        names.add(document.name)
        documents.append(document)
    if problems:
        raise DocumentError(problems)
    return owner, documents


def placed(error: DocumentError, number: int, name: Any) -> Iterator[Problem]:
    """Yield the problems of one schedule with the place in the file that it has."""
    title = f"schedule {number}" + (f" ({name[:60]})" if isinstance(name, str) and name.isprintable() else "")
    for problem in error.problems:
        yield Problem(f"{title}, {problem.path}" if problem.path else title, problem.value, problem.sentence)


def toml_of(readings: Iterable[Reading]) -> str:
    """Return a file of these schedules; what it cannot say of one is in a comment above it."""
    lines = ["# Schedules, for scheduler-app apply."]
    for reading in readings:
        said = brief(reading.document)
        parameters = said.pop("parameters", {})
        notes = list(reading.notes)
        for name in [name for name, value in parameters.items() if _holds_null(value)]:
            notes.append(f"the parameter {name} is left out: it holds nothing (null), which TOML cannot say")
            del parameters[name]
        lines += ["", *(f"# Not carried: {_one_line(note)}" for note in notes)]
        lines += table_lines("[[schedule]]", said)
        if parameters:
            lines += table_lines("[schedule.parameters]", parameters)
    return "\n".join(lines) + "\n"


def json_of(readings: Iterable[Reading]) -> str:
    """Return the same as `toml_of`, for programs; notes are left out."""
    found = [ScheduleDocument.model_construct(**brief(each.document)) for each in readings]
    said = [each.model_dump(mode="json", exclude_unset=True) for each in found]
    return json.dumps({"schedule": said}, indent=2, ensure_ascii=False) + "\n"


_YAML = {".yaml", ".yml"}


def _load(path: Path, text: str) -> Any:
    loaders: dict[str, Callable[[str], Any]] = dict.fromkeys(_YAML, yaml_text.load)
    loaders |= {".toml": tomllib.loads, ".json": json.loads}
    load = loaders.get(path.suffix)
    if load is None:
        raise _refused(path, "its name ends with none of .toml, .yaml, .yml and .json")
    try:
        return load(text)
    except RecursionError:
        raise _refused(path, "it is nested too deeply") from None
    except ValueError as error:
        raise _refused(path, _one_line(str(error))[:300]) from error


def _plain_secrets(document: ScheduleDocument) -> Iterator[Problem]:
    jobs = catalogue.registry()
    for parameter in jobs[document.job].parameters if document.job in jobs else ():
        value = document.parameters.get(parameter.name)
        parts = value.values() if isinstance(value, dict) and not SecretReference.of(value) else [value]
        parts = value if isinstance(value, list) else parts
        if parameter.secret and any(isinstance(part, str) and part for part in parts):
            sentence = 'a file is no place for a secret: store it, and write {secret = "its name"} here'
            yield Problem(f"parameters.{parameter.name}", "", sentence)


def _unknown(name: str) -> Problem:
    near = near_names(name, ScheduleFile.model_fields)
    hint = f"did you mean {near[0]}?" if near else "there are owner and schedule"
    return Problem(name[:60], "", f"there is no such field; {hint}")


def _refused(path: Path, why: str) -> DocumentError:
    return DocumentError([Problem("", "", f"cannot read {path}: {why}")])


def _holds_null(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    return value is None or (isinstance(value, list | tuple) and any(map(_holds_null, value)))


def _one_line(text: str) -> str:
    return " ".join(text.split())
