"""A job's parameters as options of a command line: `keep_days: int` becomes --keep-days."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from jobs.parameters import Parameter
from jobs.registry import Job
from scheduler_app.commands.own_jobs import need

_PREFIX = "job__"
_KINDS = {
    "text": "TEXT",
    "lines": "TEXT",
    "code": "CODE",
    "number": "NUMBER",
    "decimal": "NUMBER",
    "path": "PATH",
    "duration": "TIME",
    "size": "SIZE",
    "json": "JSON",
    "secret": "SECRET",
    "choice": "TEXT",
    "switch": "true|false",
}


def options(job: Job) -> list[click.Parameter]:
    """Return an option for each parameter; none has a default: what was not given is the job's to fill in."""
    taken = {flag(parameter.name) for parameter in job.parameters}
    return [_option(parameter, taken) for parameter in job.parameters]


def beside(own: Iterable[click.Parameter], job: Job) -> list[click.Parameter]:
    """Return those of a verb's *own* options whose name no parameter of *job* has: the job's come first."""
    taken = {flag for option in options(job) for flag in option.opts}
    return [each for each in own if not taken & set(each.opts)]


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def take(job: Job, values: dict[str, Any]) -> dict[str, Any]:
    """Take what was given for the parameters of *job* out of *values*, as JSON; UsageError for what cannot be read."""
    given = {}
    for parameter in job.parameters:
        value = values.pop(_PREFIX + parameter.name)
        if value is not None and value != ():
            given[parameter.name] = _read(parameter, value)
    return given


class _Text(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.4 on
    """Any text, which the job's own rules judge; a shell completes *known* ones, or the names of files."""

    name = "text"

    def __init__(self, known: list[str]) -> None:
        self._known = known

    def shell_complete(self, _context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        if not self._known:
            return [CompletionItem(begun, type="file")]
        return [CompletionItem(value) for value in self._known if value.startswith(begun)]


def _option(parameter: Parameter, taken: set[str]) -> click.Option:
    name = flag(parameter.name)
    if parameter.kind == "switch":
        return click.Option([_PREFIX + parameter.name, f"{name}/--no-{name[2:]}"], default=None, help=_help(parameter))
    one_of = "|".join(value for value, _ in parameter.choices)
    many = parameter.kind in ("list", "mapping")
    # Each --source adds one to the sources.
    one = [name[:-1]] if many and name.endswith("s") and name[:-1] not in taken else []
    return click.Option(
        [_PREFIX + parameter.name, name, *one],
        type=_Text([value for value, _ in parameter.choices]),
        default=None,
        multiple=many,
        metavar=one_of or _metavar(parameter),
        help=_help(parameter),
    )


def _metavar(parameter: Parameter) -> str:
    if parameter.kind == "mapping":
        return "NAME=SECRET" if parameter.secret else "NAME=VALUE"
    return _KINDS[parameter.item or parameter.kind]


def _help(parameter: Parameter) -> str:
    text = " ".join(parameter.help.split())
    many = " Give it once for each." if parameter.kind in ("list", "mapping") else ""
    secret = " Secrets are given by their names." if parameter.secret else ""
    return f"{text}{many}{secret}  [{need(parameter)}]".strip()


def _read(parameter: Parameter, value: Any) -> Any:
    match parameter.kind:
        case "list":
            return [_item(parameter, item) for item in value]
        case "mapping":
            return {key: _item(parameter, item) for key, item in (_pair(parameter, each) for each in value)}
        case "json":
            try:
                return json.loads(value)
            except (ValueError, RecursionError):
                raise click.BadParameter(
                    'it is no JSON, such as 5, "text", [1, 2]', param_hint=flag(parameter.name)
                ) from None
        case "path":
            return _path(value)
        case "secret":
            return {"secret": value}
    return value


def _item(parameter: Parameter, text: str) -> Any:
    if parameter.secret:
        return {"secret": text}
    return _path(text) if parameter.item == "path" else text


def _pair(parameter: Parameter, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=flag(parameter.name))
    return key, value


def _path(text: str) -> str:
    """Return a path from the folder that it was typed in: the run starts in another one."""
    return text if not text or text.startswith("~") else str(Path.cwd() / text)
