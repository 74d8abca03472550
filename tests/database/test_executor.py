"""Real child processes, from the claim to the outcome in the database."""

import os
import signal
import sys
import textwrap
import threading
import time
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone

from jobs import claims, execution, executor, stopping
from jobs.models import Run, RunOutput
from jobs.states import State
from tests import processes
from tests.factories import make_run
from tests.waiting import wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def jobs_folder():
    """An empty jobs folder; a test writes its own jobs there."""
    folder = settings.SCHEDULER_PATHS.jobs
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    for file in folder.glob("*.py"):
        file.unlink()


@pytest.fixture
def running_worker(monkeypatch):
    """Forget a stop that a test asked for."""
    monkeypatch.setattr(stopping, "_deadline", float("inf"))
    monkeypatch.setattr(stopping, "_begun", threading.Event())


def execute(run):
    executor.execute(run.pk, run.attempt, worker="test")
    run.refresh_from_db()
    return run


def python(code):
    """A command line that runs *code*; the quoting is shlex's."""
    return {"command": f"{sys.executable} -c '{code}'"}


def printed(run, stream=None):
    pieces = RunOutput.objects.filter(run=run).order_by("number")
    return b"".join(bytes(piece.data) for piece in pieces if stream in (None, piece.stream))


def in_thread(run):
    def work():
        executor.execute(run.pk, run.attempt, worker="test")
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_command_that_succeeds_is_recorded_with_its_output():
    run = execute(make_run(parameters={"command": "echo hello"}))

    assert (run.state, run.exit_code, run.reason) == (State.SUCCEEDED, 0, "")
    assert printed(run) == b"hello\n"
    assert run.output_size == 6
    assert run.started_at <= run.finished_at


def test_a_command_that_fails_keeps_its_exit_code_and_both_streams_apart():
    run = execute(make_run(parameters=python("import sys; print(1); print(2, file=sys.stderr); sys.exit(7)")))

    assert (run.state, run.exit_code, run.reason) == (State.FAILED, 7, "exit code 7")
    assert printed(run, RunOutput.Stream.STDOUT) == b"1\n"
    assert b"2\n" in printed(run, RunOutput.Stream.STDERR)


def test_any_bytes_survive():
    raw = bytes(range(256))
    run = execute(make_run(parameters=python("import sys; sys.stdout.buffer.write(bytes(range(256)))")))

    assert printed(run, RunOutput.Stream.STDOUT) == raw


def test_output_is_in_the_database_while_the_job_still_runs():
    run = make_run(parameters=python('print("early", flush=True); import time; time.sleep(60)'))
    thread = in_thread(run)

    wait_until(lambda: printed(run) == b"early\n", 10, "what was printed is in the database")
    claims.cancel(run.pk, by="test", now=timezone.now())
    thread.join()


def test_head_and_tail_of_too_much_output_are_kept_and_the_gap_is_counted(settings):
    limit = settings.SCHEDULER.jobs.output_limit
    run = execute(make_run(parameters=python('import sys; sys.stdout.write("first" + "x" * 5_000_000 + "last")')))

    kept = printed(run)
    assert kept.startswith(b"first")
    assert kept.endswith(b"last")
    assert len(kept) <= limit
    assert run.output_size == 5_000_009
    assert run.output_dropped == run.output_size - len(kept)


def test_a_job_that_takes_too_long_is_ended_with_everything_it_started():
    code = 'import subprocess, sys, time; p = subprocess.Popen(["sleep", "300"]); print(p.pid, flush=True); time.sleep(300)'
    run = execute(make_run(parameters=python(code), time_limit=timedelta(seconds=2)))

    assert run.state == State.TIMED_OUT
    assert run.reason == "took longer than its time limit of 2 s"
    wait_until(lambda: processes.is_gone(int(printed(run).split()[0])), 5, "what the job started is gone")


def test_a_job_that_ignores_sigterm_is_killed(monkeypatch):
    monkeypatch.setattr(execution, "GRACE", 1.0)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
    run = execute(make_run(parameters=python(code), time_limit=timedelta(seconds=2)))

    assert run.state == State.TIMED_OUT
    assert run.finished_at - run.started_at < timedelta(seconds=10)


