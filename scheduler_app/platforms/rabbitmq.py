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
WINDOWS_HOMES = ("RabbitMQ Server/rabbitmq_server-*",)
WINDOWS_ERLANGS = ("Erlang OTP/bin/erl.exe", "erl*/bin/erl.exe")


class RabbitMQInstallation(NamedTuple):
    erl: Path
    home: Path  # has plugins/ and sbin/
    version: tuple[int, ...]


def find_rabbitmq() -> RabbitMQInstallation | None:
    """Return the newest RabbitMQ of this machine, None when it or Erlang is missing."""
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
    """Return the first Erlang with the newest complete RabbitMQ."""
    erl = next(iter(erlangs), None)
    versions = [(version, home) for home in homes if (version := _version(home))]
    if erl is None or not versions:
        return None
    version, home = max(versions)
    return RabbitMQInstallation(erl=erl, home=home, version=version)


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
