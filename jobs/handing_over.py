"""Work handed over by a program: a job by its name, with parameters; it returns at once, a worker does it later."""

import getpass
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from jobs import catalogue, once, starting, vault
from jobs.durations import format_duration, parse_duration
from jobs.errors import JobError, ParameterError
from jobs.kinds import show
from jobs.models import Origin
from jobs.once import Made
from jobs.registry import Job
from scheduler_app import routing

# A run that is to start later than this is a schedule.
LATEST = timedelta(days=366)
HIGHEST_PRIORITY = 255


class OptionError(JobError, ValueError):
    """Options that cannot be used: all of them at once, one sentence each."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(dict(problems))
        self.problems = dict(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems.values())


@dataclass(frozen=True, slots=True)
class Order:
    """How a run is to be made; made by `order`, which checks it."""

    start_at: datetime | None = None  # None: at once
    expires_at: datetime | None = None
    route: dict[str, Any] | None = None
    key: str | None = None
    time_limit: timedelta | None = None


def run_now(
    name: str,
    /,
    *,
    at: datetime | None = None,
    delay: timedelta | float | str | None = None,
    priority: int | None = None,
    queue: str | None = None,
    expires: datetime | timedelta | float | str | None = None,
    key: str | None = None,
    by: str = "",
    **parameters: Any,
) -> int:
    """Have the job called *name* run with *parameters*, and return the number of its run, without waiting for it.

    at, delay   when it starts: a moment, or "10m", seconds or a timedelta from now; otherwise at once
    expires     until when a worker may start it: a moment, or a time from then on
    priority    0 to 255; of the runs that wait in one queue, the highest goes first
    queue       only workers of this queue run it
    key         of one's own, such as an order's number: a second call with it makes no second run
    by          who asked for it, for the history; otherwise the user that this process runs as

    Raises UnknownJob, ParameterError, OptionError, and KeyTakenError for a key that was used for something else.
    """
    wanted = order(at=at, delay=delay, priority=priority, queue=queue, expires=expires, key=key, keys_of="python")
    job = catalogue.registry()[name]
    return hand_over(job, parameters, wanted, origin=Origin.PYTHON, by=by or _user()).run_id


def hand_over(job: Job, parameters: Mapping[str, Any], wanted: Order, *, origin: Origin, by: str) -> Made:
    """Record a run of *job*; ParameterError holds all that does not fit."""
    checked = checked_parameters(job, parameters)

    def create() -> int:
        return starting.start(
            job.name,
            checked,
            by=by[:150],
            origin=origin,
            at=wanted.start_at,
            expires_at=wanted.expires_at,
            route=wanted.route,
            time_limit=wanted.time_limit,
        ).pk

    return once.make(wanted.key, job.name, checked, create)


def checked_parameters(job: Job, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return *parameters* as a run keeps them; a secret among them is one that is stored, by its name."""
    checked = job.validate(parameters)
    problems = {}
    known = set(vault.names()) if any(each.secret for each in job.parameters) else set()
    for parameter in job.parameters:
        own = {parameter.name: checked[parameter.name]}
        if not parameter.secret or own[parameter.name] is None:
            continue
        if _holds_text(job, own):
            problems[parameter.name] = (
                f"cannot use {parameter.name} as a text: the history would keep it; store it under Secrets, and write"
                ' {"secret": its name}'
            )
        elif missing := sorted(vault.references(job, own) - known):
            problems[parameter.name] = f"cannot use {parameter.name}: there is no secret {missing[0]!r}"
    if problems:
        raise ParameterError(problems)
    return checked


@dataclass(slots=True)
class _Reading:
    """Reads options one by one and notes what does not fit."""

    now: datetime
    problems: dict[str, str] = field(default_factory=dict)

    def refuse(self, name: str, value: object, reason: str) -> None:
        self.problems[name] = f"cannot use {name} = {show(value)}: {reason}"

    def start(self, at: object, delay: object) -> datetime | None:
        if at is None and delay is None:
            return None
        name, value = ("at", at) if delay is None else ("delay", delay)
        if at is not None and delay is not None:
            self.refuse("delay", delay, "at says already when it starts")
            return None
        moment = self.moment(name, value, self.now)
        if moment is not None and moment > self.now + LATEST:
            self.refuse(name, value, f"it is more than {LATEST.days} days ahead; make a schedule of it")
            return None
        return moment

    def moment(self, name: str, value: object, since: datetime) -> datetime | None:
        if isinstance(value, datetime):
            if timezone.is_aware(value):
                return value
            self.refuse(name, value, 'a moment with its offset is needed, such as "2026-12-24T18:00:00+01:00"')
            return None
        if name == "at":
            self.refuse(name, value, "a moment is needed")
            return None
        try:
            length = parse_duration(value)
        except ValueError as error:
            self.refuse(name, value, str(error))
            return None
        if length > LATEST:
            self.refuse(name, value, f"{format_duration(LATEST)} is the longest")
            return None
        return since + length

    def expiry(self, value: object, start_at: datetime) -> datetime | None:
        if value is None:
            return None
        moment = self.moment("expires", value, start_at)
        if moment is not None and moment <= start_at:
            self.refuse("expires", value, "it would have expired before it starts")
        return moment

    def route(self, priority: object, queue: object) -> dict[str, Any] | None:
        route: dict[str, Any] = {}
        if priority is not None:
            if type(priority) is not int or not 0 <= priority <= HIGHEST_PRIORITY:
                self.refuse("priority", priority, f"a whole number from 0 to {HIGHEST_PRIORITY} is needed")
            route["priority"] = priority
        if queue not in (None, routing.ANY):
            try:
                if not isinstance(queue, str):
                    raise ValueError("a text is needed")  # noqa: TRY004, TRY301 - as check_queue does
                route["queue"] = routing.check_queue(queue)
            except ValueError as error:
                self.refuse("queue", queue, f"it is {error}")
        return route or None

    def own_key(self, key: object, keys_of: str) -> str | None:
        if key is None:
            return None
        try:
            return f"{keys_of}:{once.check(key)}"  # type: ignore[arg-type]  # which it checks
        except ValueError as error:
            self.refuse("key", key, str(error))
            return None


def order(
    *,
    at: object = None,
    delay: object = None,
    priority: object = None,
    queue: object = None,
    expires: object = None,
    key: object = None,
    keys_of: str,
) -> Order:
    """Return the options of `run_now`, checked; OptionError. *keys_of* keeps the keys of strangers apart."""
    read = _Reading(timezone.now())
    start_at = read.start(at, delay)
    wanted = Order(
        start_at=start_at,
        expires_at=read.expiry(expires, start_at or read.now),
        route=read.route(priority, queue),
        key=read.own_key(key, keys_of),
    )
    if read.problems:
        raise OptionError(read.problems)
    return wanted


def _holds_text(job: Job, values: Mapping[str, Any]) -> bool:
    found = False

    def look(_label: str, value: Any) -> Any:
        nonlocal found
        found = found or (isinstance(value, str) and bool(value))
        return value

    job.map_secrets(values, look)
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, ImportError):  # no name for this user id, as in some containers; Windows before Python 3.13
        return ""