def test_cancelling_ends_a_running_job_within_two_seconds():
    run = make_run(parameters={"command": "sleep 300"})
    thread = in_thread(run)
    wait_until(lambda: Run.objects.get(pk=run.pk).state == State.RUNNING, 10, "it runs")

    asked = time.monotonic()
    claims.cancel(run.pk, by="ada", now=timezone.now())
    thread.join()

    assert time.monotonic() - asked < 4
    run.refresh_from_db()
    assert (run.state, run.reason) == (State.CANCELLED, "cancelled by ada")


def test_a_job_is_interrupted_when_its_worker_has_to_stop(running_worker):
    run = make_run(parameters={"command": "sleep 300"})
    thread = in_thread(run)
    wait_until(lambda: Run.objects.get(pk=run.pk).state == State.RUNNING, 10, "it runs")

    stopping.begin(0.5)
    thread.join()

    run.refresh_from_db()
    assert (run.state, run.reason) == (State.INTERRUPTED, "the worker was stopped before the job had ended")


def test_a_worker_that_lost_its_run_ends_the_job_and_records_nothing():
    run = make_run(parameters={"command": "sleep 300"})
    thread = in_thread(run)
    wait_until(lambda: Run.objects.get(pk=run.pk).state == State.RUNNING, 10, "it runs")

    Run.objects.filter(pk=run.pk).update(
        state=State.INTERRUPTED, token=None, finished_at=timezone.now(), reason="taken away"
    )
    thread.join()

    run.refresh_from_db()
    assert (run.state, run.reason) == (State.INTERRUPTED, "taken away")


def test_an_unknown_job_fails_with_a_sentence_that_names_it():
    run = execute(make_run(job="run_comand"))

    assert run.state == State.FAILED
    assert "run_comand" in run.reason
    assert "run_command" in run.reason


def test_a_parameter_of_the_wrong_type_fails_before_anything_starts():
    run = execute(make_run(parameters={"command": "true", "accepted_exit_codes": ["four"]}))

    assert run.state == State.FAILED
    assert "accepted_exit_codes" in run.reason
    assert "four" in run.reason


def test_an_own_job_runs_with_what_the_scheduler_tells_it(jobs_folder):
    (jobs_folder / "own.py").write_text(
        textwrap.dedent("""
            import os
            from jobs import job

            @job
            def tell(word: str = "x") -> None:
                print(word, os.environ["SCHEDULER_RUN_ID"], os.environ["SCHEDULER_SCHEDULE"], os.environ["SCHEDULER_ATTEMPT"])
                print([name for name in os.environ if name.startswith(("SCHEDULER_DATA", "SCHEDULER_BROKER", "DJANGO_"))])
        """)
    )
    run = execute(make_run(job="tell", parameters={"word": "hello"}, schedule_name="mine"))

    assert run.state == State.SUCCEEDED
    assert printed(run).decode().splitlines() == [f"hello {run.pk} mine 1", "[]"]


def test_a_broken_file_in_the_jobs_folder_does_not_keep_others_from_running(jobs_folder):
    (jobs_folder / "broken.py").write_text("import nothing_of_this_name\n")

    assert execute(make_run(parameters={"command": "true"})).state == State.SUCCEEDED


@pytest.mark.skipif(os.name == "nt", reason="signals end processes on POSIX only")
def test_a_job_killed_from_outside_fails_and_says_by_which_signal():
    run = make_run(parameters=python("import os, signal; os.kill(os.getppid(), signal.SIGKILL)"))

    execute(run)

    assert (run.state, run.exit_code, run.reason) == (State.FAILED, 128 + signal.SIGKILL, "ended by signal SIGKILL")


@pytest.mark.parametrize("step", ["claim", "finish"])
def test_a_database_that_is_away_for_a_moment_costs_neither_the_run_nor_its_outcome(monkeypatch, step):
    monkeypatch.setattr(executor, "INSIST_EVERY", 0.05)
    real, failures = getattr(claims, step), iter([OperationalError("it is away")] * 3)

    def away(*arguments, **options):
        for failure in failures:
            raise failure
        return real(*arguments, **options)

    monkeypatch.setattr(claims, step, away)

    assert execute(make_run(parameters={"command": "true"})).state == State.SUCCEEDED
