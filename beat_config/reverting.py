"""A schedule put back as an entry of the audit log says it was before."""

from collections.abc import Mapping
from typing import Any

from beat_config import documents
from beat_config.models import Schedule
from beat_config.snapshots import WHEN
from jobs.models import AuditEntry

KIND = Schedule._meta.label_lower


class RevertError(Exception):
    """The schedule cannot be put back; str() says why."""


def is_possible(entry: AuditEntry) -> bool:
    """Tell whether *entry* is of a schedule that was changed, and says all there was of it."""
    whole = isinstance(entry.before, dict) and "job" in entry.before
    return entry.kind == KIND and whole and entry.after is not None


def revert(entry: AuditEntry, *, by: str, user: Any) -> Schedule:
    """Make the schedule what it was before *entry*; raise RevertError, or PermissionDenied for what *user* may not."""
    if not is_possible(entry):
        raise RevertError("the entry does not say all there was")
    before: Mapping[str, Any] = {name: value for name, value in (entry.before or {}).items() if name != WHEN}
    schedule = Schedule.objects.filter(pk=entry.subject_id).first()
    if schedule is None:
        raise RevertError("the schedule was deleted since: bring it back first, in the list of schedules")
    try:
        return documents.write(documents.parse(before), schedule=schedule, by=by, user=user)
    except documents.DocumentError as error:
        raise RevertError("; ".join(map(str, error.problems))) from error
