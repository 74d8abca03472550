"""Writing TOML: the standard library reads it only."""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any


def table_lines(heading: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a table: its heading in brackets, and a line for each value."""
    yield heading
    for name, value in values.items():
        yield f"{_key(name)} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, date):  # a datetime, too
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {_value(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    raise ValueError(f"TOML has no way to say {value!r}")


def _key(name: str) -> str:
    is_bare = name.isascii() and name.replace("-", "_").isidentifier()
    return name if is_bare else _quoted(name)


def _text(text: str) -> str:
    lines = text.split("\n")
    if len(lines) == 1:
        return _quoted(text)
    # A line break after the opening quotes is not part of the text.
    return '"""\n' + "\n".join(_quoted(line)[1:-1] for line in lines) + '"""'


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
