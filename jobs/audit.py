"""Who changed what: one entry for each change that a person makes, in the transaction of the change."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Model
from django.utils import timezone

from jobs.models import AuditEntry

Action = AuditEntry.Action
State = Mapping[str, Any]


def record(by: str, action: str, subject: Model | str, before: State | None = None, after: State | None = None) -> None:
    """Note that *by* did *action* to *subject*: a row, or in words what has none.

    *before* and *after* are what there was and is to read, as JSON knows it, by the names that people see; never
    the value of a secret. A change that left everything as it was is none, and gets no entry.
    """
    if action == Action.CHANGED and before == after:
        return
    AuditEntry.objects.create(**_columns(by, action, subject, before, after))


def record_each(by: str, action: str, subjects: Iterable[Model], before: State | None, after: State | None) -> None:
    """Note that *by* did *action* to every one of *subjects*."""
    entries = (AuditEntry(**_columns(by, action, subject, before, after)) for subject in subjects)
    AuditEntry.objects.bulk_create(entries, batch_size=500)


def _columns(by: str, action: str, subject: Model | str, before: State | None, after: State | None) -> dict[str, Any]:
    # A proxy's own label: people see a schedule, not django-celery-beat's table.
    kind, pk = (subject._meta.label_lower, str(subject.pk)) if isinstance(subject, Model) else ("", "")
    return {
        "at": timezone.now(),
        "by": by[:150],
        "action": Action(action),
        "kind": kind,
        "subject_id": pk,
        "subject": str(subject)[:200],
        "before": dict(before) if before is not None else None,
        "after": dict(after) if after is not None else None,
    }
