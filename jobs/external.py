"""Jobs asked for by ordinary Celery clients on the same broker: `app.send_task("tidy", kwargs={…})`, `task.delay()`.

Such a message is not signed: whoever can write to the broker can write one. So only jobs that `celery.accepts` names
are started, and only as a run of their own: what a message wants called afterwards, nobody calls. Celery's id of the
message is the key of its run, so that a message that comes twice has one.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from jobs import catalogue, handing_over
from jobs.errors import ParameterError, UnknownJob
from jobs.handing_over import Order
from jobs.inbox import CONTENT, Letter, check_deliveries
from jobs.messages import TASK_NAME, MessageError, MessageExpired
from jobs.models import Origin
from jobs.once import KeyTakenError, Made
from jobs.registry import Job

logger = logging.getLogger(__name__)

LARGEST_BODY = 1_000_000
LONGEST_ID = 155  # Celery's own limit
_AFTERWARDS = ("callbacks", "errbacks", "chain", "chord")


@dataclass(frozen=True, slots=True)
class Request:
    """What a Celery client asks for, checked."""

    job: Job
    parameters: dict[str, Any]
    order: Order
    by: str


def is_accepted(letter: Letter, accepted: Iterable[str]) -> bool:
    """Tell whether this asks for a job that other Celery clients may start: one that a pattern of *accepted* names."""
    name = letter.headers.get("task")
    if not isinstance(name, str) or name == TASK_NAME:
        return False
    if name in accepted:
        return True
    # A command can do anything: it is named in full, or not meant.
    jobs = catalogue.registry()
    return name in jobs and jobs[name].permission is None and any(fnmatchcase(name, each) for each in accepted)


def take_over(letter: Letter, *, queue: str, priority: object, now: datetime) -> Made:
    """Record the run that the message asks for, or find the one it has; MessageError when it cannot be done."""
    request = read(letter, queue=queue, priority=priority, now=now)
    try:
        made = handing_over.hand_over(
            request.job, request.parameters, request.order, origin=Origin.EXTERNAL, by=request.by
        )
    except KeyTakenError as error:
        raise MessageError(str(error)) from None
    logger.info("%s of %s is run %s", request.order.key, request.by, made.run_id)
    return made


def read(letter: Letter, *, queue: str, priority: object, now: datetime) -> Request:
    """Return what the message asks for; raise MessageError when it cannot be done.

    *queue* is where the message was: the run goes to the workers that read it.
    """
    if len(letter.body) > LARGEST_BODY:
        raise MessageError(f"it has {len(letter.body):,} bytes; {LARGEST_BODY:,} are allowed")
    if letter.content != CONTENT:
        raise MessageError(f"it is not JSON: its content type is {letter.content[0]!r}, {letter.content[1]!r}")
    headers = letter.headers
    check_deliveries(headers)
    task_id = headers.get("id")
    if not (isinstance(task_id, str) and task_id.isprintable() and 0 < len(task_id) <= LONGEST_ID):
        raise MessageError(f"it has no id by which it could be known again, but {task_id!r}")
    expires_at = _moment(headers, "expires")
    if expires_at is not None and expires_at <= now:
        raise MessageExpired(f"task {task_id} was to be started before {expires_at:%Y-%m-%d %H:%M:%S %Z}")
    try:
        job = catalogue.registry()[headers["task"]]
        parameters = handing_over.checked_parameters(job, _named(job, _arguments(letter.body)))
    except (UnknownJob, ParameterError) as error:
        raise MessageError(str(error)) from None
    order = Order(
        start_at=_moment(headers, "eta"),
        expires_at=expires_at,
        route=_route(queue, priority),
        key=f"celery:{task_id}",
        time_limit=_time_limit(headers.get("timelimit")),
    )
    return Request(job, parameters, order, by=_printable(headers.get("origin")))


def _arguments(body: bytes) -> tuple[list[Any], dict[str, Any]]:
    try:
        positional, named, after = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, TypeError, RecursionError) as error:
        raise MessageError(f"it cannot be read: {error}") from error
    if not (isinstance(positional, list) and isinstance(named, dict) and isinstance(after, dict)):
        raise MessageError("it cannot be read: it does not hold a list, named values and what comes after")
    if wanted := [name for name in _AFTERWARDS if after.get(name)]:
        raise MessageError(
            f"it wants something called afterwards ({', '.join(wanted)}), which only a Celery worker of its own project"
            " can do; let the schedule of the one follow that of the other instead"
        )
    return positional, named


def _named(job: Job, arguments: tuple[list[Any], dict[str, Any]]) -> dict[str, Any]:
    positional, named = arguments
    names = [parameter.name for parameter in job.parameters]
    if len(positional) > len(names):
        raise MessageError(f"it has {len(positional)} arguments, and the job {job.name} has {len(names)} parameters")
    given = dict(zip(names, positional, strict=False))
    if twice := sorted(given.keys() & named.keys()):
        raise MessageError(f"it has two values for {', '.join(twice)}")
    return given | named


def _moment(headers: Mapping[str, Any], name: str) -> datetime | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        # Celery writes UTC, and leaves it away when its `enable_utc` says so.
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise MessageError(f"its header {name} is {value!r} instead of a moment") from None


def _route(queue: str, priority: object) -> dict[str, Any] | None:
    route: dict[str, Any] = {}
    if queue and not queue.startswith("scheduler."):
        route["queue"] = queue
    if isinstance(priority, int) and priority:
        route["priority"] = min(max(priority, 0), handing_over.HIGHEST_PRIORITY)
    return route or None


def _time_limit(limits: object) -> timedelta | None:
    if not isinstance(limits, list | tuple):
        return None
    longest = handing_over.LATEST.total_seconds()
    seconds = [each for each in limits if isinstance(each, int | float) and 0 < each < longest]
    return timedelta(seconds=min(seconds)) if seconds else None


def _printable(text: object) -> str:
    return "".join(sign for sign in str(text or "") if sign.isprintable())[:150]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
