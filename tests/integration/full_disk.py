"""Run by a test on a small disk of its own: a full history, a full disk, and beat's thread that makes room.

Prints what it sees, one word and number a line.
"""

import os
import sys
import time
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import django


def say(what: str, value: object) -> None:
    sys.stdout.write(f"{what} {value}\n")


def main(data: Path) -> None:
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "scheduler_app.settings",
        "SCHEDULER_DATA_FOLDER": str(data),
        "SCHEDULER_RETENTION_BALLAST": "6MiB",
        "SCHEDULER_RETENTION_RUNS_PER_SCHEDULE": "5",
    }
    from scheduler_app import migrate

    assert migrate.main() == 0
    django.setup()
    from django.conf import settings
    from django.db import DatabaseError
    from django.utils import timezone

    from jobs import keeping
    from jobs.models import Run, RunOutput
    from jobs.states import State
    from scheduler_app import ballast

    file = settings.SCHEDULER_PATHS.ballast
    assert ballast.take(file, settings.SCHEDULER.retention.ballast)
    now = timezone.now()

    def record() -> None:
        run = Run.objects.create(
            job="j", state=State.SUCCEEDED, schedule_id=1, created_at=now - timedelta(hours=1), finished_at=now
        )
        RunOutput.objects.create(run=run, number=1, stream=1, data=os.urandom(200_000))

    filler = (data / "filler").open("wb")
    while ballast.shutil.disk_usage(data).free > 14 << 20:  # others fill it, too
        filler.write(bytes(1 << 20))
        filler.flush()
    try:
        while True:
            record()
    except DatabaseError as error:
        say("full", str(error).replace(" ", "_"))
    say("before", Run.objects.count())
    keeping.LOOK_EVERY = 0.1
    thread = keeping.KeepingThread(nullcontext())
    thread.start()
    deadline = time.monotonic() + 60
    while Run.objects.count() > 5 and time.monotonic() < deadline:
        time.sleep(0.1)
    say("after", Run.objects.count())
    say("ballast", int(file.exists()))
    for _ in range(20):
        record()
    say("recorded", Run.objects.count())
    filler.truncate(0)
    filler.close()
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    say("ballast_again", int(file.exists()))
    thread.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
