"""One scheduler in a process of its own, with nothing else in it: what it costs can be read off the process.

    python -m tests.benchmarks.contestant NAME ticks BURST LIMIT
    python -m tests.benchmarks.contestant NAME serve

`ticks` measures from inside and prints JSON. `serve` says "ready" and then does what Celery's beat does, tick and
sleep, until its standard input is closed; it is measured from outside.
"""

import dbm.dumb
import json
import os
import shelve
import statistics
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_app.settings")

from scheduler_app.celery import app
from scheduler_app.routing import DEFAULT_QUEUE
from tests.benchmarks.names import DATABASE, OURS

IDLE_TICKS = 200
REPEATS = 3


def main(name, mode, burst="0", limit="0"):
    import django

    django.setup()
    with tempfile.TemporaryDirectory() as folder:
        scheduler = build(name, Path(folder))
        if mode == "serve":
            serve(scheduler)
        else:
            found = idle(scheduler, float(limit))
            if name == OURS:
                found |= burst_of_ours(scheduler, int(burst))
            else:
                found |= burst_of_a_rival(scheduler, int(burst), float(limit))
            print(json.dumps(found))
        scheduler.close()


class PlainShelf:
    """A shelf on every Python: 3.13's own is a SQLite file, opened as the newer SQLite that we use cannot be."""

    @staticmethod
    def open(filename, *, writeback):
        return shelve.Shelf(dbm.dumb.open(filename), writeback=writeback)


def build(name, folder):
    if name == OURS:
        from beat_config.scheduler import DueScheduler

        return DueScheduler(app=app)
    if name == DATABASE:
        from django_celery_beat.schedulers import DatabaseScheduler

        return DatabaseScheduler(app=app)
    from celery.beat import PersistentScheduler

    app.conf.beat_schedule = _entries()
    PersistentScheduler.persistence = PlainShelf
    return PersistentScheduler(app=app, schedule_filename=str(folder / "schedule"))


def _entries():
    from celery.schedules import crontab
    from django_celery_beat.models import PeriodicTask

    entries = {}
    for pk, every, period, minute, hour in PeriodicTask.objects.values_list(
        "pk", "interval__every", "interval__period", "crontab__minute", "crontab__hour"
    ).iterator():
        when = timedelta(**{period: every}) if every else crontab(minute=minute, hour=hour)
        entries[str(pk)] = {"task": "run_command", "schedule": when, "kwargs": {"number": pk}}
    return entries


def serve(scheduler):
    ended = threading.Event()

    def read():
        sys.stdin.read()
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    delay = scheduler.tick()  # a rival builds its heap here
    print("ready", flush=True)
    while not ended.wait(delay):
        delay = scheduler.tick()


def idle(scheduler, limit):
    """Tick IDLE_TICKS times, or for *limit* seconds: a rival that takes long is not waited for."""
    wall, cpu = [], []
    scheduler.tick()
    until = time.monotonic() + limit
    while len(wall) < IDLE_TICKS and (time.monotonic() < until or len(wall) < REPEATS):
        wall_start, cpu_start = time.perf_counter(), time.thread_time()
        scheduler.tick()
        wall.append(time.perf_counter() - wall_start)
        cpu.append(time.thread_time() - cpu_start)
    return {"tick": statistics.median(wall), "tick_cpu": statistics.median(cpu), "tick_worst": max(wall)}


def burst_of_ours(scheduler, burst):
    from django.utils import timezone

    from jobs.models import Run
    from jobs.states import State
    from tests.benchmarks import filling

    rates = []
    for _ in range(REPEATS):
        filling.make_due(burst, timezone.now())
        start = time.perf_counter()
        while scheduler.tick() == 0:
            pass
        while Run.objects.filter(state=State.PENDING).exists():
            assert time.perf_counter() - start < 60, "not all runs are sent within a minute"
            scheduler.tick()
            time.sleep(0.005)
        rates.append(burst / (time.perf_counter() - start))
    assert _queued() == REPEATS * burst, "what the database calls queued is at the broker"
    return {"burst_rate": statistics.median(rates)}


def burst_of_a_rival(scheduler, burst, limit):
    """Count what it sends in *limit* seconds; loading and the first heap are not on the clock, confirms neither."""
    from django.utils import timezone
    from django_celery_beat.models import PeriodicTasks

    from tests.benchmarks import filling

    filling.make_due(burst, timezone.now())
    if hasattr(scheduler, "schedule_changed"):
        PeriodicTasks.update_changed()
    else:
        for number in range(1, burst + 1):
            scheduler.schedule[str(number)].last_run_at -= filling.DAY
        scheduler.old_schedulers = None
    while scheduler.tick() != 0:  # until the first goes out
        pass
    before = _queued()
    start, fired = time.perf_counter(), 0
    while fired < burst - 1 and time.perf_counter() - start < limit:
        fired += scheduler.tick() == 0
    seconds = time.perf_counter() - start
    return {"burst_rate": max(_queued() - before, fired) / seconds}


def _queued():
    with app.connection_for_read() as connection:
        return app.amqp.queues[DEFAULT_QUEUE](connection.default_channel).queue_declare(passive=True).message_count


if __name__ == "__main__":
    main(*sys.argv[1:])
