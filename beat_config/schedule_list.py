"""Which schedules a list shows: what was asked for, and the numbers of those on one page, of 100,000 in little time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from beat_config.models import LOOK_NOW, Schedule, SchedulePolicy
from jobs.bulk import Among
from jobs.models import Run
from jobs.recent import WENT_WRONG
from jobs.states import State

ON_A_PAGE = 50
# Of what a filter leaves, more are not counted.
COUNTED = 10_000
# Beat records what is due within a fraction of a second.
LATE = timedelta(minutes=1)
STATES = {
    "enabled": "Enabled",
    "disabled": "Disabled",
    "running": "Running",
    "failing": "Failing",
    "late": "Late",
    "broken": "Broken",
}
MEANINGS = {
    "enabled": "Those that start by themselves",
    "disabled": "Those that start by hand or after another one only",
    "running": "Those with a run that is going on",
    "failing": "Those whose last run went wrong and that have not succeeded since",
    "late": "Those that should have started more than a minute ago",
    "broken": "Those that cannot start as they are",
}
SORTS = {"name": "By name", "failing": "Failing first", "next": "Next first"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of a list says; what it says wrongly counts as not said."""

    text: str = ""
    tag: str = ""
    job: str = ""
    state: str = ""
    sort: str = "name"
    page: int = 1

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Asked":
        page, sort, state = values.get("page", ""), values.get("sort", ""), values.get("state", "")
        return cls(
            text=values.get("q", "").strip().replace("\0", "")[:200],
            tag=values.get("tag", "").replace("\0", ""),
            job=values.get("job", "").replace("\0", ""),
            state=state if state in STATES else "",
            sort=sort if sort in SORTS else "name",
            page=max(1, int(page)) if page.isdecimal() and len(page) < 8 else 1,  # noqa: PLR2004 - ten million pages
        )

    @property
    def narrows(self) -> bool:
        return bool(self.text or self.tag or self.job or self.state)

    def address(self, **changes: str | int) -> str:
        """Return the query of the same list with *changes*; another list begins with its first page."""
        values = {"q": self.text, "tag": self.tag, "job": self.job, "state": self.state, "sort": self.sort, "page": 1}
        values |= changes
        said = {
            name: value
            for name, value in values.items()
            if value and (name, value) not in {("sort", "name"), ("page", 1)}
        }
        return f"?{urlencode(said)}"


@dataclass(frozen=True, slots=True)
class Page:
    """The schedules on one page, in order, and where it stands among the others."""

    ids: list[int]
    number: int
    first: int
    total: int
    more: bool  # than were counted

    @property
    def last(self) -> int:
        return self.first + len(self.ids) - 1

    @property
    def has_next(self) -> bool:
        return self.more or self.last < self.total


def page_of(asked: Asked, now: datetime) -> Page:
    """Return the page that was asked for; the last one when there are fewer."""
    wanted = matching(asked, now)
    # All of them are counted in an index.
    total = wanted.order_by()[: COUNTED + 1].count() if asked.narrows else Schedule.objects.count()
    more = asked.narrows and total > COUNTED
    total = min(total, COUNTED) if more else total
    number = asked.page if more else min(asked.page, max(1, -(-total // ON_A_PAGE)))
    start = (number - 1) * ON_A_PAGE
    return Page(list(_slice(_sections(wanted, asked), start)), number, start + 1, total, more)


def matching(asked: Asked, now: datetime) -> QuerySet[Schedule]:
    """Return the schedules that the filters leave."""
    found: QuerySet[Schedule] = Schedule.objects.all()
    for word in asked.text.split():
        found = found.filter(Q(name__icontains=word) | Q(description__icontains=word))
    if asked.job:
        found = found.filter(task=asked.job)
    if asked.tag:
        through = SchedulePolicy.tags.through.objects
        found = found.filter(pk__in=through.filter(tag__name=asked.tag).values("schedulepolicy"))
    if asked.state:
        found = found.filter(_state(asked.state, now))
    return found


def failing() -> list[int]:
    """Return the schedules whose newest telling run went wrong."""
    # By hand: this begins with the few runs that went wrong, where the ORM's would begin with all schedules.
    wrong = ", ".join(f"'{state}'" for state in sorted(WENT_WRONG))
    hint = "INDEXED BY jobs_run_gone_wrong" if connection.vendor == "sqlite" else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT wrong.schedule_id FROM (SELECT schedule_id, MAX(id) AS id FROM jobs_run {hint}"  # noqa: S608 - constants only
            f" WHERE state IN ({wrong}) AND part_of IS NULL GROUP BY schedule_id) AS wrong"
            " WHERE wrong.schedule_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM jobs_run AS since"
            " WHERE since.schedule_id = wrong.schedule_id AND since.id > wrong.id"
            f" AND since.state = '{State.SUCCEEDED}' AND since.part_of IS NULL)"
        )
        return [schedule for (schedule,) in cursor.fetchall()]


def _state(state: str, now: datetime) -> Q:
    match state:
        case "failing":
            return Q(Among(F("pk"), failing()))
        case "running":
            going = Run.objects.filter(state=State.RUNNING, schedule__isnull=False)
            return Q(pk__in=going.values("schedule"))
        case "broken":
            return Q(pk__in=SchedulePolicy.objects.exclude(error="").values("pk"))
        case "late":
            overdue = SchedulePolicy.objects.filter(look_at__gt=LOOK_NOW, look_at__lt=now - LATE, error="")
            return Q(enabled=True, pk__in=overdue.values("pk"))
        case _:
            return Q(enabled=state == "enabled")


def _sections(wanted: QuerySet[Schedule], asked: Asked) -> list[QuerySet[Schedule]]:
    """Return the schedules in their order, in parts that each have an index to follow."""
    by_name = wanted.order_by("name")
    if asked.sort == "failing":
        condition = Among(F("pk"), failing())
        return [by_name.filter(condition), by_name.exclude(condition)]
    if asked.sort == "next":
        coming = wanted.filter(policy__look_at__isnull=False).order_by("policy__look_at", "policy__pk")
        return [coming, by_name.filter(Exists(SchedulePolicy.objects.filter(pk=OuterRef("pk"), look_at=None)))]
    return [by_name]


def _slice(sections: list[QuerySet[Schedule]], start: int) -> Iterator[int]:
    missing = ON_A_PAGE
    for place, section in enumerate(sections):
        found = list(section.values_list("pk", flat=True)[start : start + missing])
        yield from found
        missing -= len(found)
        if not missing:
            return
        if place + 1 < len(sections):
            start = 0 if found else start - section.order_by().count()
