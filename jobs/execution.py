"""One child process of a run: its orders, its output, its lease, and how it ends."""

import json
import logging
import signal
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple

from django.conf import settings

from jobs import claims, progress_file
from jobs.claims import Claim, Outcome
from jobs.holding import Holding
from jobs.masking import Masker, Patterns
from jobs.models import RunOutput
from jobs.registry import Job
from jobs.states import State
from scheduler_app import platforms, pulse

logger = logging.getLogger(__name__)

PACE = 0.2
# Between asking the job's processes to end and killing them.
GRACE = 5.0
# What a job leaves running in the background may print this long after the job itself has ended.
LEFTOVERS = 1.0
READ_SIZE = 64 * 1024


class Orders(NamedTuple):
    """What the child is to do, with its secrets, and what must not be seen of it: kept in memory only."""

    parameters: dict[str, Any]
    lent: dict[str, Any]
    hidden: Patterns


class Execution:
    """One child process from its first line to its outcome."""

    def __init__(
        self,
        held: Claim,
        job: Job,
        tree: platforms.ProcessTree,
        orders: Orders,
        *,
        lease: timedelta,
        progress_file: Path,
    ) -> None:
        self._held = held
        self._orders = orders
        self._tree = tree
        self._holding = Holding(held, lease, held.run.time_limit or job.options.timeout)
        self._progress_file = progress_file
        self._progress = b""
        self._news = threading.Event()

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
        self._holding.save_output()
        self._holding.guarded(self._tell_progress)
        if self._holding.lost:
            return None
        outcome = ended_by_us or _of_exit(code)
        return replace(
            outcome,
            exit_code=outcome.exit_code if outcome.exit_code is not None else _shell_code(code),
            output_size=self._holding.output.size,
            output_dropped=self._holding.output.dropped,
        )

    def _hand_over(self) -> None:
        run = self._held.run
        folder = settings.SCHEDULER_PATHS.jobs
        orders = self._orders
        line = json.dumps({"job": run.job, "parameters": orders.parameters, "folder": str(folder), "lent": orders.lent})
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
            pulse.show()
            self._news.clear()
            now = time.monotonic()
            ended = self._tree.popen.poll() is not None
            reading = any(reader.is_alive() for reader in readers)
            if ended and not reading:
                return why
            self._holding.save_output()
            self._holding.guarded(self._tell_progress)
            if ended and give_up_at is None:
                give_up_at = now + LEFTOVERS
            if why is None and not ended:
                why = self._holding.reason_to_end(now)
                if why is not None:
                    self._tree.terminate()
                    give_up_at = now + GRACE
            if give_up_at is not None and now >= give_up_at:
                self._tree.kill()
                return why

    def _tell_progress(self) -> None:
        """Store how far the job says it has come, when it says something new."""
        try:
            with self._progress_file.open("rb") as file:
                line = file.read(progress_file.LONGEST_LINE)
        except OSError:  # most jobs say nothing
            return
        told = progress_file.read(line) if line != self._progress else None
        if told is not None:
            claims.tell_progress(self._held, told)
            self._progress = line

    def _read(self, pipe: IO[bytes], stream: int) -> threading.Thread:
        def read() -> None:
            masker = Masker(self._orders.hidden)
            with pipe:
                # read1 returns what is there; Popen's pipes are BufferedReaders.
                while data := pipe.read1(READ_SIZE):  # type: ignore[attr-defined]
                    self._holding.output.feed(stream, masker.feed(data))
            self._holding.output.feed(stream, masker.rest())
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
