"""A run in the worker itself: of a Celery task, or of a job that says inline=True.

A process can be killed, a call cannot: where a run's time is over, or somebody cancels it, SoftTimeLimitExceeded is
raised in the call, as Celery's own soft limit does it. It takes effect at its next step in Python; one that waits in a
system call, or goes on regardless, ends when it ends.
"""

import contextlib
import ctypes
import logging
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Self

from billiard.exceptions import SoftTimeLimitExceeded
from celery import states as celery_states
from django.db import connection

from jobs import claims, progress_file
from jobs.claims import Claim, Outcome
from jobs.errors import JobFailed
from jobs.holding import Holding
from jobs.masking import Masker, Patterns
from jobs.models import RunOutput
from jobs.progress_file import Progress
from jobs.registry import Job
from jobs.states import State
from jobs.task_jobs import TaskJob
from scheduler_app import pulse

PACE = 0.2
LONGEST_RESULT = 10_000  # characters of what a task returns

_FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


def outcome(held: Claim, job: Job, lease: timedelta, parameters: dict[str, Any], hidden: Patterns) -> Outcome | None:
    """Run the job to its end, *hidden* masked in its output; None when the run was taken from this worker."""
    run = held.run
    holding = Holding(held, lease, run.time_limit or job.options.timeout)
    output = _Output(holding, hidden)
    progress = _Progress(held)
    watch = _Watch(holding, progress, threading.get_ident())
    arguments = job.arguments(parameters)
    found = None
    # The exception may come in our own or in Celery's code around the call.
    with watch, _logged(output), progress_file.told_to(progress.tell), contextlib.suppress(SoftTimeLimitExceeded):
        if isinstance(job, TaskJob):
            result = job.task.apply(kwargs=arguments, task_id=f"run-{run.pk}-{run.attempt}", throw=False)
            _show(output, result)
            found = _of_result(result)
        else:
            found = _of_call(job, arguments, output)
    # What had succeeded before the exception reached it has succeeded.
    if found is None or found.state != State.SUCCEEDED:
        found = watch.why or found
    holding.save_output()
    holding.guarded(progress.save)
    if holding.lost:
        return None
    assert found is not None  # noqa: S101 - without an outcome of its own, the watch has ended it
    return replace(found, output_size=holding.output.size, output_dropped=holding.output.dropped)


class _Output:
    """The output of the run, to which whole lines are added."""

    def __init__(self, holding: Holding, hidden: Patterns) -> None:
        self._holding = holding
        self._hidden = hidden

    def add(self, stream: int, text: str) -> None:
        masker = Masker(self._hidden)
        data = f"{text.rstrip()}\n".encode("utf-8", "backslashreplace")
        self._holding.output.feed(stream, masker.feed(data) + masker.rest())


class _Progress:
    """How far the job says that it has come, kept until it is stored; it may say so often."""

    def __init__(self, held: Claim) -> None:
        self._held = held
        self._told: Progress | None = None

    def tell(self, told: Progress) -> None:
        self._told = told

    def save(self) -> None:
        told, self._told = self._told, None
        if told is not None:
            claims.tell_progress(self._held, told)


class _Watch:
    """A thread that keeps the lease and the output, and ends the task where there is a reason to."""

    def __init__(self, holding: Holding, progress: "_Progress", task_thread: int) -> None:
        self.why: Outcome | None = None
        self._holding = holding
        self._progress = progress
        self._task_thread = task_thread
        self._ended = threading.Event()
        # Between looking whether the task goes on and raising in its thread, it must not have gone on to other work.
        self._raising = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="task-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        over = False
        while not over:
            with contextlib.suppress(SoftTimeLimitExceeded):  # raised too late for the task, it arrives here
                with self._raising:
                    self._ended.set()
                self._thread.join()
                _raise_in(self._task_thread, None)
                over = True

    def _watch(self) -> None:
        try:
            while not self._ended.wait(PACE):
                pulse.show()
                self._holding.save_output()
                self._holding.guarded(self._progress.save)
                why = self._holding.reason_to_end(time.monotonic())
                if why is not None and self.why is None:
                    self.why = why
                    self._end_the_task()
        finally:
            connection.close()  # this thread's own

    def _end_the_task(self) -> None:
        with self._raising:
            if not self._ended.is_set():
                _raise_in(self._task_thread, SoftTimeLimitExceeded)


def _raise_in(thread: int, error: type[Exception] | None) -> None:
    """Raise *error* in a thread at its next step; None takes back one that has not been raised yet."""
    raised = ctypes.py_object(error) if error is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


class _Handler(logging.Handler):
    """Takes what one thread logs; with a worker's redirection of stdout, what it prints, too."""

    def __init__(self, output: _Output) -> None:
        super().__init__()
        self.setFormatter(_FORMAT)
        self._output = output
        self._thread_id = threading.get_ident()
        self._last: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        # Through both loggers it comes twice; what Celery says of a task is the run's page already.
        if record is self._last or record.name == "celery.app.trace":
            return
        if record.thread == self._thread_id:
            self._last = record
            printed = record.name == "celery.redirected"
            line = record.getMessage() if printed else self.format(record)
            stream = RunOutput.Stream.STDOUT if printed else RunOutput.Stream.STDERR
            self._output.add(stream, line)


@contextlib.contextmanager
def _logged(output: _Output) -> Iterator[None]:
    handler = _Handler(output)
    # In a worker, Celery's loggers for tasks do not hand on to the root.
    loggers = [logging.getLogger(), logging.getLogger("celery.task")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def _show(output: _Output, result: Any) -> None:
    if result.state == celery_states.SUCCESS:
        if result.result is not None:
            text = repr(result.result)
            shown = text if len(text) <= LONGEST_RESULT else f"{text[:LONGEST_RESULT]}…"
            output.add(RunOutput.Stream.STDOUT, f"returned {shown}")
    elif result.traceback:
        output.add(RunOutput.Stream.STDERR, str(result.traceback))


def _of_call(job: Job, arguments: dict[str, Any], output: _Output) -> Outcome:
    """Call the job's function as its own process would (`jobs.child`)."""
    try:
        job.function(**arguments)
    except JobFailed as failure:
        return Outcome(State.FAILED, failure.message, failure.exit_code)
    except SystemExit as leaving:
        if leaving.code in {None, 0}:
            return Outcome(State.SUCCEEDED)
        if isinstance(leaving.code, int):
            return Outcome(State.FAILED, f"exit code {leaving.code}", leaving.code)
        return Outcome(State.FAILED, str(leaving.code), 1)
    except Exception as error:  # noqa: BLE001 - whatever a job raises is its outcome
        trace = error.__traceback__
        lines = traceback.format_exception(type(error), error, trace.tb_next if trace else None)
        output.add(RunOutput.Stream.STDERR, "".join(lines))
        return Outcome(State.FAILED, traceback.format_exception_only(error)[-1].strip()[:1000])
    return Outcome(State.SUCCEEDED)


def _of_result(result: Any) -> Outcome:
    if result.state == celery_states.SUCCESS:
        return Outcome(State.SUCCEEDED)
    error = result.result
    said = traceback.format_exception_only(error)[-1].strip() if isinstance(error, BaseException) else result.state
    return Outcome(State.FAILED, str(said)[:1000])
