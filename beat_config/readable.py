"""What the audit log keeps, as people read it. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Line(NamedTuple):
    """One thing that there is to read of a row, before and after."""

    name: str
    before: str
    after: str
    differs: bool


def lines(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[Line]:
    """Yield what there is to read, in the order it was written down."""
    old, new = before or {}, after or {}
    for name in dict.fromkeys([*old, *new]):
        label = name.replace("_", " ")
        was, now = old.get(name), new.get(name)
        yield Line(label[:1].upper() + label[1:], text(was), text(now), was != now)


def text(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "\n".join(map(text, value))
    if isinstance(value, dict):
        return "\n".join(f"{name} = {text(each)}" for name, each in value.items())
    return str(value)
