"""What `@job(…)` may say of how a job is run, checked; the defaults of every run of it."""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypedDict

from jobs.durations import parse_duration
from jobs.errors import JobDefinitionError
from jobs.retries import RETRIED, Retry
from jobs.sizes import parse_size
from jobs.states import State

MOST_RETRIES = 100
LEAST_MEMORY = 50_000_000
USUAL_DELAY = timedelta(minutes=1)
MOST_STARTS = 1_000
_RATE = re.compile(r"([0-9]{1,4}) ?/ ?([smhd])")
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
USUALLY_RETRIED = (State.FAILED, State.TIMED_OUT)


class RawOptions(TypedDict, total=False):
    """As they are written in the decorator."""

    timeout: str | float | timedelta | None
    retries: int
    retry_delay: str | float | timedelta
    retry_on: tuple[str, ...]
    memory: str | int
    nice: int
    folder: str | Path
    environment: Mapping[str, str]
    inline: bool
    max_running: int | None
    rate: str | None


class Options(NamedTuple):
    timeout: timedelta | None = None
    retries: int = 0
    retry: Retry | None = None
    memory: int | None = None  # bytes
    nice: int | None = None
    folder: Path | None = None
    environment: Mapping[str, str] = MappingProxyType({})
    inline: bool = False
    max_running: int | None = None
    pause: timedelta | None = None  # between two starts


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
    checked["pause"] = checked.get("rate")
    _check_inline(checked, function)
    return Options(**{name: value for name, value in checked.items() if name in Options._fields})


def _retry(checked: Mapping[str, Any], function: str) -> Retry | None:
    if checked.get("retries"):
        return Retry(frozenset(checked.get("retry_on", USUALLY_RETRIED)), checked.get("retry_delay", USUAL_DELAY))
    for name in ("retry_delay", "retry_on"):
        if name in checked:
            raise JobDefinitionError(f"cannot use {name}= for {function}() without retries=: say how often")
    return None


def _check_inline(checked: Mapping[str, Any], function: str) -> None:
    of_a_process = [name for name in ("memory", "nice", "folder", "environment") if checked.get(name)]
    if checked.get("inline") and of_a_process:
        raise JobDefinitionError(
            f"cannot use {of_a_process[0]}= for {function}() with inline=True: it has no process of its own; "
            f"leave one of the two out"
        )


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


def _memory(value: object) -> int:
    size = parse_size(value)
    if size < LEAST_MEMORY:
        raise ValueError("at least 50MB are needed: Python itself takes 20")
    return size


def _nice(value: object) -> int:
    if type(value) is not int or not -20 <= value <= 19:  # noqa: PLR2004 - setpriority(2)
        raise ValueError("a whole number from -20 (first of all) to 19 (after everything else) is needed")
    return value


def _folder(value: object) -> Path:
    folder = Path(value).expanduser() if isinstance(value, str | Path) else None
    if folder is None or not folder.is_absolute():
        raise ValueError("a whole path is needed, such as /srv/data or ~/data")
    return folder


def _environment(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError('a dict is needed, such as {"LANG": "C"}')  # noqa: TRY004 - one error for all that does not fit
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str) or not name or "=" in name or "\0" in name + text:
            raise ValueError(f"{name!r}: {text!r} cannot be an environment variable: both are text, the name without =")
    return dict(value)


def _inline(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("True or False is needed")  # noqa: TRY004 - one error for all that does not fit
    return value


def _max_running(value: object) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError("a whole number from 1 on is needed; leave it out for no limit")
    return value


def _rate(value: object) -> timedelta | None:
    """Return the time from one start to the next, as Celery reads a rate limit: spread evenly over the time."""
    if value is None:
        return None
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    count = int(found[1]) if found else 0
    if found is None or not 1 <= count <= MOST_STARTS:
        raise ValueError(f'starts a second, minute, hour or day are needed, such as "10/m", at most {MOST_STARTS}')
    return _UNITS[found[2]] / count


_READERS = {
    "timeout": _timeout,
    "retries": _retries,
    "retry_delay": parse_duration,
    "retry_on": _states,
    "memory": _memory,
    "nice": _nice,
    "folder": _folder,
    "environment": _environment,
    "inline": _inline,
    "max_running": _max_running,
    "rate": _rate,
}
