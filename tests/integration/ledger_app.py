"""A real worker that writes a line for each run it has claimed, and starts no process for it: `celery -A tests.integration.ledger_app`.

A process for each of many runs a second is more than two cores have; how a message travels and is claimed stays as it is.
"""

import os
from datetime import timedelta

import django

django.setup()

from django.utils import timezone  # noqa: E402 - needs the models

from jobs import claims, executor  # noqa: E402 - needs the models
from jobs.states import State  # noqa: E402 - needs the models
from scheduler_app.celery import app  # noqa: E402 - needs the models

__all__ = ["app"]

LEASE = timedelta(seconds=30)


def execute(run_id, attempt, *, worker):
    held = claims.claim(run_id, attempt, worker=worker, lease=LEASE, now=timezone.now())
    if held is None:
        return
    append(held.run.parameters["ledger"], f"{held.run.schedule_name} {held.run.fire_time.isoformat()}\n")
    claims.finish(held, claims.Outcome(State.SUCCEEDED), now=timezone.now())


def append(path, line):
    """Add the line in one write, which O_APPEND keeps whole whoever else writes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


executor.execute = execute
