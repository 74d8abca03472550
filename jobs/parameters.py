"""The signature of a function as typed parameters: what a form, the API and the command line ask for.

Allowed types: str, int, float, bool, pathlib.Path, datetime.timedelta, SecretText or pydantic.SecretStr, a Literal or
an Enum of texts or whole numbers, list[…], set[…] or tuple[…, ...] of these, dict[str, …] of these, and "… | None" of
all of them, which makes a parameter optional. `Annotated` adds the marks below, or pydantic's own constraints, such as
`Annotated[int, Field(ge=1)]`.
"""

import functools
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from jobs import docstrings, kinds
from jobs.errors import JobDefinitionError, ParameterError, near_names
from jobs.kinds import Kind, KindName, Refused
from jobs.secret_text import SecretText

_ALLOWED_TYPES = (
    "str, int, float, bool, Path, timedelta, SecretText, Literal, Enum, list[…], set[…], tuple[…, ...], dict[str, …]"
    ' or one of them with "| None"'
)
_PLAIN: dict[object, Callable[[], Kind]] = {
    str: kinds.Text,
    int: kinds.Number,
    float: kinds.Decimal,
    bool: kinds.Switch,
    Path: kinds.FilePath,
    timedelta: kinds.Duration,
    Any: kinds.Json,
    SecretText: lambda: kinds.Secret(SecretText),
}
_HAS_ARGS = 0x04  # inspect.CO_VARARGS and CO_VARKEYWORDS; importing inspect would cost every run 5 ms
_HAS_KWARGS = 0x08
_INITIALISMS = {
    "api",
    "csv",
    "html",
    "http",
    "https",
    "id",
    "ip",
    "json",
    "smtp",
    "sql",
    "ssl",
    "tls",
    "ui",
    "url",
    "xml",
}


class Lines(NamedTuple):
    """Mark of a text of several lines: `Annotated[str, Lines()]`."""


class Code(NamedTuple):
    """Mark of a text that is source code: `Annotated[str, Code("python")]`."""

    language: str = ""


class Size(NamedTuple):
    """Mark of a number of bytes, which people write with a unit: `Annotated[int, Size()]`."""


class Label(NamedTuple):
    """Mark that names a parameter otherwise than its name in words: `Annotated[bool, Label("Use the shell")]`."""

    text: str


class Check(NamedTuple):
    """Mark of a rule of the job's own: *function* gets the value and raises ValueError with the reason it is refused.

    It runs when a schedule is saved and again before the run. Cheaper to import than a pydantic validator.
    """

    function: Callable[[Any], object]


__all__ = ["Check", "Code", "Label", "Lines", "Parameter", "ParameterError", "Size"]

_MARKS = (Lines, Code, Size, Label, Check, str)  # a bare text in Annotated is a note for people


class Parameter(NamedTuple):
    """What a form needs to ask for one parameter; *default* is JSON-ready and None when there is none."""

    name: str
    label: str
    kind: KindName
    required: bool
    default: Any
    help: str
    choices: tuple[tuple[str, str], ...] = ()
    language: str = ""  # of kind "code"
    secret: bool = False  # its values are secrets, or lists or mappings of some
    item: KindName | None = None  # of a list or mapping: the kind of each value in it


class Field(NamedTuple):
    """A parameter together with what checks and converts its values."""

    parameter: Parameter
    kind: Kind
    annotation: Any
    optional: bool  # None is a value
    checks: tuple[Callable[[Any], object], ...]
    constrained: bool  # the annotation holds more than kind and checks know: pydantic has to look, too

    def parse(self, value: object) -> Any:
        """Return the Python value of *value*; Refused says what is allowed."""
        if self.optional and (value is None or (value == "" and not isinstance(self.kind, kinds.Text | kinds.Secret))):
            return None
        parsed = self.kind.parse(value)
        if self.parameter.required and self.kind.is_blank(parsed):
            raise Refused("it must not be empty")
        if self.parameter.secret and kinds.holds_reference(parsed):  # checked when the run has the text
            return parsed
        for check in self.checks:
            try:
                check(parsed)
            except ValueError as error:
                raise Refused(str(error)) from None
        if self.constrained:
            from jobs.constraints import constrain  # noqa: PLC0415 - imports pydantic, which most jobs do without

            parsed = constrain(self.annotation, parsed)
        return parsed

    def to_json(self, value: Any) -> Any:
        return None if value is None else self.kind.to_json(value)

    def problem(self, value: object, error: Refused) -> str:
        """Return the sentence for a *value* that was refused."""
        name = self.parameter.name
        if error.at:
            return f"cannot use {name}, {error.at} = {error.shown}: {error.reason}"
        return f"cannot use {name} = {self.kind.show(value)}: {error.reason}"


def in_words(name: str) -> str:
    """Return the label of a name: "keep_days" → "Keep days", "verify_tls" → "Verify TLS"."""
    words = [word.upper() if word in _INITIALISMS else word for word in name.split("_") if word]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]]) if words else name


