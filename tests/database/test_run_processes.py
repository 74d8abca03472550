"""What a run's processes may use, what they say while they run, and that none of them is left."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from jobs import claims, executor, leftovers, terms
from jobs.models import Run, RunOutput
from jobs.states import State
from scheduler_app import platforms
from tests import processes
from tests.factories import NOW, make_run
from tests.waiting import wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("executing_process.py")
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers and RLIMIT_DATA")
# A shell that leaves session, parent and environment behind, ignores SIGTERM and tells its pid.
ESCAPES = """
    import os, signal, sys, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.execve("/bin/sh", ["sh", "-c", "trap '' TERM; echo $$; exec 1>&- 2>&-; while :; do sleep 1; done"], {})
        os._exit(0)
    os.wait()
"""


@pytest.fixture
def own_job():
    """Write the body of a job called "mine", with its options."""
    folder = django_settings.SCHEDULER_PATHS.jobs
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "mine.py"

    def write(body, options=""):
        file.write_text(f"from jobs import job, progress\n@job({options})\ndef mine() -> None:\n{body}\n")
        return make_run(job="mine", parameters={})

    yield lambda body, options="": write(textwrap.indent(textwrap.dedent(body), "    "), options)
    file.unlink(missing_ok=True)


def execute(run):
    executor.execute(run.pk, run.attempt, worker="test")
    run.refresh_from_db()
    return run


def in_thread(run):
    def work():
        executor.execute(run.pk, run.attempt, worker="test")
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def printed(run):
    return b"".join(bytes(piece.data) for piece in RunOutput.objects.filter(run=run, stream=1).order_by("number"))


def process_of(run):
    return wait_until(lambda: (Run.objects.get(pk=run.pk).terms or {}).get(terms.PROCESS), 20, "it runs")


@ON_LINUX
@pytest.mark.parametrize("then", ["time.sleep(300)", "pass"])
def test_a_descendant_that_has_left_everything_behind_is_gone_within_five_seconds(own_job, then):
    run = own_job(textwrap.dedent(ESCAPES) + f"time.sleep(1)\n{then}\n")
    run.time_limit = timedelta(seconds=3)
    run.save()

    execute(run)

    assert run.state == (State.SUCCEEDED if then == "pass" else State.TIMED_OUT)
    wait_until(lambda: processes.is_gone(int(printed(run))), 5, "what has escaped is gone")


def killed_worker(run):
    """Start a worker for *run*, stop the job's process so that it cannot end itself, and kill the worker."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{settings['NAME']}"
    else:
        url = "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**settings)
    environment = os.environ | {"SCHEDULER_DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen([sys.executable, str(PROGRAM), str(run.pk)], env=environment)
    job = psutil.Process(process_of(run)["pid"])
    job.suspend()
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    return job


@pytest.mark.skipif(os.name == "nt", reason="a stopped process cannot be killed by a Job Object's end there")
def test_a_killed_worker_s_run_is_interrupted_only_when_nothing_of_it_lives():
    run = make_run(parameters={"command": "sleep 300"})
    job = killed_worker(run)
    late = timezone.now() + timedelta(seconds=60)

    assert job.is_running()
    assert claims.interrupt_expired(late, leftovers.are_gone) == 1

    assert processes.is_gone(job)
    run.refresh_from_db()
    assert (run.state, run.terms) == (State.INTERRUPTED, None)


def test_a_run_whose_processes_cannot_be_ended_stays_running(monkeypatch):
    host = leftovers.socket.gethostname()
    run = make_run(state=State.RUNNING, terms={terms.PROCESS: {"host": host, "pid": 1, "started": 0.0, "tree": "none"}})
    monkeypatch.setattr(platforms, "end_tree", lambda _: False)

    assert claims.interrupt_expired(NOW + timedelta(hours=1), leftovers.are_gone) == 0

    run.refresh_from_db()
    assert run.state == State.RUNNING


def test_another_machine_s_run_is_given_the_time_in_which_its_job_ends_itself():
    process = {"host": "elsewhere", "pid": os.getpid(), "started": psutil.Process().create_time(), "tree": "none"}
    run = make_run(state=State.RUNNING, lease_until=NOW, terms={terms.PROCESS: process})

    assert claims.interrupt_expired(NOW + timedelta(seconds=9), leftovers.are_gone) == 0
    assert claims.interrupt_expired(NOW + timedelta(seconds=11), leftovers.are_gone) == 1
    run.refresh_from_db()
    assert run.state == State.INTERRUPTED


def test_a_process_that_got_the_pid_of_one_that_has_gone_is_spared():
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        started = psutil.Process(other.pid).create_time()

        assert platforms.end_tree(platforms.Root(other.pid, started - 3600, "none"))
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_child_whose_run_was_taken_by_another_starts_nothing(own_job, monkeypatch, tmp_path):
    run = own_job(f"open({str(tmp_path / 'started')!r}, 'w')")
    claims.claim(run.pk, 1, worker="first", lease=timedelta(seconds=30), now=timezone.now())
    monkeypatch.setattr(claims, "waiting", lambda *_: Run.objects.get(pk=run.pk), raising=True)

    executor.execute(run.pk, 1, worker="second")

    assert Run.objects.get(pk=run.pk).worker == "first"
    assert not (tmp_path / "started").exists()


@ON_LINUX
def test_a_job_that_takes_more_memory_than_it_may_fails(own_job):
    run = execute(own_job("block = bytearray(300_000_000)\nprint(len(block))", 'memory="150MB"'))

    assert run.state == State.FAILED
    assert b"MemoryError" in b"".join(bytes(piece.data) for piece in run.output.filter(stream=2))


def test_a_job_runs_in_its_folder_with_its_variables_and_stands_back(own_job, tmp_path):
    options = f'folder={str(tmp_path)!r}, environment={{"COLOUR": "blue"}}' + (", nice=7" if os.name == "posix" else "")
    run = execute(own_job("import os\nprint(os.getcwd(), os.environ['COLOUR'], os.nice(0))", options))

    assert printed(run).decode().split() == [str(tmp_path), "blue", "7"]


def test_a_folder_that_is_not_there_is_named_and_nothing_is_started(own_job, tmp_path):
    run = execute(own_job("print('started')", f"folder={str(tmp_path / 'gone')!r}"))

    assert (run.state, run.exit_code, printed(run)) == (State.FAILED, 125, b"")
    assert str(tmp_path / "gone") in b"".join(bytes(piece.data) for piece in run.output.all()).decode()


def test_only_the_allowed_variables_of_the_worker_reach_a_job(own_job, settings, monkeypatch):
    monkeypatch.setenv("SHOP_URL", "here")
    monkeypatch.setenv("OTHER", "hidden")
    config = settings.SCHEDULER
    settings.SCHEDULER = replace(config, jobs=replace(config.jobs, environment=("SHOP_*",)))
    run = execute(
        own_job("import os\nprint(os.environ.get('SHOP_URL'), os.environ.get('OTHER'), 'PATH' in os.environ)")
    )

    assert printed(run) == b"here None True\n"


@pytest.mark.parametrize(
    "says",
    [
        "progress(3, 10, 'copying')",
        "import os\nopen(os.environ['SCHEDULER_PROGRESS'], 'w').write('3 10 copying\\n')",
    ],
)
def test_how_far_a_job_has_come_is_in_the_database_while_it_runs(own_job, says):
    run = own_job(f"import time\n{says}\ntime.sleep(300)")
    thread = in_thread(run)

    told = wait_until(lambda: (Run.objects.get(pk=run.pk).terms or {}).get(terms.PROGRESS), 20, "progress")
    claims.cancel(run.pk, by="ada", now=timezone.now())
    thread.join()

    assert told == [3, 10, "copying"]
    assert not list(django_settings.SCHEDULER_PATHS.progress.iterdir())


def test_a_gigabyte_in_one_line_neither_blocks_the_job_nor_fills_the_worker():
    run = make_run(parameters={"command": "head -c 1000000000 /dev/zero"})
    worker = psutil.Process()
    before, peak = worker.memory_info().rss, 0
    began = time.monotonic()
    thread = in_thread(run)
    while thread.is_alive():
        peak = max(peak, worker.memory_info().rss)
        thread.join(0.02)

    run.refresh_from_db()
    assert (run.state, run.output_size) == (State.SUCCEEDED, 1_000_000_000)
    assert time.monotonic() - began < 120
    assert (peak - before) / 1e6 < 50
    assert sum(len(piece.data) for piece in run.output.all()) <= django_settings.SCHEDULER.jobs.output_limit
