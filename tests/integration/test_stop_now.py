"""`stop --now`: running jobs are not waited for, and the history says what became of them."""

import os
import sqlite3
import subprocess
import sys
import time

import pytest

from tests.servers import free_port
from tests.waiting import wait_until

TIMEOUT = 60.0
START_A_JOB = """
import django
django.setup()
from jobs import starting
starting.start("run_command", {"command": "sleep 600"}, by="a test")
"""


@pytest.fixture
def scheduler(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SCHEDULER_", "DJANGO_"))}
    environment |= {
        "SCHEDULER_DATA_FOLDER": str(tmp_path / "data"),
        "SCHEDULER_WEB_PORT": str(free_port()),
        "SCHEDULER_BROKER_KIND": "embedded",
        "DJANGO_SETTINGS_MODULE": "scheduler_app.settings",
    }

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )

    yield run
    run("-m", "scheduler_app", "stop", "--now")


def test_a_running_job_is_interrupted_and_nothing_is_waited_for(scheduler, tmp_path):
    assert scheduler("-m", "scheduler_app", "start", "--headless").returncode == 0
    assert scheduler("-c", START_A_JOB).returncode == 0
    wait_until(lambda: runs(tmp_path) == [("running", "")], TIMEOUT, "a running job")
    asked = time.monotonic()

    done = scheduler("-m", "scheduler_app", "stop", "--now")

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Stopped.")
    assert time.monotonic() - asked < 20  # stop_limit is 30 s, the job would have slept for ten minutes
    assert runs(tmp_path) == [("interrupted", "the worker was stopped before the job had ended")]


def test_one_service_is_not_stopped_now(scheduler):
    done = scheduler("-m", "scheduler_app", "stop", "--now", "beat")

    assert done.returncode == 2
    assert "--now is for everything" in done.stderr


def runs(folder):
    with sqlite3.connect(folder / "data" / "scheduler.sqlite3") as database:
        rows = database.execute("SELECT state, reason FROM jobs_run ORDER BY id").fetchall()
    database.close()
    return rows
