"""Runs in the Windows Python and does for a test what only a program on that side can: one JSON line in, one out.

SQLite's locks on Windows and on Linux do not see each other, so the database of a running installation is only
looked at from here; the same is true of Windows' process ids.
"""

import contextlib
import json
import os
import sys
from datetime import timedelta

import django
import psutil

django.setup()

from django.db import connection, transaction  # noqa: E402 - models need Django set up
from django.utils import timezone  # noqa: E402
from django_celery_beat.models import ClockedSchedule, PeriodicTask  # noqa: E402

from jobs import claims, starting  # noqa: E402
from jobs.models import Run, RunOutput  # noqa: E402


def schedule_once(name, job, parameters):
    """Make a schedule that is due now, as another program does; return its id."""
    clocked = ClockedSchedule.objects.create(clocked_time=timezone.now() + timedelta(seconds=1))
    schedule = PeriodicTask.objects.create(
        name=name, task=job, kwargs=json.dumps(parameters), clocked=clocked, one_off=True
    )
    return schedule.pk


def start(job, parameters, time_limit=None):
    """Start a run as the admin's "run now" does; return its id."""
    with transaction.atomic():
        run = starting.start(job, parameters, by="a test")
        if time_limit is not None:
            Run.objects.filter(pk=run.pk).update(time_limit=timedelta(seconds=time_limit))
    return run.pk


def cancel(run_id):
    return claims.cancel(run_id, by="a test", now=timezone.now())


def runs(**conditions):
    """Return what is known of the runs that match, oldest first."""
    return [_described(run) for run in Run.objects.filter(**conditions).order_by("pk")]


def _described(run):
    streams = {1: b"", 2: b""}
    for piece in RunOutput.objects.filter(run=run).order_by("number"):
        streams[piece.stream] += bytes(piece.data)
    return {
        "id": run.pk,
        "state": run.state,
        "reason": run.reason,
        "exit_code": run.exit_code,
        "worker": run.worker,
        "fired": run.fire_time is not None,
        "stdout": streams[1].decode(),
        "stderr": streams[2].decode(),
    }


def processes():
    """Return the pids of all Python processes in this wine but this one."""
    found = []
    for process in psutil.process_iter():
        # Not name() or exe(): for them psutil asks what wine does not answer.
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and any("python.exe" in part for part in process.cmdline()[:1]):
                found.append(process.pid)
    return found


def kill(pid):
    """End a process as Task Manager's "end task" does, not what it has started."""
    psutil.Process(pid).kill()


def main():
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"answer": globals()[name](**arguments)}
        except Exception as error:  # noqa: BLE001 - the test on the other side raises it
            answer = {"error": f"{type(error).__name__}: {error}"}
        connection.close()  # the last one to close leaves a database without a journal: the test may read that
        print(json.dumps(answer), flush=True)  # noqa: T201 - to the test


if __name__ == "__main__":
    main()