def read_fields(function: Callable[..., object], description: docstrings.Description) -> tuple[Field, ...]:
    """Return the parameters of *function*; JobDefinitionError names function and parameter."""
    # A decorator that uses functools.wraps has *args and **kwargs; the signature people read is the inner one.
    inner: Any = function
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    where = f"cannot use {function.__name__}() as a job"
    code = inner.__code__
    bound = int(isinstance(inner, types.MethodType))  # the object that it belongs to is given already
    count = code.co_argcount + code.co_kwonlyargcount - bound
    names: tuple[str, ...] = code.co_varnames[bound:]
    if code.co_posonlyargcount:
        raise JobDefinitionError(f"{where}: its parameter {names[0]!r} is positional-only; remove the / after it")
    if code.co_flags & _HAS_ARGS:
        raise JobDefinitionError(
            f"{where}: its parameter '*{names[count]}' has no name a form could ask for; use list[str]"
        )
    if code.co_flags & _HAS_KWARGS:
        last = names[count]
        raise JobDefinitionError(
            f"{where}: its parameter '**{last}' has no names a form could ask for; use dict[str, str]"
        )
    positional = names[: code.co_argcount - bound]
    defaults = dict(zip(reversed(positional), reversed(inner.__defaults__ or ()), strict=False))
    defaults.update(inner.__kwdefaults__ or {})
    return tuple(_field(inner, name, defaults, description.help.get(name, ""), where) for name in names[:count])


def is_supported(function: Callable[..., object], name: str) -> bool:
    """Tell whether the type that *function* gives its parameter *name* is one that a form can ask for."""
    try:
        _analysed(_evaluated(function, name, ""), "")
    except JobDefinitionError:
        return False
    return True


def parse(fields: Iterable[Field], values: object) -> dict[str, Any]:
    """Return the Python value of every field, defaults filled in; ParameterError holds all problems at once."""
    if not isinstance(values, Mapping):
        raise ParameterError({"": f"cannot use the parameters {kinds.show(values)}: names with values are needed"})
    known = {field.parameter.name: field for field in fields}
    problems = {str(name): _unknown(name, known) for name in values if name not in known}
    parsed = {}
    for name, field in known.items():
        if name not in values and field.parameter.required:
            problems[name] = f"cannot do without {name}: it has no default; {_needs(field)}"
            continue
        value = values.get(name, field.parameter.default)
        try:
            parsed[name] = field.parse(value)
        except Refused as error:
            problems[name] = field.problem(value, error)
    if problems:
        raise ParameterError(problems)
    return parsed


