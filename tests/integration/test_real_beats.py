"""Two real beats that are killed at random, a real RabbitMQ, real workers: no fire is lost, none is doubled."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests import servers
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEDULES, SECONDS = 80, 25
FIRES = SCHEDULES * SECONDS
# Of these, each run is a process of its own; the others are written by tests.integration.ledger_app.
WITH_PROCESS = 4
SECONDS_BETWEEN_KILLS = 1.0, 4.0
# A run that a killed beat had taken, but not published, is free again after a minute.
ALL_DONE = 150.0
STOP_TIMEOUT = 20

JOB = """
import os
from pathlib import Path
from jobs import job

@job()
def write_ledger(ledger: Path) -> None:
    line = f"{os.environ['SCHEDULER_SCHEDULE']} {os.environ['SCHEDULER_FIRE_TIME']}\\n"
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, line.encode())
    os.close(descriptor)
"""
MAKE_SCHEDULES = """
import json, sys
from datetime import timedelta
import django; django.setup()
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from beat_config.models import SchedulePolicy
ledger, schedules, with_process, seconds = sys.argv[1], *map(int, sys.argv[2:])
every, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
first = timezone.now().replace(microsecond=0) + timedelta(seconds=2)
last = first + timedelta(seconds=seconds - 1)
PeriodicTask.objects.bulk_create(
    PeriodicTask(
        name=f"s{number}", task="write_ledger", interval=every, start_time=first, expires=last,
        kwargs=json.dumps({"ledger": ledger}), queue=None if number < with_process else "light",
    )
    for number in range(schedules)
)
SchedulePolicy.objects.update(
    catch_up="all", overlap="allow", catch_up_window=timedelta(days=1), catch_up_cap=100_000
)
print(first.isoformat())
"""
COUNT_RUNS = """
import django; django.setup()
from collections import Counter
from jobs.models import Run
print(dict(Counter(Run.objects.values_list("state", flat=True))))
"""


class Beat:
    """`celery beat`, as often as it takes."""

    def __init__(self, env, log):
        self.env, self.log = env, log
        self.process = None

    def start(self):
        with self.log.open("ab") as output:
            self.process = celery(self.env, output, "scheduler_app", "beat")

    def kill(self):
        self.process.kill()
        self.process.wait()


def celery(env, output, app, *command):
    argv = [sys.executable, "-m", "celery", "-A", app, *command]
    return subprocess.Popen(argv, env=env, cwd=ROOT, stdout=output, stderr=output)


def python(env, code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@contextmanager
def running(processes):
    """Yield; then end what is left of *processes*, which may grow meanwhile."""
    try:
        yield
    finally:
        for process in processes():
            process.terminate()
        for process in processes():
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def kill_at_random(beats, until, chance):
    """Kill -9 one beat after the other until *until*; return how often. They all run afterwards."""
    kills = 0
    while datetime.now(UTC) < until:
        time.sleep(chance.uniform(*SECONDS_BETWEEN_KILLS))  # how long a beat lives is what is tried here
        beat = chance.choice(beats)
        beat.kill()
        kills += 1
        if chance.random() < 0.3:  # both at once
            for other in beats:
                other.kill()
        for each in beats:
            if each.process.poll() is not None:
                each.start()
    return kills


@pytest.mark.needs("rabbitmq")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def test_two_beats_that_are_killed_at_random_lose_no_fire_and_double_none(tmp_path, database):
    ledger, data = tmp_path / "ledger", tmp_path / "data"
    ledger.touch()
    (data / "jobs").mkdir(parents=True)
    (data / "jobs" / "ledger.py").write_text(JOB)
    seed = random.randrange(10**6)
    with ExitStack() as stack:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
        env = clean | {
            "SCHEDULER_DATA_FOLDER": str(data),
            "SCHEDULER_BROKER_URL": stack.enter_context(servers.rabbitmq(tmp_path / "node")).url,
            "SCHEDULER_WORKER_POOL": "threads",
            "SCHEDULER_WORKER_CONCURRENCY": "4",
            "DJANGO_SETTINGS_MODULE": "scheduler_app.settings",
        }
        if database == "postgresql":
            env["SCHEDULER_DATABASE_URL"] = stack.enter_context(servers.postgresql(tmp_path / "postgresql"))
        subprocess.run([sys.executable, "-m", "scheduler_app.migrate"], env=env, cwd=ROOT, check=True)
        # Another program makes them, and no beat runs: the first fires come due before anybody has looked at them.
        made = python(env, MAKE_SCHEDULES, str(ledger), str(SCHEDULES), str(WITH_PROCESS), str(SECONDS))
        first = datetime.fromisoformat(made.strip())
        last = first + timedelta(seconds=SECONDS - 1)
        output = stack.enter_context((tmp_path / "workers.log").open("ab"))
        beats = [Beat(env, tmp_path / f"beat{number}.log") for number in (1, 2)]
        workers = [
            celery(env, output, "scheduler_app", "worker", "-n", "processes@%h"),
            celery(env, output, "tests.integration.ledger_app", "worker", "-Q", "light", "-n", "light@%h"),
        ]
        stack.enter_context(running(lambda: [*(beat.process for beat in beats if beat.process), *workers]))
        for beat in beats:
            beat.start()

        kills = kill_at_random(beats, last + timedelta(seconds=1), random.Random(seed))

        expected = Counter(
            f"s{number} {(first + timedelta(seconds=second)).isoformat()}"
            for number in range(SCHEDULES)
            for second in range(SECONDS)
        )
        assert expected.total() == FIRES
        wait_until(
            lambda: len(ledger.read_text().splitlines()) >= expected.total(), ALL_DONE, "every fire is in the ledger"
        )
        wait_until(
            lambda: eval(python(env, COUNT_RUNS)) == {"succeeded": expected.total()},  # noqa: S307 - our own print
            ALL_DONE,
            "every run has ended, and there are no others",
        )
        written = Counter(ledger.read_text().splitlines())
        assert (sorted(expected - written), sorted(written - expected)) == ([], [])
        assert kills >= SECONDS / SECONDS_BETWEEN_KILLS[1] / 2
