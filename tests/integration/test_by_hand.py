"""`celery -A scheduler_app beat` and `worker` in terminals of their own, without the supervisor."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests import servers
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
STOP_TIMEOUT = 20

MAKE_SCHEDULE = """
import django; django.setup()
from django_celery_beat.models import IntervalSchedule, PeriodicTask
every, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
PeriodicTask.objects.create(name="by hand", task="run_command", interval=every, kwargs='{"command": "echo by hand"}')
"""
SHOW_RUNS = """
import django; django.setup()
from jobs.models import Run, RunOutput
run = Run.objects.filter(state="succeeded").first()
print(run and bytes(RunOutput.objects.get(run=run).data).decode().strip(), end="")
"""


def environment(data, **variables):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    return clean | {"SCHEDULER_DATA_FOLDER": str(data), "DJANGO_SETTINGS_MODULE": "scheduler_app.settings"} | variables


@contextmanager
def terminal(env, log, *command):
    """Run *command* until the block ends, then end it as a service manager does."""
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", *command], env=env, cwd=ROOT, stdout=output, stderr=output)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            code = process.wait(STOP_TIMEOUT)
            assert code == 0, f"{command} ended with {code}: {log.read_text()[-2000:]}"
        finally:
            process.kill()
            process.wait()


def python(env, code):
    return subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.needs("rabbitmq")
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def test_beat_and_worker_started_by_hand_run_a_schedule_through_rabbitmq(tmp_path, database):
    with ExitStack() as stack:
        node = stack.enter_context(servers.rabbitmq(tmp_path / "node"))
        variables = {"SCHEDULER_BROKER_URL": node.url}
        if database == "postgresql":
            variables["SCHEDULER_DATABASE_URL"] = stack.enter_context(servers.postgresql(tmp_path / "postgresql"))
        env = environment(tmp_path / "data", **variables)
        subprocess.run([sys.executable, "-m", "scheduler_app.migrate"], env=env, cwd=ROOT, check=True)
        python(env, MAKE_SCHEDULE)

        celery = ("celery", "-A", "scheduler_app")
        stack.enter_context(terminal(env, tmp_path / "worker.log", *celery, "worker"))
        stack.enter_context(terminal(env, tmp_path / "beat.log", *celery, "beat"))

        wait_until(lambda: python(env, SHOW_RUNS) == "by hand", 40, "the schedule's run has succeeded")
