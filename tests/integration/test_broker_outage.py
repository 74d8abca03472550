"""Beat and workers through what happens to a broker: killed in the middle of 5,000 messages, cut off without a word.

One node, one beat, a worker that writes a ledger, and a solo worker that is busy while the broker restarts.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from scheduler_app import routing
from tests import servers
from tests.proxy import Proxy
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("rabbitmq")

ROOT = Path(__file__).resolve().parent.parent.parent
RUNS = 5_000
BACK_WITHIN = 10.0
CUT_FOR = 10.0
ALL_DONE = 150
# A line every few seconds from each of the three, and what each has to say at the beginning and at the end.
LINES_AT_MOST = 3 * (CUT_FOR / 3 + 8)

MAKE_RUNS = """
import sys
from datetime import timedelta
import django; django.setup()
from django.utils import timezone
from jobs.models import Run
name, count, ledger = sys.argv[1], int(sys.argv[2]), sys.argv[3]
now = timezone.now()
Run.objects.bulk_create(
    Run(job="run_command", parameters={"ledger": ledger}, schedule_name=f"{name}{number}", fire_time=now, dispatch_at=now)
    for number in range(count)
)
"""
MAKE_SLOW_RUN = """
import sys
import django; django.setup()
from django.utils import timezone
from jobs.models import Run
run = Run.objects.create(
    job="run_command", parameters={"command": f"sh -c \\"echo started >> '{sys.argv[1]}'; sleep {sys.argv[2]}\\""},
    route={"queue": "slow"}, dispatch_at=timezone.now(),
)
print(run.pk, end="")
"""


@contextmanager
def process(env, log, *command):
    with log.open("wb") as output:
        running = subprocess.Popen([sys.executable, "-m", *command], env=env, cwd=ROOT, stdout=output, stderr=output)
    try:
        yield running
        running.send_signal(signal.SIGTERM)
        running.wait(30)
    finally:
        running.kill()
        running.wait()


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outage")
    ledger = folder / "ledger"
    ledger.touch()
    with ExitStack() as stack:
        node = servers.Restarting(folder / "node")
        stack.callback(node.stop)
        proxy = stack.enter_context(closing(Proxy(urlsplit(node.url).port)))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
        env = clean | {
            "SCHEDULER_DATA_FOLDER": str(folder / "data"),
            "SCHEDULER_BROKER_URL": node.url.replace(f":{urlsplit(node.url).port}", f":{proxy.port}"),
            "DJANGO_SETTINGS_MODULE": "scheduler_app.settings",
        }

        def python(code, *arguments):
            command = [sys.executable, "-c", code, *map(str, arguments)]
            return subprocess.run(command, env=env, cwd=ROOT, check=True, capture_output=True, text=True).stdout

        subprocess.run([sys.executable, "-m", "scheduler_app.migrate"], env=env, cwd=ROOT, check=True)
        logs = {name: folder / f"{name}.log" for name in ("beat", "ledger", "solo")}
        celery = ("celery", "-A", "scheduler_app")
        stack.enter_context(process(env, logs["beat"], *celery, "beat"))
        app = ("celery", "-A", "tests.integration.ledger_app")
        options = ("worker", "--concurrency=2", "--hostname=ledger@%h")
        stack.enter_context(process(env, logs["ledger"], *app, *options))
        stack.enter_context(
            process(env | {"SCHEDULER_WORKER_POOL": "solo"}, logs["solo"], *celery, "worker", "-Q", "slow")
        )
        database = folder / "data" / "scheduler.sqlite3"
        yield SimpleNamespace(
            folder=folder, node=node, proxy=proxy, python=python, ledger=ledger, logs=logs, database=database
        )


def query(scene, statement):
    with closing(sqlite3.connect(f"file:{scene.database}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()


def written(scene):
    return [line.split()[0] for line in scene.ledger.read_text().splitlines()]


def slow_run(scene, seconds):
    """Have the solo worker run something for *seconds*; return how to ask for its state, and how often it started."""
    mark = scene.folder / f"started-{time.monotonic_ns()}"
    run = scene.python(MAKE_SLOW_RUN, mark, seconds)
    wait_until(mark.exists, 60, "the slow run has started")
    return (
        lambda: query(scene, f"SELECT state FROM jobs_run WHERE id = {run}")[0][0],
        lambda: len(mark.read_text().splitlines()),
    )


def lines(scene):
    return {name: len(log.read_text(errors="replace").splitlines()) for name, log in scene.logs.items()}


def test_a_node_killed_in_the_middle_of_5000_messages_and_of_a_job_loses_and_doubles_nothing(scene):
    state, starts = slow_run(scene, 8)
    scene.python(MAKE_RUNS, "r", RUNS, scene.ledger)
    wait_until(lambda: len(written(scene)) > 100, 60, "some runs are done")
    scene.node.kill()
    waiting = len(written(scene))
    scene.node.start()
    wait_until(lambda: len(written(scene)) > waiting + 10, BACK_WITHIN, "runs go on")

    wait_until(lambda: len(set(written(scene))) == RUNS, ALL_DONE, "all runs are done")
    wait_until(lambda: state() == "succeeded", 30, "the slow run has ended")
    # The copies that were sent again come after, and start nothing.
    copies = "SELECT count(*) FROM jobs_run WHERE state <> 'succeeded'"
    assert query(scene, copies) == [(0,)]
    wait_until(lambda: scene.node.messages(routing.DEFAULT_QUEUE) == 0, 60, "the copies have been looked at")
    assert {name: count for name, count in Counter(written(scene)).items() if count > 1} == {}
    assert starts() == 1


def test_after_a_cut_without_a_word_all_are_back_within_ten_seconds_and_the_logs_stay_short(scene):
    scene.python(MAKE_RUNS, "before", 1, scene.ledger)
    wait_until(lambda: "before0" in written(scene), 30, "a run before the cut")
    wait_until(lambda: len(query(scene, "SELECT kind FROM jobs_service")) == 3, 30, "beat and both workers are ready")
    before = lines(scene)
    scene.proxy.silent = True
    cut = time.monotonic()
    scene.python(MAKE_RUNS, "cut", 1, scene.ledger)
    away = "SELECT kind FROM jobs_service WHERE broker_away_since IS NOT NULL"
    wait_until(lambda: len(query(scene, away)) == 3, 30, "beat and both workers say that the broker is away")
    while time.monotonic() - cut < CUT_FOR:
        time.sleep(0.1)

    scene.proxy.silent = False
    back = time.monotonic()
    slow_run(scene, 0)
    wait_until(lambda: "cut0" in written(scene), BACK_WITHIN, "the run that waited")
    took = time.monotonic() - back
    said = {name: count - before[name] for name, count in lines(scene).items()}
    assert took < BACK_WITHIN
    assert sum(said.values()) < LINES_AT_MOST, said
    wait_until(lambda: query(scene, away) == [], 15, "nobody says so any more")
