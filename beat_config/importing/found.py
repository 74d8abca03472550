"""What a reader of another program's schedules returns, and what several of them need."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

LONGEST_NAME = 200


class ImportProblem(ValueError):  # noqa: N818 - reads as what it says
    """A file that is not what it should be; str() says why."""


@dataclass(slots=True)
class Found:
    """One schedule of another program: *values* is its document, empty when there can be none; *notes* say why.

    *notes* also say what of it is different here. *place* is where it was found.
    """

    place: str
    name: str
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def name_of(command: str) -> str:
    """Return a name for what runs *command*: its beginning, on one line."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in command).split())
    return text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004 - as long as a list shows it


def give_names(found: Iterable[Found]) -> list[Found]:
    """Give each a name that no other has, and its document the same."""
    used: set[str] = set()
    named = []
    for each in found:
        wanted = each.name.strip()[: LONGEST_NAME - 6] or "unnamed"
        name, number = wanted, 1
        while name in used:
            number += 1
            name = f"{wanted} ({number})"
        used.add(name)
        each.name = name
        if each.values:
            each.values = {"name": name, **each.values}
        named.append(each)
    return named


def numbers(values: Sequence[int], lowest: int, highest: int) -> str:
    """Return *values* as a field of a cron line: `*` for all of them, ranges and steps where they are some."""
    some = sorted(set(values))
    if some == list(range(lowest, highest + 1)):
        return "*"
    if len(some) > 2:  # noqa: PLR2004 - two are shorter as they are
        step = some[1] - some[0]
        if all(later - earlier == step for earlier, later in pairwise(some)):
            whole = some[0] == lowest and some[-1] + step > highest
            span = "*" if whole else f"{some[0]}-{some[-1]}"
            return span if step == 1 and not whole else f"{span}/{step}"
    return ",".join(map(str, some))
