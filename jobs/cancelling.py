"""A run cancelled by a person, and that noted."""

from datetime import datetime

from django.db import transaction

from jobs import audit, claims
from jobs.models import Run


def cancel(run_id: int, *, by: str, now: datetime) -> bool:
    """Cancel the run at *now*; False when it has ended already, or there is none."""
    with transaction.atomic():
        if not claims.cancel(run_id, by=by, now=now):
            return False
        audit.record(by, audit.Action.CANCELLED, Run.objects.get(pk=run_id))
        return True
