"""Schedules on the command line: found by name or number."""

from beat_config.models import Schedule
from jobs.errors import near_names
from scheduler_app.commands.problems import CommandProblem

# Of digits: more than this no database can hold.
_LONGEST_NUMBER = 18


def found(wanted: str) -> Schedule:
    """Return the schedule called *wanted*, or else of that number; CommandProblem says which are meant, perhaps."""
    schedules = Schedule.objects.select_related("policy")
    found: Schedule | None = schedules.filter(name=wanted).first()
    if found is None and wanted.isascii() and wanted.isdecimal() and len(wanted) <= _LONGEST_NUMBER:
        found = schedules.filter(pk=int(wanted)).first()
    if found is not None:
        return found
    near = _near(wanted)
    hint = f": did you mean {' or '.join(map(repr, near))}?" if near else "; scheduler-app schedule list shows all"
    raise CommandProblem(f"cannot find the schedule {wanted!r}{hint}")


def _near(wanted: str) -> list[str]:
    """Return the names that *wanted* may have been meant for: written otherwise, or its beginning, or a slip."""
    alike = list(Schedule.objects.filter(name__icontains=wanted).values_list("name", flat=True)[:3])
    return alike or near_names(wanted, Schedule.objects.values_list("name", flat=True)[:10_000])
