"""Jobs that are called in the worker itself."""

import os
import textwrap
import threading
from contextlib import closing
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from jobs import claims, executor
from jobs.models import Run, RunOutput
from jobs.states import State
from tests.factories import make_run
from tests.waiting import wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def own():
    """Write a file of own jobs."""
    folder = settings.SCHEDULER_PATHS.jobs
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "inline_jobs.py"

    def write(code):
        file.write_text("import logging, os, sys, time\nfrom jobs import *\n\n" + textwrap.dedent(code))

    yield write
    file.unlink()


def execute(job, **columns):
    run = make_run(**({"job": job, "parameters": {}} | columns))
    executor.execute(run.pk, run.attempt, worker="test")
    run.refresh_from_db()
    return run


def printed(run):
    return b"".join(bytes(piece.data) for piece in RunOutput.objects.filter(run=run).order_by("number")).decode()


def test_an_inline_job_runs_in_the_workers_process_and_is_recorded(own, tmp_path):
    own("""
        @job(inline=True)
        def note(file: str, count: int = 1) -> None:
            with open(file, "w") as said:
                said.write(f"{os.getpid()} {count}")
            logging.getLogger("mine").warning("noted %d", count)
    """)

    run = execute("note", parameters={"file": str(tmp_path / "said"), "count": "3"})

    assert (run.state, run.reason, run.exit_code) == (State.SUCCEEDED, "", None)
    assert (tmp_path / "said").read_text() == f"{os.getpid()} 3"
    assert printed(run).endswith("WARNING mine: noted 3\n")


def test_an_inline_job_ends_as_it_says(own):
    own("""
        @job(inline=True)
        def end(how: str) -> None:
            if how == "failed":
                raise JobFailed("the shelf is empty", exit_code=3)
            if how == "raised":
                raise ValueError("größe")
            sys.exit({"well": 0, "code": 4, "text": "no more"}[how])
    """)

    ends = {how: execute("end", parameters={"how": how}) for how in ("failed", "raised", "well", "code", "text")}

    assert {how: (run.state, run.reason, run.exit_code) for how, run in ends.items()} == {
        "failed": (State.FAILED, "the shelf is empty", 3),
        "raised": (State.FAILED, "ValueError: größe", None),
        "well": (State.SUCCEEDED, "", None),
        "code": (State.FAILED, "exit code 4", 4),
        "text": (State.FAILED, "no more", 1),
    }
    trace = printed(ends["raised"])
    assert 'raise ValueError("größe")' in trace
    assert "in_worker.py" not in trace


@pytest.mark.parametrize("why", ["time limit", "cancel"])
def test_an_inline_job_is_ended_and_its_progress_is_seen_meanwhile(own, why):
    own("""
        @job(inline=True)
        def go_on() -> None:
            for number in range(3000):
                progress(number, 3000, "going on")
                time.sleep(0.01)
    """)
    run = make_run(job="go_on", parameters={}, time_limit=timedelta(seconds=2) if why == "time limit" else None)

    def told():
        terms = Run.objects.get(pk=run.pk).terms or {}
        return terms.get("progress", [0, 0, ""])[1:] == [3000, "going on"]

    def end():
        with closing(connection):  # this thread's own
            wait_until(told, 20, "the progress is in the database")
            if why == "cancel":
                claims.cancel(run.pk, by="ada", now=timezone.now())

    thread = threading.Thread(target=end)
    thread.start()
    executor.execute(run.pk, run.attempt, worker="test")
    thread.join()

    run.refresh_from_db()
    assert run.state == (State.TIMED_OUT if why == "time limit" else State.CANCELLED)
    assert 0 < run.terms["progress"][0] < 2999


def test_a_job_says_how_many_of_its_runs_may_go_on(own):
    own("""
        @job(inline=True, max_running=1, rate="1/h")
        def rare() -> None: ...
    """)

    first, second = execute("rare"), execute("rare")

    assert (first.state, second.state) == (State.SUCCEEDED, State.PENDING)
    assert second.reason == "waits for its turn: its job is started every 3600 s at most"
    assert second.dispatch_at - first.started_at == timedelta(hours=1)
