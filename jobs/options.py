"""What `@job(…)` may say of how a job is run, checked; the defaults of every run of it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple, TypedDict

from jobs.durations import parse_duration
from jobs.errors import JobDefinitionError
from jobs.retries import RETRIED, Retry
from jobs.states import State

MOST_RETRIES = 100
USUAL_DELAY = timedelta(minutes=1)
USUALLY_RETRIED = (State.FAILED, State.TIMED_OUT)


class RawOptions(TypedDict, total=False):
    """As they are written in the decorator."""

    timeout: str | float | timedelta | None
    retries: int
    retry_delay: str | float | timedelta
    retry_on: tuple[str, ...]


class Options(NamedTuple):
    timeout: timedelta | None = None
    retries: int = 0
    retry: Retry | None = None


def check_options(raw: Mapping[str, Any], function: str) -> Options:
    """Return the options of the job *function*; JobDefinitionError names the one that cannot be."""
    unknown = sorted(set(raw) - set(RawOptions.__annotations__))
    if unknown:
        raise JobDefinitionError(
            f"cannot use {unknown[0]}= for {function}(): there is no such option of @job; there are "
            f"{', '.join(RawOptions.__annotations__)}"
        )
    checked: dict[str, Any] = {}
    for name, reader in _READERS.items():
        if name in raw:
            try:
                checked[name] = reader(raw[name])
            except (TypeError, ValueError) as error:
                raise JobDefinitionError(f"cannot use {name}={raw[name]!r} for {function}(): {error}") from None
    checked["retry"] = _retry(checked, function)
    return Options(**{name: value for name, value in checked.items() if name in Options._fields})


def _retry(checked: Mapping[str, Any], function: str) -> Retry | None:
    if checked.get("retries"):
        return Retry(frozenset(checked.get("retry_on", USUALLY_RETRIED)), checked.get("retry_delay", USUAL_DELAY))
    for name in ("retry_delay", "retry_on"):
        if name in checked:
            raise JobDefinitionError(f"cannot use {name}= for {function}() without retries=: say how often")
    return None


def _timeout(value: object) -> timedelta | None:
    if value is None:
        return None
    timeout = parse_duration(value)
    if not timeout:
        raise ValueError("the job would never run; leave it out for no limit")
    return timeout


def _retries(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MOST_RETRIES:
        raise ValueError(f"a whole number from 0 to {MOST_RETRIES} is needed")
    return value


def _states(value: object) -> tuple[State, ...]:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple | set | frozenset) or not names or not set(names) <= set(RETRIED):
        raise ValueError(f"allowed are {', '.join(RETRIED)}, one or several")
    return tuple(State(name) for name in names)


_READERS = {
    "timeout": _timeout,
    "retries": _retries,
    "retry_delay": parse_duration,
    "retry_on": _states,
}
