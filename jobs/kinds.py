"""One class for each kind of parameter: what a form, the API or JSON may hand over, and what the function gets.

`parse` takes the JSON value, the text a form or a command line sends, or the Python value itself, and returns the
Python value; `to_json` is its way back. Both run in every child, so they are plain Python: pydantic takes 50 ms to
import, which is more than the rest of a child's start. The model in `jobs.model` is built on them.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from jobs.durations import format_duration, parse_duration
from jobs.errors import near_names
from jobs.sizes import format_size, parse_size

KindName = Literal[
    "text",
    "lines",
    "number",
    "decimal",
    "switch",
    "choice",
    "list",
    "mapping",
    "path",
    "duration",
    "size",
    "json",
    "secret",
    "code",
]

MASK = "********"
_SHOWN = 60  # characters of a value that a sentence repeats
_USER_INFO = re.compile(r"(//)[^/?#\s]*@")  # the user and password of a web address are not for logs
_WHOLE = re.compile(r"[+-]?[0-9]{1,4000}")  # int() refuses more than 4,300 digits with words of its own
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SWITCH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


class Refused(ValueError):  # noqa: N818 - says more than RefusedError
    """A value that does not fit; *at* names the part of it when it is not the whole, *shown* is that part."""

    def __init__(self, reason: str, *, at: str = "", shown: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at
        self.shown = shown


class SecretReference(NamedTuple):
    """A secret by its name: what is stored in place of its value, as `{"secret": name}` in JSON."""

    name: str

    @classmethod
    def of(cls, value: object) -> "SecretReference | None":
        """Return what the JSON *value* refers to; None when it is no reference."""
        if isinstance(value, SecretReference):
            return value
        if isinstance(value, Mapping) and set(value) == {"secret"} and isinstance(value["secret"], str):
            return cls(value["secret"])
        return None

    def to_json(self) -> dict[str, str]:
        return {"secret": self.name}


def show(value: object) -> str:
    """Return *value* as a sentence repeats it: quoted, in JSON's words, and not longer than a line."""
    words: dict[object, str] = {None: "nothing", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else _USER_INFO.sub(rf"\1{MASK}@", repr(value))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


class Kind:
    """A kind of value; this base is what all of them share."""

    name: ClassVar[KindName]
    choices: tuple[tuple[str, str], ...] = ()
    # Of a list or a mapping: of what kind each value in it is.
    item_name: KindName | None = None

    def parse(self, value: object) -> Any:
        """Return the Python value; Refused says what is allowed instead."""
        raise NotImplementedError

    def to_json(self, value: Any) -> Any:
        """Return the parsed *value* as JSON keeps it and people read it."""
        return value

    def for_call(self, value: Any) -> Any:
        """Return what the function gets for the parsed *value*."""
        return value

    def is_blank(self, value: Any) -> bool:
        """Tell whether the parsed *value* is no answer where one is required."""
        return bool(value == "")

    def show(self, value: object) -> str:
        return show(value)

    @property
    def is_secret(self) -> bool:
        """Tell whether its values are secrets, or hold some."""
        return False

    def map_secrets(self, value: Any, change: Callable[[Any], Any]) -> Any:
        """Return the JSON *value* with *change* applied to each secret in it."""
        del change
        return value


class Text(Kind):
    name: ClassVar[KindName] = "text"

    def parse(self, value: object) -> str:
        if not isinstance(value, str):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            hint = f'; write "{value}", with quotes' if is_number else ""
            raise Refused(f"a text is needed{hint}")
        return _storable(value)


class Lines(Text):
    name: ClassVar[KindName] = "lines"


class Code(Text):
    name: ClassVar[KindName] = "code"


class Secret(Kind):
    """A reference to a stored secret, or a SecretText or pydantic's SecretStr, whose JSON is the plain text.

    `jobs.vault` keeps the plain text out of what is stored, and puts it in place of the reference for the run.
    """

    name: ClassVar[KindName] = "secret"

    def __init__(self, secret_type: Callable[[str], Any]) -> None:
        self._secret_type = secret_type

    def parse(self, value: object) -> Any:
        if reference := SecretReference.of(value):
            return reference
        if hasattr(value, "get_secret_value"):
            value = value.get_secret_value()
        if not isinstance(value, str):
            raise Refused('a text is needed, or {"secret": "the name of a stored one"}')
        return self._secret_type(_storable(value))

    def to_json(self, value: Any) -> Any:
        return value.to_json() if isinstance(value, SecretReference) else value.get_secret_value()

    def is_blank(self, value: Any) -> bool:
        return not (value.name if isinstance(value, SecretReference) else value.get_secret_value())

    def show(self, value: object) -> str:
        return "nothing" if value in (None, "") else MASK

    @property
    def is_secret(self) -> bool:
        return True

    def map_secrets(self, value: Any, change: Callable[[Any], Any]) -> Any:
        return change(value)


class Number(Kind):
    name: ClassVar[KindName] = "number"

    def parse(self, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        # JavaScript has no whole numbers: 30 may arrive as 30.0.
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            return int(value)
        raise Refused("a whole number is needed, such as 30")


class Decimal(Kind):
    name: ClassVar[KindName] = "decimal"

    def parse(self, value: object) -> float:
        number = math.nan
        if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
            number = float(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            with contextlib.suppress(OverflowError):  # a whole number beyond every float
                number = float(value)
        # JSON knows neither NaN nor infinity.
        if not math.isfinite(number):
            raise Refused("a number is needed, such as 2.5")
        return number


class Switch(Kind):
    name: ClassVar[KindName] = "switch"

    def parse(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in _SWITCH:
            return _SWITCH[value.strip().lower()]
        raise Refused("true or false is needed")


class FilePath(Kind):
    """A path is kept as it was typed; the function gets the home folder of whoever runs the job in place of "~"."""

    name: ClassVar[KindName] = "path"

    def parse(self, value: object) -> Path:
        if isinstance(value, Path):
            return value
        # Path("") is the working folder: an empty field must not mean that by accident.
        if not isinstance(value, str) or not value.strip():
            raise Refused("the path of a file or folder is needed, as a text")
        return Path(_storable(value))

    def for_call(self, value: Any) -> Any:
        try:
            return value.expanduser()
        except RuntimeError:  # no such user, or no home folder: "~x" is then a name like any other
            return value

    def to_json(self, value: Path) -> Any:
        return str(value)


class Duration(Kind):
    name: ClassVar[KindName] = "duration"

    def parse(self, value: object) -> timedelta:
        try:
            return parse_duration(value)
        except ValueError as error:
            raise Refused(str(error)) from None

    def to_json(self, value: timedelta) -> Any:
        return format_duration(value)


class Size(Kind):
    """A number of bytes; its JSON is a text as people write it."""

    name: ClassVar[KindName] = "size"

    def parse(self, value: object) -> int:
        try:
            return parse_size(value)
        except ValueError as error:
            raise Refused(str(error)) from None

    def to_json(self, value: int) -> Any:
        return format_size(value)


class Json(Kind):
    """Any value that JSON has, unchanged."""

    name: ClassVar[KindName] = "json"

    def parse(self, value: object) -> Any:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise Refused('a JSON value is needed, such as 5, "text", [1, 2] or {"name": 1}') from None
        return _all_storable(value)


class Choice(Kind):
    """A Literal or an Enum. JSON keeps the value; an Enum's name where a value is neither text nor whole number."""

    name: ClassVar[KindName] = "choice"

    def __init__(self, members: Mapping[str | int, object], labels: Mapping[str | int, str]) -> None:
        self._members = {str(key): (key, member) for key, member in members.items()}
        self.choices = tuple((str(key), labels[key]) for key in members)

    def parse(self, value: object) -> Any:
        for _, member in self._members.values():
            if isinstance(member, Enum) and value is member:
                return member
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value) in self._members:
            return self._members[str(value)][1]
        names = list(self._members)
        near = near_names(str(value).lower(), [name.lower() for name in names]) if isinstance(value, str) else []
        meant = next((name for name in names if near and name.lower() == near[0]), None)
        hint = f'; did you mean "{meant}"?' if meant else ""
        raise Refused(f"one of {', '.join(names)} is needed{hint}")

    def to_json(self, value: Any) -> Any:
        return next(key for key, member in self._members.values() if member is value or member == value)


class List(Kind):
    name: ClassVar[KindName] = "list"

    def __init__(self, item: Kind, build: Callable[[list[Any]], Any]) -> None:
        self._item = item
        self._build = build
        self.choices = item.choices
        self.item_name = item.name

    def parse(self, value: object) -> Any:
        if not isinstance(value, list | tuple | set | frozenset):
            raise Refused(
                'a list is needed, such as ["a", "b"]' if isinstance(self._item, Text) else "a list is needed"
            )
        return self._build([_part(self._item, item, f"item {number}") for number, item in enumerate(value, 1)])

    def for_call(self, value: Any) -> Any:
        return self._build([self._item.for_call(item) for item in value])

    def to_json(self, value: Any) -> Any:
        items = [self._item.to_json(item) for item in value]
        # A set has no order of its own: without one, the same value would be stored differently each time.
        return sorted(items, key=str) if isinstance(value, set | frozenset) else items

    def show(self, value: object) -> str:
        return MASK if self.is_secret else show(value)

    @property
    def is_secret(self) -> bool:
        return self._item.is_secret

    def map_secrets(self, value: Any, change: Callable[[Any], Any]) -> Any:
        return [self._item.map_secrets(item, change) for item in value] if isinstance(value, list) else value


class NameMapping(Kind):
    name: ClassVar[KindName] = "mapping"

    def __init__(self, item: Kind) -> None:
        self._item = item
        self.item_name = item.name

    def parse(self, value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Refused('names with values are needed, such as {"name": "value"}')
        if odd := [key for key in value if not isinstance(key, str)]:
            raise Refused("every name must be a text", at="the name", shown=show(odd[0]))
        return {_storable(key): _part(self._item, item, f"the value of {show(key)}") for key, item in value.items()}

    def for_call(self, value: Any) -> Any:
        return {key: self._item.for_call(item) for key, item in value.items()}

    def to_json(self, value: Any) -> Any:
        return {key: self._item.to_json(item) for key, item in value.items()}

    def show(self, value: object) -> str:
        return MASK if self.is_secret else show(value)

    @property
    def is_secret(self) -> bool:
        return self._item.is_secret

    def map_secrets(self, value: Any, change: Callable[[Any], Any]) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: self._item.map_secrets(item, change) for key, item in value.items()}


def holds_reference(value: Any) -> bool:
    """Tell whether the parsed *value* is or holds a reference, of which no rule can know the text."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, list | tuple | set | frozenset) and not isinstance(value, SecretReference):
        return any(isinstance(item, SecretReference) for item in value)
    return isinstance(value, SecretReference)


def _part(kind: Kind, value: object, at: str) -> Any:
    try:
        return kind.parse(value)
    except Refused as error:
        raise Refused(error.reason, at=at, shown=kind.show(value)) from None


def _all_storable(value: Any) -> Any:
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, dict):
        return {_storable(str(key)): _all_storable(item) for key, item in value.items()}
    return [_all_storable(item) for item in value] if isinstance(value, list | tuple) else value


def _storable(text: str) -> str:
    if "\0" in text:
        raise Refused("it holds a NUL character, which no command line and not every database can carry")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused("it holds half a character (a lone surrogate), which cannot be stored as UTF-8") from None
    return text
