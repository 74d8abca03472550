"""A run's life in the worker, as one straight line: claim, execute in a child process, finish."""

import contextlib
import logging
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from jobs import catalogue, claims, in_worker, leftovers, lending, parents, progress_file, stopping, vault
from jobs.claims import Claim, Outcome, Rules
from jobs.execution import Execution, Orders
from jobs.limits import Limits
from jobs.masking import Patterns
from jobs.models import Run
from jobs.options import Options
from jobs.parameters import ParameterError
from jobs.registry import Job, UnknownJob
from jobs.states import State
from jobs.task_jobs import TaskJob
from jobs.vault import SecretError
from scheduler_app import platforms, pulse

T = TypeVar("T")

logger = logging.getLogger(__name__)

INSIST_EVERY = 2.0
# Without these hardly any program works: where programs and files are, who one is, the language, the time zone.
ALWAYS_PASSED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE", "USERNAME"),
    *("APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES*", "HOMEDRIVE", "HOMEPATH", "NUMBER_OF_PROCESSORS"),
)


def execute(run_id: int, attempt: int, *, worker: str) -> None:
    """Run what the run says, if this worker gets it; nothing happens otherwise."""
    run = insist(lambda: claims.waiting(run_id, attempt), run_id)
    if run is None:
        logger.info("Run %s, attempt %s: nothing to do, it is taken or has ended", run_id, attempt)
        return
    problem: Outcome | None = None
    try:
        job = catalogue.registry().get(run.job)
        job.validate(run.parameters)
        parameters, secrets = vault.revealed(job, run.parameters)
    except (UnknownJob, ParameterError, SecretError) as error:
        problem = Outcome(State.FAILED, str(error))
    if problem is not None:
        _finish(insist(lambda: _claim(run, worker, None, None), run_id), problem)
        return
    if job.options.inline or isinstance(job, TaskJob):
        _execute_here(run, job, parameters, Patterns(secrets), worker)
        return
    with _progress_file() as file:
        _execute(run, job, _orders(job, parameters, secrets), worker, file)


def _execute_here(run: Run, job: Job, parameters: dict[str, Any], hidden: Patterns, worker: str) -> None:
    held = insist(lambda: _claim(run, worker, job, None), run.pk)
    if held is not None:
        logger.info("Run %s starts here: %s (%s)", run.pk, run.schedule_name or "by hand", run.job)
        lease = timedelta(seconds=settings.SCHEDULER.worker.lease)
        _finish(held, in_worker.outcome(held, job, lease, parameters, hidden))


def _execute(run: Run, job: Job, orders: Orders, worker: str, progress_file: Path) -> None:
    """Start a process for *run*, claim it, and only then tell the process what to do."""
    try:
        # It imports what it needs while the claim is made, and waits: the end of its pipe means that it was not wanted.
        tree = platforms.spawn(
            [sys.executable, "-P", "-m", "jobs.child"], env=_environment(run, progress_file), cwd=Path.home()
        )
    except OSError as error:
        problem = Outcome(State.FAILED, f"cannot start a process for the job: {error}")
        _finish(insist(lambda: _claim(run, worker, job, None), run.pk), problem)
        return
    outcome: Outcome | None = None
    try:
        held = insist(lambda: _claim(run, worker, job, tree), run.pk)
        if held is not None:
            logger.info("Run %s starts: %s (%s)", run.pk, run.schedule_name or "by hand", run.job)
            lease = timedelta(seconds=settings.SCHEDULER.worker.lease)
            outcome = Execution(held, job, tree, orders, lease=lease, progress_file=progress_file).outcome()
    finally:
        tree.kill()
        tree.close()
        for pipe in (tree.popen.stdin, tree.popen.stdout, tree.popen.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it did not read is of no use any more
                    pipe.close()
    _finish(held, outcome)


def _claim(run: Run, worker: str, job: Job | None, tree: platforms.ProcessTree | None) -> Claim | None:
    return claims.claim(
        run.pk,
        run.attempt,
        worker=worker,
        lease=timedelta(seconds=settings.SCHEDULER.worker.lease),
        now=timezone.now(),
        rules=claims.NO_RULES if job is None else _rules(job.options),
        process=None if tree is None else leftovers.process_of(tree),
    )


def _rules(options: Options) -> Rules:
    return Rules(1 + options.retries, options.retry, Limits(options.max_running, options.pause))


def _finish(held: Claim | None, outcome: Outcome | None) -> None:
    if held is None:
        return
    run_id = held.run.pk
    if outcome is None or not insist(lambda: claims.finish(held, outcome, now=timezone.now()), run_id):
        logger.warning("Run %s is no longer this worker's; its outcome here is not recorded", run_id)
        return
    logger.info("Run %s %s%s", run_id, outcome.state.label.lower(), f": {outcome.reason}" if outcome.reason else "")


def insist(action: Callable[[], T], run_id: object) -> T:
    """Do *action*, again and again while the database is away: a message in hand, or an outcome, must not be dropped.

    Raises the DatabaseError only when the worker is being stopped; the lease, or sending it again, then heals the run.
    """
    while True:
        pulse.show()
        try:
            return action()
        except DatabaseError as error:
            logger.warning("run %s: the database does not answer, trying again: %s", run_id, error)
            connection.close_if_unusable_or_obsolete()
            if stopping.wait(INSIST_EVERY):
                raise


@contextlib.contextmanager
def _progress_file() -> Iterator[Path]:
    """Give a path at which a job may say how far it has come; what it leaves there is removed."""
    folder = settings.SCHEDULER_PATHS.progress
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / uuid.uuid4().hex
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def _environment(run: Run, file: Path) -> dict[str, str]:
    """Return what the job sees: the worker's environment without the scheduler's own settings and secrets."""
    allowed = settings.SCHEDULER.jobs.environment
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SCHEDULER_")
        and name != "DJANGO_SETTINGS_MODULE"
        and (not allowed or any(fnmatchcase(name, pattern) for pattern in (*allowed, *ALWAYS_PASSED)))
    }
    return inherited | {
        "SCHEDULER_RUN_ID": str(run.pk),
        "SCHEDULER_SCHEDULE": run.schedule_name,
        "SCHEDULER_FIRE_TIME": run.fire_time.isoformat() if run.fire_time else "",
        "SCHEDULER_ATTEMPT": str(run.attempt),
        progress_file.VARIABLE: str(file),
        **parents.environment(run),
    }


def _orders(job: Job, parameters: dict[str, Any], secrets: list[str]) -> Orders:
    lent = lending.lent_to(job)
    return Orders(parameters, lent, Patterns([*secrets, *filter(None, [lent.get("password")])]))
