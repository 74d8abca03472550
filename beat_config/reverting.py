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
    """Tell whether *entry* is of a schedule that was changed or deleted, and says all there was of it."""
    return entry.kind == KIND and isinstance(entry.before, dict) and "job" in entry.before


def needed(entry: AuditEntry) -> str:
    """Return the permission that putting it back takes."""
    return "beat_config.add_schedule" if entry.after is None else "beat_config.change_schedule"


def revert(entry: AuditEntry, *, by: str, user: Any) -> Schedule:
    """Make the schedule again what it was before *entry*; raise RevertError, PermissionDenied for what *user* may not."""
    if not is_possible(entry):
        raise RevertError("the entry does not say all there was")
    before: Mapping[str, Any] = {name: value for name, value in (entry.before or {}).items() if name != WHEN}
    schedule = Schedule.objects.filter(pk=entry.subject_id).first()
    if schedule is None and entry.after is not None:
        raise RevertError("the schedule was deleted since; its deletion's own entry brings it back")
    try:
        return documents.write(documents.parse(before), schedule=schedule, by=by, user=user)
    except documents.DocumentError as error:
        raise RevertError("; ".join(map(str, error.problems))) from error
