"""A run's life in the worker, as one straight line: claim, execute in a child process, finish."""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from jobs import catalogue, claims, lending, stopping
from jobs.claims import Claim, Hold, Outcome
from jobs.models import Run, RunOutput
from jobs.output import OutputBuffer
from jobs.parameters import ParameterError
from jobs.registry import Job, UnknownJob
from jobs.states import State
from scheduler_app import platforms

T = TypeVar("T")

logger = logging.getLogger(__name__)

PACE = 0.2
LOOK_EVERY = 1.0
RENEWALS_A_LEASE = 3
# Between asking the job's processes to end and killing them.
GRACE = 5.0
# What a job leaves running in the background may print this long after the job itself has ended.
LEFTOVERS = 1.0
READ_SIZE = 64 * 1024
INSIST_EVERY = 2.0


def execute(run_id: int, attempt: int, *, worker: str) -> None:
    """Run what the run says, if this worker gets it; nothing happens otherwise."""
    lease = timedelta(seconds=settings.SCHEDULER.worker.lease)
    held = insist(lambda: claims.claim(run_id, attempt, worker=worker, lease=lease, now=timezone.now()), run_id)
    if held is None:
        logger.info("Run %s, attempt %s: nothing to do, it is taken or has ended", run_id, attempt)
        return
    logger.info("Run %s starts: %s (%s)", run_id, held.run.schedule_name or "by hand", held.run.job)
    outcome = _outcome(held, lease)
    if outcome is None or not insist(lambda: claims.finish(held, outcome, now=timezone.now()), run_id):
        logger.warning("Run %s is no longer this worker's; its outcome here is not recorded", run_id)
        return
    logger.info("Run %s %s%s", run_id, outcome.state.label.lower(), f": {outcome.reason}" if outcome.reason else "")


def _outcome(held: Claim, lease: timedelta) -> Outcome | None:
    run = held.run
    try:
        job = catalogue.registry().get(run.job)
        job.validate(run.parameters)
    except (UnknownJob, ParameterError) as problem:
        return Outcome(State.FAILED, str(problem))
    try:
        tree = platforms.spawn([sys.executable, "-P", "-m", "jobs.child"], env=_environment(run), cwd=Path.home())
    except OSError as problem:
        return Outcome(State.FAILED, f"cannot start a process for the job: {problem}")
    try:
        return _Execution(held, job, tree, lease).outcome()
    finally:
        tree.kill()
        tree.close()
        if tree.popen.stdin is not None:
            with contextlib.suppress(OSError):  # what it did not read is of no use any more
                tree.popen.stdin.close()


def insist(action: Callable[[], T], run_id: int) -> T:
    """Do *action*, again and again while the database is away: a message in hand, or an outcome, must not be dropped.

    Raises the DatabaseError only when the worker is being stopped; the lease, or sending it again, then heals the run.
    """
    while True:
        try:
            return action()
        except DatabaseError as error:
            logger.warning("run %s: the database does not answer, trying again: %s", run_id, error)
            connection.close_if_unusable_or_obsolete()
            if stopping.wait(INSIST_EVERY):
                raise


