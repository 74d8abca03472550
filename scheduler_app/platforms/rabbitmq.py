"""Where RabbitMQ and Erlang are installed."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

# Homebrew keeps the version out of the folder's name, Debian and Windows put it in: so it is read from the
# plugin "rabbit" itself, which also shows that the installation is complete.
RABBIT_PLUGIN = re.compile(r"rabbit-(\d+(?:\.\d+)*)(?:\.ez)?")

HOMES = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*",
    "/usr/local/lib/rabbitmq/lib/rabbitmq_server-*",
    "/usr/lib/rabbitmq",
    "/opt/rabbitmq",
    "/opt/homebrew/opt/rabbitmq",
    "/usr/local/opt/rabbitmq",
)
ERLANGS = ("/usr/bin/erl", "/usr/local/bin/erl", "/opt/homebrew/bin/erl")
# RabbitMQ's series that are supported, and the Erlang that each needs at least (rabbitmq.com/docs/which-erlang).
OLDEST_ERLANG = {
    (3, 10): (23, 2),
    (3, 11): (25, 0),
    (3, 12): (25, 0),
    (3, 13): (26, 0),
    (4,): (26, 2),
}
SUPPORTED_RABBITMQ = "3.10 to 4.x"
WINDOWS_HOMES = ("RabbitMQ Server/rabbitmq_server-*",)
WINDOWS_ERLANGS = ("Erlang OTP/bin/erl.exe", "erl*/bin/erl.exe")


class RabbitMQInstallation(NamedTuple):
    erl: Path
    home: Path  # has plugins/ and sbin/
    version: tuple[int, ...]
    erlang: tuple[int, ...] = ()  # empty where it cannot be told without starting it

    def problem(self) -> str:
        """Return why this RabbitMQ cannot be used here and what to do; "" when it can."""
        rabbitmq = f"RabbitMQ {_dotted(self.version)} ({self.home})"
        series = _series(self.version)
        if series is None and self.version > max(OLDEST_ERLANG):
            return f"{rabbitmq} is too new, {SUPPORTED_RABBITMQ} is supported: look for a newer scheduler-app"
        if series is None:
            return f"{rabbitmq} is too old: upgrade it, {SUPPORTED_RABBITMQ} is supported"
        if self.erlang and self.erlang < OLDEST_ERLANG[series]:
            return (
                f"{rabbitmq} needs Erlang {_dotted(OLDEST_ERLANG[series])} or newer, and {self.erl} is"
                f" {_dotted(self.erlang)}: upgrade Erlang"
            )
        return ""


def is_supported_rabbitmq(version: str) -> bool:
    """Tell whether a broker that calls itself *version* ("3.13.7", "4.1.0-rc.1") is one that is supported."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return found is not None and _series(tuple(map(int, found[0].split(".")))) is not None


def _series(version: tuple[int, ...]) -> tuple[int, ...] | None:
    return next((series for series in OLDEST_ERLANG if version[: len(series)] == series), None)


def find_rabbitmq() -> RabbitMQInstallation | None:
    """Return this machine's newest RabbitMQ that can be used, else its newest; None when it or Erlang is missing."""
    program_files = [Path(os.environ[name]) for name in ("ProgramFiles", "ProgramW6432") if os.environ.get(name)]
    homes = [
        *_matches([Path("/")], (pattern.lstrip("/") for pattern in HOMES)),
        *_matches(program_files, WINDOWS_HOMES),
    ]
    if script := shutil.which("rabbitmq-server"):
        homes.append(Path(script).resolve().parent.parent)
    erlangs = [
        *([Path(found)] if (found := shutil.which("erl")) else []),
        *(path for path in map(Path, ERLANGS) if os.access(path, os.X_OK)),
        *_matches(program_files, WINDOWS_ERLANGS),
    ]
    return choose(erlangs, homes)


def choose(erlangs: Iterable[Path], homes: Iterable[Path]) -> RabbitMQInstallation | None:
    """Return the newest complete RabbitMQ that can be used with one of *erlangs*, else the newest; the first Erlang."""
    versions = {home: version for home in homes if (version := _version(home))}
    pairs = [
        RabbitMQInstallation(erl=erl, home=home, version=version, erlang=_erlang_version(erl))
        for erl in dict.fromkeys(erlangs)
        for home, version in versions.items()
    ]
    # max() takes the first of equals.
    return max(pairs, key=lambda pair: (not pair.problem(), pair.version), default=None)


def _matches(folders: Iterable[Path], patterns: Iterable[str]) -> Iterator[Path]:
    patterns = tuple(patterns)
    for folder in folders:
        for pattern in patterns:
            yield from sorted(folder.glob(pattern), reverse=True)


def _version(home: Path) -> tuple[int, ...] | None:
    try:
        names = [path.name for path in (home / "plugins").iterdir()]
    except OSError:
        return None
    found = [match for name in names if (match := RABBIT_PLUGIN.fullmatch(name))]
    return tuple(int(part) for part in found[0][1].split(".")) if found else None


def _erlang_version(erl: Path) -> tuple[int, ...]:
    """Return the version of *erl*'s Erlang/OTP, (25, 2, 3), from its files: to ask it takes a second."""
    files = (erl.resolve().parent.parent / "releases").glob("*/OTP_VERSION")
    texts = [file.read_text(encoding="ascii", errors="replace").strip() for file in files]
    found = [match[0].split(".") for text in texts if (match := re.match(r"\d+(?:\.\d+)*", text))]
    return max((tuple(map(int, parts)) for parts in found), default=())


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
