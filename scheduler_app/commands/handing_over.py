"""A run that somebody at the command line asks for."""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from jobs import audit, catalogue, handing_over
from jobs.models import Origin, Run
from scheduler_app.commands import runs
from scheduler_app.commands.problems import CommandProblem


def start(job: str, parameters: dict[str, Any], *, at: str | None, **options: Any) -> Run:
    """Record a run of *job*, or find the one that the key among *options* made before."""
    moment = None if at is None else _moment(at)
    wanted = handing_over.order(at=moment, keys_of="command line", **options)
    by = runs.by()
    with transaction.atomic():
        made = handing_over.hand_over(catalogue.registry()[job], parameters, wanted, origin=Origin.MANUAL, by=by)
        if made.new:
            audit.record(by, audit.Action.RUN, f"Job {job}", None, {"Run": made.run_id})
    return runs.found(made.run_id)


def _moment(text: str) -> datetime:
    """Return the moment that *text* names; without an offset, in the installation's zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandProblem(
            f"cannot use --at {text!r}: a moment is needed, such as 2026-12-24T18:00 or 2026-12-24T18:00+01:00"
        ) from None
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
