"""A Celery application for the tests of brokers: it writes down what ran where. Settings come as ECHO_… variables."""

import os
import time
from pathlib import Path

from celery import Celery
from kombu import Exchange, Queue

from scheduler_app import embedded_transport

embedded_transport.register()

OUTPUT = Path(os.environ["ECHO_OUTPUT"])

app = Celery("echo", broker=os.environ["ECHO_BROKER"])
app.conf.update(
    broker_transport_options={"lease": float(os.environ.get("ECHO_LEASE", "30"))},
    broker_connection_retry_on_startup=True,
    task_queues=[
        Queue(name, Exchange("echo"), routing_key=name) for name in os.environ.get("ECHO_QUEUES", "echo").split(",")
    ],
    task_default_queue="echo",
    task_default_exchange="echo",
    task_default_routing_key="echo",
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("ECHO_PREFETCH", "1")),
    worker_cancel_long_running_tasks_on_connection_loss=False,
)


@app.task(name="echo.record")
def record(label):
    write(f"{label} {len(label)}" if len(label) > 100 else label)


@app.task(name="echo.hold")
def hold(label):
    """Run until the test makes the file OUTPUT.release."""
    write(f"started {label}")
    deadline = time.monotonic() + 60
    while not OUTPUT.with_suffix(".release").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    write(f"finished {label}")


def write(line):
    # One write of a short line in append mode is never torn or mixed, however many processes do it.
    descriptor = os.open(OUTPUT, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{line[-100:]}\n".encode())
    finally:
        os.close(descriptor)
