"""Short runs while the worker, its pool's children and the jobs are killed at random: counted from the jobs' own ledger."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import pytest

from jobs.states import FINAL

ROOT = Path(__file__).resolve().parent.parent.parent
FEW, MANY = 60, 1_000
KILL_EVERY = 0.3
SECONDS_A_RUN = 1.5
JOB = """
import os, time
from jobs import job

LEDGER = os.path.join(os.path.dirname(__file__), "ledger")

def note(what):
    # One write of one line: what a killed process has begun to write is there whole or not at all.
    file = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{what} {os.environ['SCHEDULER_RUN_ID']}\\n".encode())
    os.close(file)

@job
def entry() -> None:
    note("start")
    time.sleep(0.1)
    note("end")
"""
FILL = """
import sys, django; django.setup()
from django.utils import timezone
from jobs import terms
from jobs.models import Run
from jobs.retries import RETRIED, Retry
again = terms.with_retry(None, Retry(frozenset(RETRIED)))
now = timezone.now()
Run.objects.bulk_create(
    Run(job="entry", schedule_name=f"chain {n}", dispatch_at=now, max_attempts=100, terms=again)
    for n in range(int(sys.argv[1]))
)
"""
pytestmark = pytest.mark.skipif(os.name == "nt", reason="a kill -9 with pool children is POSIX")


class Worker:
    """A prefork worker that is started again whenever it has been killed, as the supervisor does."""

    def __init__(self, env, log):
        self._command = {
            "args": [sys.executable, "-m", "celery", "-A", "scheduler_app", "worker"],
            "env": env,
            "cwd": ROOT,
        }
        self._log = log
        self.starts = 0
        self.process = self._start()

    def _start(self):
        self.starts += 1
        # Its stdin is its lifeline's place; nobody asks it to stop.
        return subprocess.Popen(
            **self._command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True
        )

    def keep(self):
        if self.process.poll() is not None:
            self.process = self._start()

    def end(self):
        for group in self.victims().values() if self.process.poll() is None else ():
            for process in group:
                with suppress(psutil.Error):
                    process.kill()
        self.process.wait()

    def victims(self):
        """Return the worker, its pool's children, and the processes of jobs."""
        found = {"worker": [psutil.Process(self.process.pid)], "child": [], "job": []}
        for process in found["worker"][0].children(recursive=True):
            with suppress(psutil.Error):
                found["job" if "jobs.child" in process.cmdline() else "child"].append(process)
        return found


def ledger_of(folder):
    lines = (folder / "ledger").read_text().split("\n")[:-1] if (folder / "ledger").exists() else []
    counts = {"start": Counter(), "end": Counter()}
    for line in lines:
        what, run = line.split()
        counts[what][int(run)] += 1
    return counts["start"], counts["end"]


def rows(data):
    with closing(sqlite3.connect(data / "scheduler.sqlite3", timeout=20)) as database:
        return database.execute("SELECT id, schedule_name, attempt, state, terms FROM jobs_run").fetchall()


def test_nothing_is_lost_or_started_twice_while_everything_is_killed_at_random(tmp_path, request):
    count = MANY if request.config.getoption("soak") else FEW
    data, folder = tmp_path / "data", tmp_path / "jobs"
    folder.mkdir()
    (folder / "entry.py").write_text(JOB)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    env = clean | {
        "SCHEDULER_DATA_FOLDER": str(data),
        "SCHEDULER_JOBS_FOLDER": str(folder),
        "SCHEDULER_BROKER_KIND": "embedded",
        "SCHEDULER_WORKER_POOL": "prefork",
        "SCHEDULER_WORKER_CONCURRENCY": "4",
        "SCHEDULER_WORKER_LEASE": "4s",
        "DJANGO_SETTINGS_MODULE": "scheduler_app.settings",
    }
    subprocess.run([sys.executable, "-m", "scheduler_app.migrate"], env=env, cwd=ROOT, check=True)
    subprocess.run([sys.executable, "-c", FILL, str(count)], env=env, cwd=ROOT, check=True)
    chance = random.Random(5)
    kills = Counter()

    with ExitStack() as stack:
        log = stack.enter_context((tmp_path / "log").open("wb"))
        beat = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "scheduler_app", "beat"], env=env, cwd=ROOT, stdout=log, stderr=log
        )
        stack.callback(beat.wait)
        stack.callback(beat.kill)
        worker = Worker(env, log)
        stack.callback(worker.end)
        deadline = time.monotonic() + 60 + count * SECONDS_A_RUN
        while True:
            waiting = [row for row in rows(data) if row[3] not in FINAL]
            if not waiting:
                break
            assert time.monotonic() < deadline, f"{len(waiting)} runs have not ended: {waiting[:5]}, {kills}"
            kind = chance.choices(["worker", "child", "job"], [1, 4, 10])[0]
            victims = worker.victims()[kind] if worker.process.poll() is None else []
            with suppress(psutil.Error, IndexError):
                chance.choice(victims).send_signal(signal.SIGKILL)
                kills[kind] += 1
            time.sleep(KILL_EVERY)  # not a wait: the pace of the kills
            worker.keep()

    started, ended = ledger_of(folder)
    runs = rows(data)
    assert {name for _, name, *_ in runs} == {f"chain {number}" for number in range(count)}
    assert [run for run, times in started.items() if times > 1] == []
    assert [run for run, *_, state, _ in runs if state == "succeeded" and not (started[run] and ended[run])] == []
    last = {name: state for _, name, _, state, _ in sorted(runs, key=lambda row: row[2])}
    assert Counter(last.values()) == {"succeeded": count}
    assert [run for run, *_, terms in runs if "process" in json.loads(terms or "{}")] == []
    assert min(kills[kind] for kind in ("worker", "child", "job")) > 0, kills
    assert worker.starts > 1
