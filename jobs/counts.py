"""How many runs ended how, between two moments: counted in an index alone, whatever the length of the history.

Runs are numbered in the order in which they are recorded, so that two moments are two numbers, and jobs_run_by_state
holds what is counted between them. What lies in the past is remembered: its numbers stay as they are.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise

from django.db.models import Count, Max, Min

from jobs.models import Run
from jobs.states import ACTIVE, FINAL, State

# Retention deletes old runs meanwhile; a run that still goes on will be counted where it was recorded.
KEPT_FOR, KEPT_WHILE_UNFINISHED = timedelta(hours=1), timedelta(minutes=1)
# More moments than any page asks for.
MOST_REMEMBERED = 5_000

Counted = Mapping[State, int]


class RunCounts:
    """Counts of one process, which remembers what it has counted."""

    def __init__(self) -> None:
        self._numbers: dict[datetime, int] = {}
        self._counted: dict[tuple[int, int], tuple[datetime, Counted]] = {}

    def between(self, moments: list[datetime], now: datetime) -> list[Counted]:
        """Return how many runs were recorded between each two of *moments*, which ascend, by outcome."""
        numbers = [self.first_at(moment, now) for moment in moments]
        oldest_active = Run.objects.filter(state__in=sorted(ACTIVE)).aggregate(oldest=Min("id"))["oldest"]
        last = _last()
        return [
            # What still gets runs is not remembered.
            self._remembered(first, end, oldest_active, now) if end <= last else _count(first, end)
            for first, end in pairwise(numbers)
        ]

    def first_at(self, moment: datetime, now: datetime) -> int:
        """Return the number of the first run recorded at *moment* or later; one more than any where there is none."""
        if moment in self._numbers:
            return self._numbers[moment]
        last = _last()
        if moment >= now:
            return last + 1
        low, high = Run.objects.aggregate(first=Min("id"))["first"] or 1, last + 1
        while low < high:
            middle = (low + high) // 2
            from_there = Run.objects.filter(pk__gte=middle).order_by("pk").values_list("pk", "created_at").first()
            if from_there is not None and from_there[1] < moment:
                low = from_there[0] + 1
            else:
                high = middle
        if len(self._numbers) >= MOST_REMEMBERED:
            self._numbers.clear()
        self._numbers[moment] = high
        return high

    def _remembered(self, first: int, end: int, oldest_active: int | None, now: datetime) -> Counted:
        known = self._counted.get((first, end))
        if known is not None and known[0] > now:
            return known[1]
        if len(self._counted) >= MOST_REMEMBERED:
            self._counted.clear()
        is_over = oldest_active is None or end <= oldest_active
        counted = _count(first, end)
        self._counted[first, end] = now + (KEPT_FOR if is_over else KEPT_WHILE_UNFINISHED), counted
        return counted


def _last() -> int:
    return Run.objects.aggregate(last=Max("id"))["last"] or 0


def _count(first: int, end: int) -> Counted:
    if first >= end:
        return {}
    runs = Run.objects.filter(state__in=sorted(FINAL), pk__gte=first, pk__lt=end).order_by()
    return {State(state): count for state, count in runs.values_list("state").annotate(Count("pk"))}