def to_json(fields: Iterable[Field], parsed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `parse` returned as JSON keeps it."""
    return {field.parameter.name: field.to_json(parsed[field.parameter.name]) for field in fields}


def for_call(fields: Iterable[Field], parsed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `parse` returned as the function gets it."""
    values = {field.parameter.name: (field.kind, parsed[field.parameter.name]) for field in fields}
    return {name: None if value is None else kind.for_call(value) for name, (kind, value) in values.items()}


def map_secrets(
    fields: Iterable[Field], values: Mapping[str, Any], change: Callable[[str, Any], Any]
) -> dict[str, Any]:
    """Return the JSON *values* with `change(label, secret)` in place of each secret."""
    changed = dict(values)
    for field in fields:
        name, label = field.parameter.name, field.parameter.label
        if field.parameter.secret and values.get(name) is not None:
            changed[name] = field.kind.map_secrets(values[name], functools.partial(change, label))
    return changed


def _unknown(name: object, known: Mapping[str, Field]) -> str:
    near = near_names(str(name), known)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = f"the job has {', '.join(known)}" if known else "the job has no parameters"
    return f"cannot use the parameter {kinds.show(name)}: there is none of this name; {hint}"


def _needs(field: Field) -> str:
    try:
        field.kind.parse(None)
    except Refused as error:
        return error.reason
    return "give it a value"


def _field(
    function: Callable[..., object], name: str, defaults: Mapping[str, object], help_text: str, where: str
) -> Field:
    where = f"{where}: its parameter {name!r}"
    if name.startswith("_"):
        raise JobDefinitionError(f"{where} begins with an underscore; rename it")
    if name not in function.__annotations__:
        raise JobDefinitionError(f"{where} has no type; write {name}: str, or another of {_ALLOWED_TYPES}")
    annotation = _evaluated(function, name, where)
    kind, optional, metadata = _analysed(annotation, where)
    label = next((mark.text for mark in metadata if isinstance(mark, Label)), None)
    foreign = [mark for mark in metadata if not isinstance(mark, _MARKS)]
    for mark in foreign:  # pydantic's Field(title=…, description=…)
        label = label or getattr(mark, "title", None)
        help_text = help_text or getattr(mark, "description", None) or ""
    parameter = Parameter(
        name=name,
        label=label or in_words(name),
        kind=kind.name,
        required=name not in defaults and not optional,
        default=None,
        help=help_text,
        choices=kind.choices,
        language=next((mark.language for mark in metadata if isinstance(mark, Code)), ""),
        secret=kind.is_secret,
        item=kind.item_name,
    )
    checks = tuple(mark.function for mark in metadata if isinstance(mark, Check))
    field = Field(parameter, kind, annotation, optional, checks, constrained=bool(foreign))
    if name not in defaults:
        return field
    try:
        default = field.to_json(field.parse(defaults[name]))
    except Refused as error:
        hint = f"; write {name}: … | None" if defaults[name] is None else ""
        raise JobDefinitionError(
            f"{where} has a default that does not fit: {field.problem(defaults[name], error)}{hint}"
        ) from None
    return field._replace(parameter=parameter._replace(default=default))


def _evaluated(function: Callable[..., object], name: str, where: str) -> Any:
    holder = types.SimpleNamespace(__annotations__={name: function.__annotations__[name]})
    try:
        return typing.get_type_hints(holder, globalns=function.__globals__, include_extras=True)[name]
    except Exception as error:
        # A text or `from __future__ import annotations`: evaluating it runs whatever the user wrote.
        raise JobDefinitionError(
            f"{where} has a type that cannot be read: {error}; import what it names at the top of the file, "
            "not only for type checkers"
        ) from error


def _analysed(annotation: Any, where: str) -> tuple[Kind, bool, list[object]]:
    """Return the kind, whether None is allowed, and the marks of all levels, innermost first."""
    annotation, metadata = _without_marks(annotation)
    optional = False
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        optional = len(members) < len(typing.get_args(annotation))
        if len(members) != 1:
            raise _unfit(annotation, where)
        annotation, inner = _without_marks(members[0])
        metadata = [*inner, *metadata]
    if typing.get_origin(annotation) is Literal and None in typing.get_args(annotation):
        optional = True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (list, set, frozenset) or (origin is tuple and arguments[1:] == (...,)):
        item, inner = _scalar(arguments[0], where)
        return kinds.List(item, origin), optional, [*map(_for_each, inner), *metadata]
    if origin is dict and arguments[0] is str:
        item, inner = _scalar(arguments[1], where)
        return kinds.NameMapping(item), optional, [*map(_for_each, inner), *metadata]
    kind, inner = _scalar(annotation, where)
    metadata = [*inner, *metadata]
    if isinstance(kind, kinds.Number) and any(isinstance(mark, Size) for mark in metadata):
        kind = kinds.Size()
    if isinstance(kind, kinds.Text):
        kind = next((_text_kind(mark) for mark in metadata if isinstance(mark, Lines | Code)), kind)
    return kind, optional, metadata


def _for_each(mark: object) -> object:
    """Return the *mark* of an item as the mark of the whole list or mapping."""
    if not isinstance(mark, Check):
        return mark

    def check_each(whole: Any) -> None:
        for item in whole.values() if isinstance(whole, dict) else whole:
            mark.function(item)

    return Check(check_each)


def _text_kind(mark: object) -> Kind:
    return kinds.Code() if isinstance(mark, Code) else kinds.Lines()


def _scalar(annotation: Any, where: str) -> tuple[Kind, list[object]]:
    annotation, metadata = _without_marks(annotation)
    # Compared one by one: an annotation need not be hashable.
    if make := next((make for plain, make in _PLAIN.items() if annotation is plain), None):
        return make(), metadata
    # Whoever annotates with SecretStr has imported pydantic; nobody else has to.
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and annotation is pydantic.SecretStr:
        return kinds.Secret(annotation), metadata
    if typing.get_origin(annotation) is Literal:
        members = [value for value in typing.get_args(annotation) if value is not None]
        if members and all(type(value) in (str, int) for value in members):
            return kinds.Choice({value: value for value in members}, {value: str(value) for value in members}), metadata
    if isinstance(annotation, type) and issubclass(annotation, Enum) and len(annotation):
        by_value = all(type(member.value) in (str, int) for member in annotation)
        keys = {(member.value if by_value else member.name): member for member in annotation}
        return kinds.Choice(keys, {key: in_words(member.name.lower()) for key, member in keys.items()}), metadata
    raise _unfit(annotation, where)


def _without_marks(annotation: Any) -> tuple[Any, list[object]]:
    """Take off Annotated, `type X = …` (3.12) and NewType; the marks, innermost first."""
    metadata: list[object] = []
    while True:
        if typing.get_origin(annotation) is Annotated:
            metadata = [*annotation.__metadata__, *metadata]
            annotation = annotation.__origin__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        else:
            return annotation, metadata


def _unfit(annotation: Any, where: str) -> JobDefinitionError:
    written = annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
    hints = {"list": "; write list[str]", "dict": "; write dict[str, str]", "tuple": "; write tuple[str, ...]"}
    hint = hints.get(written, "")
    return JobDefinitionError(f"{where} has the type {written}, which is none of {_ALLOWED_TYPES}{hint}")
