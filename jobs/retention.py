"""How long history is kept: by age, by number for each schedule, and by what all output takes together.

A sweep goes through the runs from the newest to the oldest, in ranges of their numbers, and counts as it goes; so it
needs no index but the primary key's, and each of its transactions is short, whatever the size of the history. What has
not ended, and each schedule's newest run, stays. A deleted run's fire does not come back: the schedule's cursor is
behind it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Max

from jobs import once
from jobs.models import ChainedRun, Run, RunOutput
from jobs.states import FINAL

READ = 2_000
# Deleted in one transaction: some 20 ms on SQLite, whose other writers wait meanwhile.
BATCH = 100


@dataclass(frozen=True, slots=True)
class Limits:
    age: timedelta
    runs_per_schedule: int
    output: int  # bytes


@dataclass(slots=True)
class Sweep:
    """One pass over the history; what it has counted so far."""

    limits: Limits
    now: datetime
    below: int | None = None  # the runs from this number on have been looked at
    output: int = 0
    kept: int = 0
    deleted: int = 0
    emptied: int = 0
    _of_schedule: Counter[int] = field(default_factory=Counter)

    def steps(self) -> Iterator[int]:
        """Do it, one short transaction after the other; yield after each how many runs it deleted or emptied."""
        while once.forget(self.now - self.limits.age, most=BATCH):
            yield 0
        newest = Run.objects.aggregate(newest=Max("pk"))["newest"]
        self.below = (newest or 0) + 1
        while rows := self._next():
            yield 0
            delete, empty = self._decide(rows)
            for ids in _batches(delete):
                yield _delete(ids)
                self.deleted += len(ids)
            for ids in _batches(empty):
                yield _empty(ids)
                self.emptied += len(ids)

    def _next(self) -> list[tuple[int, int | None, str, datetime, int]]:
        runs = Run.objects.filter(pk__lt=self.below).order_by("-pk")
        size = F("output_size") - F("output_dropped")
        rows = list(runs.values_list("pk", "schedule", "state", "created_at", size)[:READ])
        if rows:
            self.below = rows[-1][0]
        return rows

    def _decide(self, rows: list[tuple[int, int | None, str, datetime, int]]) -> tuple[list[int], list[int]]:
        delete, empty = [], []
        oldest, most = self.now - self.limits.age, self.limits.runs_per_schedule
        for pk, schedule, state, created_at, size in rows:
            if schedule is not None:
                self._of_schedule[schedule] += 1
            number = self._of_schedule[schedule] if schedule is not None else 0
            too_old = created_at < oldest and number != 1
            if state in FINAL and (too_old or number > most):
                delete.append(pk)
                continue
            self.kept += 1
            self.output += size
            if self.output > self.limits.output and size and state in FINAL:
                self.output -= size
                empty.append(pk)
        return delete, empty


def _batches(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def _delete(ids: list[int]) -> int:
    with transaction.atomic():
        RunOutput.objects.filter(run__in=ids).delete()
        ChainedRun.objects.filter(run__in=ids).delete()
        # Not delete(), which reads the rows first; what refers to them is gone.
        return Run.objects.filter(pk__in=ids, state__in=sorted(FINAL))._raw_delete(Run.objects.db)  # noqa: SLF001


def _empty(ids: list[int]) -> int:
    """Delete the output of runs; their pages say how much it was."""
    with transaction.atomic():
        RunOutput.objects.filter(run__in=ids).delete()
        return Run.objects.filter(pk__in=ids).update(output_dropped=F("output_size"))
