"""One broker, which the environment names: a worker in a process of its own, and what it and the broker do.

    python -m tests.benchmarks.broker_round quick|long [PID OF THE NODE]

Prints JSON.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import django
import psutil

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_app.settings")
django.setup()

from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from jobs.envelope import Way
from jobs.messages import Message
from jobs.models import Run, Service
from jobs.publisher import Publisher, Shipment
from jobs.states import State
from scheduler_app.celery import app
from scheduler_app.routing import DEFAULT_QUEUE
from tests.waiting import wait_until

NOBODY_READS = "benchmark"
BATCH = 1_000
# (seconds idle, messages for the latency, messages published, runs through a worker)
SIZES = {"quick": (10, 60, 5_000, 500), "long": (60, 400, 50_000, 5_000)}
PAUSES = 0.05, 0.4


def main(size, node=None):
    idle_for, singles, published, through = SIZES[size]
    call_command("migrate", verbosity=0, stdout=sys.stderr)
    ledger = Path(os.environ["SCHEDULER_DATA_FOLDER"]) / "ledger"
    ledger.touch()
    command = [sys.executable, "-m", "celery", "-A", "tests.integration.ledger_app", "worker"]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    publisher = Publisher(app, settings.SECRET_KEY)
    try:
        wait_until(Service.objects.exists, 60, "the worker is ready")
        found = idle(idle_for, worker=worker.pid, node=node and int(node))
        found |= latency(publisher, ledger, singles)
        found |= publish(publisher, published)
        found |= run_through(publisher, ledger, through)
    finally:
        publisher.close()
        worker.terminate()
        worker.wait(30)
    sys.stdout.write(json.dumps(found) + "\n")


def idle(seconds, **processes):
    time.sleep(5)  # what has just started is not idle yet
    before = {name: used(pid) for name, pid in processes.items() if pid}
    time.sleep(seconds)
    return {f"idle {name} %": 100 * (used(processes[name]) - was) / seconds for name, was in before.items()}


def used(pid):
    process = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))


def latency(publisher, ledger, count):
    took = []
    publisher.has_been_forgotten()  # connects
    for _ in range(count):
        run = make_runs(ledger, 1)[0]
        time.sleep(random.uniform(*PAUSES))
        sent = timezone.now()
        publisher.publish([shipment(run.pk, run.fire_time)])
        wait_until(lambda: Run.objects.filter(pk=run.pk, state=State.SUCCEEDED).exists(), 30, "it has run")  # noqa: B023
        took.append((Run.objects.get(pk=run.pk).started_at - sent).total_seconds() * 1000)
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    return {"latency p50 ms": statistics.median(took), "latency p99 ms": cuts[98]}


def publish(publisher, count):
    with app.connection_for_write() as connection:
        arguments = {"x-queue-type": app.conf.task_default_queue_type}
        connection.default_channel.queue_declare(
            queue=NOBODY_READS, durable=True, auto_delete=False, arguments=arguments
        )
    ids, now = range(1_000_000, 1_000_000 + count), timezone.now()
    begun = time.perf_counter()
    for start in range(0, count, BATCH):
        publisher.publish([shipment(run, now, NOBODY_READS) for run in ids[start : start + BATCH]])
    return {"publish /s": count / (time.perf_counter() - begun)}


def run_through(publisher, ledger, count):
    runs = make_runs(ledger, count)
    begun = time.perf_counter()
    for start in range(0, count, BATCH):
        publisher.publish([shipment(run.pk, run.fire_time) for run in runs[start : start + BATCH]])
    waiting = Run.objects.exclude(state=State.SUCCEEDED)
    wait_until(lambda: not waiting.exists(), 600, "all runs are done")
    return {"through /s": count / (time.perf_counter() - begun)}


def make_runs(ledger, count):
    # Without a time to be dispatched: no beat runs, and this sends them.
    return Run.objects.bulk_create(
        Run(job="run_command", parameters={"ledger": str(ledger)}, fire_time=timezone.now()) for _ in range(count)
    )


def shipment(run_id, fire_time, queue=DEFAULT_QUEUE):
    return Shipment(Message(run_id, 1, fire_time, fire_time + timedelta(days=1)), Way(queue))


if __name__ == "__main__":
    main(*sys.argv[1:])
