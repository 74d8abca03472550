"""Runs over time as columns of a drawing, and the same as rows of a table. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.states import State

WIDTH, HEIGHT, GAP = 720, 120, 2
# A column with anything in it is seen, however little that is beside the others.
LEAST = 2
# From the bottom up: what a column is made of, and the words for it.
KINDS: Mapping[str, tuple[str, frozenset[State]]] = {
    "succeeded": ("succeeded", frozenset({State.SUCCEEDED})),
    "failed": ("failed", frozenset({State.FAILED, State.TIMED_OUT, State.INTERRUPTED})),
    "not-run": ("not run", frozenset({State.SKIPPED, State.MISSED, State.CANCELLED})),
}


@dataclass(frozen=True, slots=True)
class Part:
    kind: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """*label* says when; *counts* are in the order of KINDS."""

    label: str
    x: float
    width: float
    parts: tuple[Part, ...]
    counts: tuple[int, ...]

    @property
    def words(self) -> str:
        told = [f"{count:,} {word}" for count, (word, _) in zip(self.counts, KINDS.values(), strict=True) if count]
        return f"{self.label}: {', '.join(told) or 'no runs'}"


@dataclass(frozen=True, slots=True)
class Chart:
    columns: tuple[Column, ...]
    highest: int

    @property
    def words(self) -> str:
        """Return the sums, for those who do not see the drawing."""
        sums = [sum(counts) for counts in zip(*(column.counts for column in self.columns), strict=True)]
        told = [f"{count:,} {word}" for count, (word, _) in zip(sums, KINDS.values(), strict=True)]
        return ", ".join(told)

    @property
    def ticks(self) -> list[Column]:
        """Return the columns whose label is written below them."""
        return [*self.columns[:: max(1, len(self.columns) // 6)]]


def chart(labels: Sequence[str], counted: Sequence[Mapping[State, int]]) -> Chart:
    """Return a column for each of *labels*."""
    counts = [tuple(sum(each.get(state, 0) for state in states) for _, states in KINDS.values()) for each in counted]
    highest = max((sum(each) for each in counts), default=0)
    width = WIDTH / max(1, len(counts))
    columns = (
        Column(label, round(width * place, 2), round(width - GAP, 2), _parts(each, highest), each)
        for place, (label, each) in enumerate(zip(labels, counts, strict=True))
    )
    return Chart(tuple(columns), highest)


def _parts(counts: Sequence[int], highest: int) -> tuple[Part, ...]:
    parts: list[Part] = []
    y = float(HEIGHT)
    for kind, count in zip(KINDS, counts, strict=True):
        if count:
            height = max(LEAST, HEIGHT * count / highest)
            y -= height
            parts.append(Part(kind, round(max(0.0, y), 2), round(height, 2)))
    return tuple(parts)


def hour(moment: datetime) -> str:
    return f"{moment:%H:00}"


def day(moment: datetime) -> str:
    return f"{moment:%b} {moment.day}"
