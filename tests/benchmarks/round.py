"""One database with one number of schedules: every contestant in turn, each in a process of its own.

    python -m tests.benchmarks.round SCHEDULES BURST LIMIT SECONDS CONTESTANT…

The database, the broker and the data folder come from the environment; prints JSON, a line a contestant.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta

import django
import psutil

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_app.settings")
django.setup()

from django.core.management import call_command
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from jobs.messages import run_of
from jobs.models import Run
from scheduler_app.celery import app
from scheduler_app.routing import DEFAULT_QUEUE
from tests.benchmarks import filling
from tests.benchmarks.names import OURS, PERSISTENT

EDITS = 3
EDIT_LIMIT = 30.0
PERIOD, A_SECOND = timedelta(seconds=10), 100
SECOND = timedelta(seconds=1)


def main(schedules, burst, limit, seconds, *contestants):
    call_command("migrate", verbosity=0)
    schedules, burst, seconds = int(schedules), int(burst), float(seconds)
    start = time.perf_counter()
    now = timezone.now()
    filling.fill(schedules, due=burst, at=now + filling.QUIET, now=now)
    print(f"{schedules:,} schedules made in {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    for name in contestants:
        with app.connection_for_write() as connection:
            queue = app.amqp.queues[DEFAULT_QUEUE](connection.default_channel)
            queue.declare()
            queue.purge()
        found = measure(name, schedules, burst, limit, seconds)
        print(json.dumps({"contestant": name, "schedules": schedules, **found}), flush=True)


def measure(name, schedules, burst, limit, seconds):
    # The due ones go to the end of the day again: nothing but what is measured fires.
    filling.make_due(burst, timezone.now() + filling.QUIET)
    found = _inside(name, burst, limit)
    filling.make_due(burst, timezone.now() + filling.QUIET)
    with _serving(name) as (process, took):
        # While nothing is edited and nothing fires, for a rival's caches as for ours.
        found["memory"] = process.memory_info().rss
        if name != PERSISTENT:  # it has no edits but a restart
            found |= _edits(process, schedules)
    count = round(PERIOD.total_seconds() * A_SECOND)
    if name == PERSISTENT or count > schedules or not seconds:
        return found
    # What a start takes is not on the clock.
    found |= _lateness(name, count, seconds, lead=1.5 * took + 1)
    return found


def _inside(name, burst, limit):
    argv = [sys.executable, "-m", "tests.benchmarks.contestant", name, "ticks", str(burst), limit]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


@contextmanager
def _serving(name):
    """Run the scheduler as a beat would; yield its process and the seconds until it was ready."""
    argv = [sys.executable, "-m", "tests.benchmarks.contestant", name, "serve"]
    began = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        yield psutil.Process(process.pid), time.monotonic() - began
        process.stdin.close()


def _edits(process, schedules):
    """Change a schedule to "once, a second from now", wait for its message; what is over that second is the delay."""
    interval, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
    delays, costs = [], []
    with _arrivals() as arrivals:
        for number in range(schedules, schedules - EDITS, -1):
            task = PeriodicTask.objects.get(pk=number)
            task.interval, task.crontab, task.one_off = interval, None, True
            task.kwargs = json.dumps({"number": number})
            task.enabled, task.total_run_count = True, 0  # the contestant before has run it
            before = _cpu(process)
            task.last_run_at = timezone.now()
            task.save()
            saved = time.time()
            arrived = next((at for at, *said in arrivals(EDIT_LIMIT) if _number(*said) == number), None)
            if arrived is None:
                break
            delays.append(arrived - saved - 1.0)
            costs.append(_cpu(process) - before)
    if not delays:
        return {}
    return {"edit_delay": statistics.median(delays), "edit_cpu": statistics.median(costs)}


def _number(task_id, parameters):
    """Return the schedule that a message comes from: a rival's names it, ours names its run."""
    if "run_id" not in parameters:
        return parameters.get("number")
    return Run.objects.values_list("schedule_id", flat=True).get(pk=parameters["run_id"])


def _lateness(name, count, seconds, *, lead):
    filling.empty_runs()
    start = timezone.now() + timedelta(seconds=lead)
    filling.spread(count, period=PERIOD, start=start, now=timezone.now())
    with _arrivals() as arrivals, _serving(name):
        until = start.timestamp() + seconds
        seen = [(at, *said) for at, *said in arrivals(until - time.time()) if at >= start.timestamp()]
    late = _late_ours(seen) if name == OURS else _late_rival(seen, start, count)
    filling.calm(count, timezone.now())
    late.sort()
    if len(late) < A_SECOND:
        return {"late_p50": None, "late_p99": None, "fires": len(late)}
    return {"late_p50": late[len(late) // 2], "late_p99": late[len(late) * 99 // 100], "fires": len(late)}


def _late_ours(seen):
    runs = {run_of(task_id): at for at, task_id, _ in seen}
    due = dict(Run.objects.filter(fire_time__isnull=False).values_list("pk", "fire_time"))
    return [at - due[run_id].timestamp() for run_id, at in runs.items() if run_id in due]


def _late_rival(seen, start, count):
    period, fires, late = PERIOD.total_seconds(), {}, []
    for at, _, parameters in seen:
        number = parameters.get("number")
        if number is None:
            continue
        fires[number] = fires.get(number, -1) + 1
        late.append(at - (start.timestamp() + (number - 1) * period / count + fires[number] * period))
    return late


@contextmanager
def _arrivals():
    """Consume the queue; yield a function that yields (when, task id, parameters) until so many seconds have passed."""
    got = []

    def keep(message):
        at = time.time()
        (_, parameters, _) = json.loads(message.body)
        got.append((at, message.headers["id"], parameters))

    def arrivals(timeout):
        until = time.time() + timeout
        while (left := until - time.time()) > 0:
            try:
                connection.drain_events(timeout=left)
            except (TimeoutError, socket.timeout):  # noqa: UP041 - py-amqp's
                return
            while got:
                yield got.pop(0)

    with app.connection_for_read() as connection:
        queue = app.amqp.queues[DEFAULT_QUEUE](connection.default_channel)
        queue.purge()
        queue.consume(callback=keep, no_ack=True, consumer_tag="arrivals")
        yield arrivals
        queue.cancel("arrivals")


def _cpu(process):
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main(*sys.argv[1:])