def _environment(run: Run) -> dict[str, str]:
    """Return what the job sees: the worker's environment without the scheduler's own settings and secrets."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SCHEDULER_") and name != "DJANGO_SETTINGS_MODULE"
    }
    return inherited | {
        "SCHEDULER_RUN_ID": str(run.pk),
        "SCHEDULER_SCHEDULE": run.schedule_name,
        "SCHEDULER_FIRE_TIME": run.fire_time.isoformat() if run.fire_time else "",
        "SCHEDULER_ATTEMPT": str(run.attempt),
    }


class _Execution:
    """One child process from its first line to its outcome."""

    def __init__(self, held: Claim, job: Job, tree: platforms.ProcessTree, lease: timedelta) -> None:
        self._held = held
        self._job = job
        self._tree = tree
        self._lease = lease
        limit = held.run.time_limit or job.timeout
        self._time_limit = limit.total_seconds() if limit else None
        self._output = OutputBuffer(settings.SCHEDULER.jobs.output_limit)
        self._news = threading.Event()
        self._started = time.monotonic()
        self._look_at = self._started + LOOK_EVERY
        self._renew_at = self._started + lease.total_seconds() / RENEWALS_A_LEASE
        self._lost = False

    def outcome(self) -> Outcome | None:
        """Return how the child ended, or None when the run was taken from this worker."""
        popen = self._tree.popen
        assert popen.stdout is not None and popen.stderr is not None  # noqa: S101, PT018 - spawned with pipes
        readers = [
            self._read(popen.stdout, RunOutput.Stream.STDOUT),
            self._read(popen.stderr, RunOutput.Stream.STDERR),
        ]
        self._hand_over()
        ended_by_us = self._watch(readers)
        code = popen.wait()
        self._tree.kill()
        for reader in readers:
            reader.join(LEFTOVERS)
        self._guarded(self._save_output)
        if self._lost:
            return None
        outcome = ended_by_us or _of_exit(code)
        return replace(
            outcome,
            exit_code=outcome.exit_code if outcome.exit_code is not None else _shell_code(code),
            output_size=self._output.size,
            output_dropped=self._output.dropped,
        )

    def _hand_over(self) -> None:
        run = self._held.run
        folder = settings.SCHEDULER_PATHS.jobs
        lent = lending.lent_to(self._job)
        line = json.dumps({"job": run.job, "parameters": run.parameters, "folder": str(folder), "lent": lent})
        stdin = self._tree.popen.stdin
        assert stdin is not None  # noqa: S101 - spawned with pipes
        try:
            stdin.write(line.encode() + b"\n")
            stdin.flush()
        except OSError:
            # It ended before it read; its exit code and what it printed tell why.
            logger.debug("run %s: the child did not read its orders", run.pk)

    def _watch(self, readers: list[threading.Thread]) -> Outcome | None:
        """Keep the lease and the output until the child and its pipes are done; return why we ended it, if we did."""
        why: Outcome | None = None
        give_up_at: float | None = None
        while True:
            self._news.wait(PACE)
            self._news.clear()
            now = time.monotonic()
            ended = self._tree.popen.poll() is not None
            reading = any(reader.is_alive() for reader in readers)
            if ended and not reading:
                return why
            self._guarded(self._save_output)
            if ended and give_up_at is None:
                give_up_at = now + LEFTOVERS
            if why is None and not ended:
                why = self._reason_to_end(now)
                if why is not None:
                    self._tree.terminate()
                    give_up_at = now + GRACE
            if give_up_at is not None and now >= give_up_at:
                self._tree.kill()
                return why

    def _reason_to_end(self, now: float) -> Outcome | None:
        if self._time_limit is not None and now - self._started >= self._time_limit:
            return Outcome(State.TIMED_OUT, f"took longer than its time limit of {self._time_limit:g} s")
        if stopping.is_over():
            return Outcome(State.INTERRUPTED, "the worker was stopped before the job had ended")
        if now < self._look_at:
            return None
        self._look_at = now + LOOK_EVERY
        hold = self._guarded(self._ask)
        if hold is Hold.LOST:
            self._lost = True
            return Outcome(State.INTERRUPTED)
        if hold is Hold.CANCEL:
            reason = Run.objects.filter(pk=self._held.run.pk).values_list("reason", flat=True).first()
            return Outcome(State.CANCELLED, reason or "")
        return None

    def _ask(self) -> Hold:
        now = time.monotonic()
        if now < self._renew_at:
            return claims.look(self._held)
        self._renew_at = now + self._lease.total_seconds() / RENEWALS_A_LEASE
        return claims.renew(self._held, lease=self._lease, now=timezone.now())

    def _save_output(self) -> None:
        changes = self._output.changes()
        run_id = self._held.run.pk
        try:
            if changes.dropped:
                RunOutput.objects.filter(run_id=run_id, number__range=changes.dropped).delete()
            if changes.added:
                RunOutput.objects.bulk_create(
                    RunOutput(run_id=run_id, number=piece.number, stream=piece.stream, data=bytes(piece.data))
                    for piece in changes.added
                )
        except DatabaseError:
            self._output.undo(changes)
            raise

    def _guarded(self, action: Callable[[], Any]) -> Any:
        """Do *action*; while the database is away the job goes on, and the lease decides what becomes of it."""
        try:
            return action()
        except DatabaseError as error:
            logger.warning("run %s: the database does not answer: %s", self._held.run.pk, error)
            connection.close_if_unusable_or_obsolete()
            return None

    def _read(self, pipe: IO[bytes], stream: int) -> threading.Thread:
        def read() -> None:
            with pipe:
                # read1 returns what is there; Popen's pipes are BufferedReaders.
                while data := pipe.read1(READ_SIZE):  # type: ignore[attr-defined]
                    self._output.feed(stream, data)
            self._news.set()

        thread = threading.Thread(target=read, name=f"run-{self._held.run.pk}-{stream}", daemon=True)
        thread.start()
        return thread


def _of_exit(code: int) -> Outcome:
    if code == 0:
        return Outcome(State.SUCCEEDED)
    if code < 0:
        return Outcome(State.FAILED, f"ended by signal {signal.Signals(-code).name}")
    return Outcome(State.FAILED, f"exit code {code}")


def _shell_code(code: int) -> int:
    """Return the exit code as a shell tells it: 128 + the signal's number for a killed process (POSIX, sh(1))."""
    return code if code >= 0 else 128 - code
