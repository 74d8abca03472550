"""What the web server does for secrets when it has started.

Values that stand in the database as they are become secrets, also in the history, and then the stored bytes are
searched for what must not be there. Such values come from earlier versions, and from programs that write
django-celery-beat's tables themselves.
"""

import json
import logging
import threading
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Max
from django_celery_beat.models import PeriodicTask

from beat_config.schedules import ArgumentsError, parameters_of
from beat_config.secret_uses import secret_jobs, used_by, with_secrets
from jobs import secret_check, vault
from jobs.kinds import SecretReference
from jobs.models import Run
from jobs.secret_check import Finding
from jobs.states import ACTIVE
from jobs.vault import SecretError

logger = logging.getLogger(__name__)

BY = "the scheduler"
_RANGE = 10_000

latest: Finding | None = None


def start() -> None:
    threading.Thread(target=_work, name="secrets", daemon=True).start()


def tidy() -> Finding:
    """Do all of it once; return what the search found."""
    global latest  # noqa: PLW0603 - what the pages of this process show
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON")  # what is replaced must not stay in free pages
    moved = move_values() + move_history()
    if moved and connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    latest = secret_check.check()
    return latest


def move_values() -> int:
    """Make secrets of the values that stand in schedules; return how many schedules it was."""
    moved = 0
    for task, job in with_secrets():
        try:
            before = parameters_of(task)
            after, made = vault.keep(job, before, owner=task.name, by=BY, own=used_by(task, job))
        except (ArgumentsError, SecretError) as error:
            logger.warning("cannot make secrets of the values in the schedule %s: %s", task.name, error)
            continue
        if made:
            # Only if nobody has changed it meanwhile; then it is the next start's.
            unchanged = PeriodicTask.objects.filter(pk=task.pk, task=task.task, kwargs=task.kwargs)
            moved += unchanged.update(kwargs=json.dumps(after))
    return moved


def move_history() -> int:
    """Take the values out of runs: those of a secret become its name; return how many runs it was."""
    jobs = secret_jobs()
    marker = settings.SCHEDULER_PATHS.secrets_looked_up_to
    newest = Run.objects.aggregate(newest=Max("pk"))["newest"] or 0
    first = int(marker.read_text()) if marker.exists() else 0
    if not jobs or newest <= first:
        return 0
    by_value = {value: name for name, value in vault.values().items()}
    moved = 0
    for start_of_range in range(first, newest, _RANGE):
        runs = Run.objects.filter(pk__gt=start_of_range, pk__lte=start_of_range + _RANGE, job__in=jobs)
        for pk, name, state, before in runs.values_list("pk", "job", "state", "parameters"):

            def hide(_label: str, value: Any, *, ended: bool = state not in ACTIVE) -> Any:
                if not isinstance(value, str) or not value:
                    return value
                if value in by_value:
                    return SecretReference(by_value[value]).to_json()
                return SecretReference("").to_json() if ended else value

            after = jobs[name].map_secrets(before, hide)
            if after != before:
                moved += Run.objects.filter(pk=pk).update(parameters=after)
    marker.write_text(f"{newest}\n")
    return moved


def _work() -> None:
    try:
        finding = tidy()
        log = logger.warning if finding.found else logger.info
        log("secrets: %s", finding)
    except (DatabaseError, OSError) as error:
        logger.warning("cannot look after the secrets, the next start does it: %s", error)
    finally:
        connection.close()
