"""How the value of a setting is read and checked, in scheduler.toml and in a variable."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler_app import routing

MASK = "********"
LONGEST_DURATION = 365 * 86400.0  # seconds; far below what timers and datetimes overflow at


class Secret:
    """A text that str(), repr() and format() never show; `reveal()` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __format__(self, specification: str) -> str:
        return format(MASK, specification)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Kind:
    """How a setting is read: *check* takes a TOML value, *from_text* makes one of a variable's text.

    Both raise ValueError with what is wrong and what is allowed, as the end of a sentence.
    """

    check: Callable[[Any], Any]
    from_text: Callable[[str], Any] = str
    secret: bool = False


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return '; did you mean X?' for the known name nearest to *name*, '' when none is near."""
    import difflib  # noqa: PLC0415 - costs 4 ms that only a mistake has to pay

    by_lower_case = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    return f"; did you mean {by_lower_case[near[0]]}?" if near else ""


def whole_number(minimum: int, maximum: int | None = None) -> Kind:
    limits = f"from {minimum} to {maximum}" if maximum is not None else f"of at least {minimum}"

    def check(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= (maximum or math.inf):
            return value
        raise ValueError(f"not a whole number {limits}")

    return Kind(check, _number_or_text)


def quantity(units: Mapping[str, float], example: str, *, several: bool = False) -> Kind:
    """Read a number above zero, or a text of numbers with *units*."""
    part = rf"(\d+(?:\.\d+)?)\s*({'|'.join(map(re.escape, units))})\s*"
    whole = rf"\s*(?:{part}){'+' if several else ''}"

    def check(value: object) -> float:
        number = value
        if isinstance(value, str) and re.fullmatch(whole, value, re.IGNORECASE):
            found = re.findall(part, value, re.IGNORECASE)
            number = sum(float(amount) * units[unit.lower()] for amount, unit in found)
        if isinstance(number, int | float) and not isinstance(number, bool) and 0 < number < math.inf:
            return number
        raise ValueError(f"not {example}")

    return Kind(check, _number_or_text)


def duration() -> Kind:
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    example = 'a number of seconds above 0, or a text such as "10m", "1h 30m" or "500ms"'
    kind = quantity(units, example, several=True)

    def check(value: object) -> float:
        seconds = float(kind.check(value))
        if seconds > LONGEST_DURATION:
            raise ValueError("longer than 365 days, the longest that can be waited for")
        return seconds

    return Kind(check, kind.from_text)


def size() -> Kind:
    units = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
    example = 'a number of bytes above 0, or a text such as "500kB", "1MB" or "1GiB"'
    kind = quantity(units, example)

    def check(value: object) -> int:
        number = kind.check(value)
        if number != int(number):
            raise ValueError(f"not {example}")
        return int(number)

    return Kind(check, kind.from_text)


def choice(*allowed: str) -> Kind:
    def check(value: object) -> str:
        if value in allowed:
            return str(value)
        raise ValueError(f"not one of {', '.join(allowed)}{did_you_mean(str(value), allowed)}")

    return Kind(check)


def text() -> Kind:
    def check(value: object) -> str:
        if isinstance(value, str) and value.strip():
            return value.strip()
        raise ValueError("not a text with at least one character")

    return Kind(check)


def mail_address() -> Kind:
    def check(value: object) -> str:
        address = text().check(value)
        if re.fullmatch(r"[^\r\n]*<[^@\s<>]+@[^@\s<>]+>|[^@\s<>]+@[^@\s<>]+", address):
            return str(address)
        raise ValueError('not an e-mail address such as "me@example.org" or "Backups <me@example.org>"')

    return Kind(check)


def texts() -> Kind:
    def check(value: object) -> tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) and item.strip() for item in value):
            return tuple(item.strip() for item in value)
        raise ValueError('not a list of texts such as ["scheduler.example.org"]')

    return Kind(check, lambda value: value.split(",") if value.strip() else [])


def names(check_one: Callable[[str], str], example: str) -> Kind:
    """Return the kind of a list of names, each as *check_one* wants it."""

    def check(value: object) -> tuple[str, ...]:
        if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise ValueError(f'not a list of texts such as ["{example}"]')
        for item in value:
            try:
                check_one(item.strip())
            except ValueError as error:
                raise ValueError(f"{item.strip()!r} is {error}") from error
        return tuple(dict.fromkeys(item.strip() for item in value))

    return Kind(check, lambda value: value.split(",") if value.strip() else [])


def labels() -> Kind:
    """Return the kind of labels: {gpu = "yes"}, ["gpu=yes"], and gpu=yes,os=linux in a variable."""

    def check(value: object) -> tuple[str, ...]:
        parts = [f"{name}={item}" for name, item in value.items()] if isinstance(value, dict) else value
        if not (isinstance(parts, list) and all(isinstance(part, str) for part in parts)):
            raise ValueError('not labels such as { gpu = "yes" }')
        return tuple(f"{name}={item}" for name, item in routing.read_labels(parts).items())

    return Kind(check, lambda value: value.split(",") if value.strip() else [])


def checked(check_one: Callable[[str], str]) -> Kind:
    def check(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("not a text")  # noqa: TRY004 - a setting of the wrong type is a value that cannot be used
        return check_one(value.strip())

    return Kind(check)


def addresses() -> Kind:
    """Read a list of addresses, networks and host names, each with or without a port; "any" is all of them."""
    several = texts()
    name = r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?"
    entry = re.compile(rf"(({name}|\[[0-9A-Fa-f:.]+\]|[0-9.]+(/\d+)?)(:\d+)?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/\d+)?)")

    def check(value: object) -> tuple[str, ...]:
        found: tuple[str, ...] = several.check(value)
        for each in found:
            if not entry.fullmatch(each):
                raise ValueError(
                    f'{each!r} is not an address such as "192.168.1.5", "10.0.0.0/8", "nas.local" or "127.0.0.1:8080"'
                )
        return found

    return Kind(check, several.from_text)


def folder() -> Kind:
    return Kind(lambda value: user_path(text().check(value)))


def user_path(value: str) -> Path:
    """Return the path that a person wrote, with ~ replaced; ValueError when it cannot be one."""
    if "\0" in value:
        raise ValueError("not a path: it has a zero character in it")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("not a path: there is no home folder for its ~") from None


def time_zone() -> Kind:
    def check(value: object) -> str:
        import zoneinfo  # noqa: PLC0415 - only a configured zone has to pay for it

        name = text().check(value)
        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            near = did_you_mean(name, zoneinfo.available_timezones())
            raise ValueError(f"not a time zone of the IANA database such as Europe/Berlin{near}") from None
        return str(name)

    return Kind(check)


def secret(check: Callable[[str], None] = lambda _: None) -> Kind:
    def wrap(value: object) -> Secret:
        text().check(value)
        revealed = str(value)  # with the spaces it may have at its ends: they belong to it
        check(revealed)
        return Secret(revealed)

    return Kind(wrap, secret=True)


def check_long_key(value: str) -> None:
    shortest = 32
    if len(value) < shortest:
        raise ValueError(
            f"shorter than {shortest} characters; make a random one, such as with: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )


def check_broker_url(value: str) -> None:
    for url in value.split(";"):  # kombu's notation for a cluster: addresses to try in turn
        scheme, rest = _split_url(url, ("amqp", "amqps", "embedded"))
        if not (rest.path.strip("/") if scheme == "embedded" else rest.hostname):
            raise ValueError("names no host; write amqp://user:password@host:5672/vhost")


def check_database_url(value: str) -> None:
    scheme, rest = _split_url(value, ("sqlite", "postgresql", "postgres"))
    # Every process opens it, from wherever it was started: a relative path would be several databases.
    if scheme == "sqlite" and (rest.netloc or not re.match(r"//|/[A-Za-z]:[/\\]", rest.path)):
        raise ValueError("needs the absolute path of a file; write sqlite:////home/me/scheduler.sqlite3")
    if scheme != "sqlite" and not rest.path.strip("/"):
        raise ValueError("names no database; write postgresql://user:password@host/name")


def _split_url(value: str, schemes: tuple[str, ...]) -> tuple[str, Any]:
    from urllib.parse import urlsplit  # noqa: PLC0415 - only a configured address has to pay for it

    scheme, separator, _ = value.partition("://")
    if not separator or scheme not in schemes:
        # Only what can be nothing but a scheme is shown: a misplaced password must not be.
        shown = f"begins with {scheme}://, " if separator and re.fullmatch(r"[A-Za-z][\w+.-]*", scheme) else ""
        raise ValueError(f"{shown}not an address that begins with one of {', '.join(f'{s}://' for s in schemes)}")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:  # its text quotes the address
        raise ValueError(
            "not well-formed; write the port as a number, and / : @ in a password as %2F %3A %40"
        ) from None
    return scheme, parts


def _number_or_text(value: str) -> object:
    for number in (int, float):
        try:
            return number(value)
        except ValueError:
            continue
    return value
