"""The calendar: what ran and what is going to, a month, a week or a day at a time, and when it is crowded."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from beat_config.coming import Coming, Outlook, outlook
from jobs import catalogue
from jobs.counts import Counted, RunCounts
from jobs.models import Run
from jobs.states import State
from scheduler_app.web.charts import KINDS

VIEWS = {"day": "Day", "week": "Week", "month": "Month"}
# Of one schedule, in a day (every minute) and in more.
EACH_OF_DAY, EACH = 1_440, 200
# In one day's place of the month, of the week, and in one hour of the day.
SHOWN_IN = {"month": 4, "week": 14, "day": 8}
SLOT = timedelta(minutes=5)
HOUR = timedelta(hours=1)
WENT_WRONG = (State.FAILED, State.TIMED_OUT, State.INTERRUPTED, State.MISSED)

_counts = RunCounts()


@dataclass(frozen=True, slots=True)
class Fires:
    """The fires of one schedule within a place of the calendar; *words* instead of times where they are very many."""

    schedule: int
    name: str
    first: datetime
    count: int
    words: str = ""
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    run: int
    name: str
    at: datetime
    state: str
    kind: str


@dataclass(frozen=True, slots=True)
class Place:
    """A day of the month or the week, or an hour of the day. *counts* are in the order of `charts.KINDS`."""

    begin: datetime
    counts: tuple[int, ...]
    ran: tuple[Ran, ...]
    coming: tuple[Fires, ...]
    more: int
    is_now: bool
    is_outside: bool = False

    @property
    def told(self) -> str:
        said = [f"{count:,} {word}" for count, (word, _) in zip(self.counts, KINDS.values(), strict=True) if count]
        return ", ".join(said)


@dataclass(frozen=True, slots=True)
class Slot:
    """Some minutes, and what is due in them; *level* is 0 to 4, as crowded as it is beside the others."""

    begin: datetime
    count: int
    level: int
    names: str


@require_safe
def calendar(request: HttpRequest) -> HttpResponse:
    """Show the view and the date that the address names; a month, around today, without."""
    may_see = {name: request.user.has_perm(name) for name in ("jobs.view_run", "beat_config.view_schedule")}
    if not any(may_see.values()):
        raise PermissionDenied
    now = timezone.now()
    view = request.GET.get("view", "")
    view = view if view in VIEWS else "month"
    around = _date(request.GET.get("date", ""), timezone.localdate(now))
    begins = _begins(view, around)
    begin, end = begins[0], begins[-1]
    each = EACH_OF_DAY if view == "day" else EACH
    coming = outlook(max(begin, now), end, each=each) if may_see["beat_config.view_schedule"] else Outlook([], False)
    ran = _counts.between(begins, now) if may_see["jobs.view_run"] else None
    places = _places(view, around, begins, ran, coming.schedules, now)
    from_now = [begin for begin, end in pairwise(begins) if end > now]
    crowd, columns = (SLOT, _MINUTES) if view == "day" else (HOUR, _HOURS)
    context = {
        **admin.site.each_context(request),
        "title": "Calendar",
        "view": view,
        "views": VIEWS,
        "around": around,
        "heading": _heading(view, around),
        "before": _moved(view, around, -1),
        "after": _moved(view, around, 1),
        "today": timezone.localdate(now),
        "weeks": [places[number : number + 7] for number in range(0, len(places), 7)],
        "places": places,
        "crowd": _crowd([each for each in coming.schedules if not each.is_cut], from_now, crowd, len(columns)),
        "crowd_columns": columns,
        "often": [each for each in coming.schedules if each.is_cut],
        "left_out": coming.left_out,
    }
    return render(request, "web/calendar.html", context)


_MINUTES = [f":{minute:02}" for minute in range(0, 60, 5)]
_HOURS = [f"{hour:02}" for hour in range(24)]


def _date(text: str, today: date) -> date:
    """Return the date that an address says; today where it says none that a calendar has."""
    try:
        said = date.fromisoformat(text)
    except ValueError:
        return today
    return said if date(1971, 1, 1) <= said <= date(2200, 1, 1) else today


def _begins(view: str, around: date) -> list[datetime]:
    """Return where each place begins, and where the last one ends."""
    if view == "day":
        first, end = _midnight(around).astimezone(UTC), _midnight(around + timedelta(days=1)).astimezone(UTC)
        hours = round((end - first) / HOUR)  # a day has 23 or 25 where the clocks change
        return [timezone.localtime(first + HOUR * number) for number in range(hours)] + [timezone.localtime(end)]
    first_day, days = around - timedelta(days=around.weekday()), 7
    if view == "month":
        first_of_month = around.replace(day=1)
        first_day = first_of_month - timedelta(days=first_of_month.weekday())
        weeks = -(-((_next_month(around) - first_day).days) // 7)
        days = 7 * weeks
    return [_midnight(first_day + timedelta(days=number)) for number in range(days + 1)]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_current_timezone())


def _next_month(around: date) -> date:
    return (around.replace(day=1) + timedelta(days=32)).replace(day=1)


def _moved(view: str, around: date, by: int) -> date:
    if view == "month":
        return _next_month(around) if by > 0 else (around.replace(day=1) - timedelta(days=1)).replace(day=1)
    return around + timedelta(days=by * (7 if view == "week" else 1))


def _heading(view: str, around: date) -> str:
    if view == "month":
        return f"{around:%B %Y}"
    if view == "week":
        monday = around - timedelta(days=around.weekday())
        return f"Week {around.isocalendar().week}: {monday:%b} {monday.day} to {monday + timedelta(days=6):%b %d, %Y}"
    return f"{around:%A}, {around:%B} {around.day}, {around.year}"


def _places(
    view: str,
    around: date,
    begins: Sequence[datetime],
    ran: Sequence[Counted] | None,
    coming: Sequence[Coming],
    now: datetime,
) -> list[Place]:
    fires = _by_place(coming, begins)
    places = []
    for number, (begin, end) in enumerate(pairwise(begins)):
        counted = ran[number] if ran is not None else {}
        counts = tuple(sum(counted.get(state, 0) for state in states) for _, states in KINDS.values())
        shown = tuple(_ran(begin, end, now)) if view == "day" and ran is not None and begin <= now else ()
        places.append(
            Place(
                begin=begin,
                counts=counts,
                ran=shown,
                coming=tuple(fires[number][: SHOWN_IN[view]]),
                more=max(0, len(fires[number]) - SHOWN_IN[view]),
                is_now=begin <= now < end,
                is_outside=view == "month" and begin.month != around.month,
            )
        )
    return places


def _by_place(coming: Sequence[Coming], begins: Sequence[datetime]) -> Mapping[int, list[Fires]]:
    """Return what fires in each place, the rarest first: what runs all day is no news in any hour of it."""
    found: dict[int, list[Fires]] = defaultdict(list)
    for each in coming:
        for number, times in _sorted_into(each.fires, begins):
            words = each.words if each.is_cut else ""
            skipped = each.skipped.get(times[0], "")
            found[number].append(Fires(each.schedule, each.name, times[0], len(times), words, skipped))
        if each.is_cut:
            # Beyond the last that was looked at it goes on.
            last = max(number for number, _ in _sorted_into(each.fires, begins))
            for number in range(last + 1, len(begins) - 1):
                found[number].append(Fires(each.schedule, each.name, begins[number], 0, each.words))
    for fires in found.values():
        fires.sort(key=lambda fire: (bool(fire.words), fire.count, fire.first))
    return found


def _sorted_into(fires: Sequence[datetime], begins: Sequence[datetime]) -> Iterator[tuple[int, list[datetime]]]:
    """Yield the numbers of the places in which there are *fires*, which ascend, with those."""
    number, times = 0, list[datetime]()
    for fire in fires:
        while number + 2 < len(begins) and fire >= begins[number + 1]:
            if times:
                yield number, times
            number, times = number + 1, []
        times.append(fire)
    if times:
        yield number, times


def _ran(begin: datetime, end: datetime, now: datetime) -> Iterator[Ran]:
    """Yield some of the runs recorded between two moments: first what went wrong, then the newest of the others."""
    first, last = _counts.first_at(begin, now), _counts.first_at(end, now)
    within = Run.objects.filter(pk__gte=first, pk__lt=last)
    most = SHOWN_IN["day"]
    wrong = [run for state in WENT_WRONG for run in within.filter(state=state).order_by("-pk")[:most]][:most]
    others = within.exclude(state__in=WENT_WRONG).order_by("-pk")[: most - len(wrong)]
    for run in sorted([*wrong, *others], key=lambda run: run.pk):
        kind = next((name for name, (_, states) in KINDS.items() if run.state in states), "going")
        name = run.schedule_name or catalogue.title(run.job)
        yield Ran(run.pk, name, run.fire_time or run.created_at, State(run.state).label, kind)


def _crowd(
    coming: Sequence[Coming], rows: Sequence[datetime], width: timedelta, slots: int
) -> list[tuple[datetime, list[Slot]]]:
    """Return for each of *rows*, hours or days, what is due in each slot of it; nothing where nothing is due."""
    names: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
    ends = [*rows, datetime.max.replace(tzinfo=UTC)]
    for each in coming:
        for number, times in _sorted_into(each.fires, ends):
            for fire in times:
                if fire not in each.skipped:
                    names[number, (fire - rows[number]) // width][each.name] += 1
    if not names:
        return []
    sums = [sum(counter.values()) for counter in names.values()]
    least, most = min(sums), max(sums)
    return [
        (row, [_slot(row + width * place, names[number, place], least, most) for place in range(slots)])
        for number, row in enumerate(rows)
    ]


def _slot(begin: datetime, names: Counter[str], least: int, most: int) -> Slot:
    count = sum(names.values())
    level = 1 + 3 * (count - least) // max(1, most - least) if count else 0
    listed = ", ".join(name if times == 1 else f"{name} ({times})" for name, times in names.most_common(6))
    return Slot(begin, count, level, f"{listed} …" if len(names) > 6 else listed)  # noqa: PLR2004 - what a hint can hold
