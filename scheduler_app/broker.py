"""Which broker is used, at which address, and what the private RabbitMQ node is told apart by.

`choose()` gives the same answer in every process of an installation: the private node's credentials are made
once, in node.json below the data folder, by whoever asks first.
"""

import json
import os
import random
import secrets
import socket
import tempfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from filelock import FileLock

from scheduler_app import platforms
from scheduler_app.config import Config, Secret
from scheduler_app.paths import Paths

# Below the ranges from which systems take the ports of outgoing connections (Linux from 32768, others from
# 49152): a port from there could be in use by a browser at the next start.
PORTS = range(20_000, 32_000)


class BrokerError(Exception):
    """No broker can be used as configured; str() says why and what to do."""


@dataclass(frozen=True, slots=True)
class BrokerChoice:
    kind: Literal["configured", "private", "embedded"]
    url: Secret
    reason: str


@dataclass(frozen=True, slots=True)
class NodeCredentials:
    """What the private RabbitMQ node is reached with; the same at every start, except for a port that was taken."""

    port: int
    user: str
    password: str
    vhost: str
    cookie: str

    def __repr__(self) -> str:
        return f"NodeCredentials(port={self.port}, user={self.user!r}, vhost={self.vhost!r}, ********)"

    def url(self) -> Secret:
        user, password, vhost = (quote(part, safe="") for part in (self.user, self.password, self.vhost))
        return Secret(f"amqp://{user}:{password}@127.0.0.1:{self.port}/{vhost}")


def choose(config: Config, paths: Paths) -> BrokerChoice:
    """Return the broker to use: a configured address, else a private RabbitMQ node, else the embedded broker.

    Raises BrokerError when RabbitMQ is asked for by name and there is none.
    """
    if config.broker.kind == "embedded":
        return BrokerChoice("embedded", embedded_url(paths), f"broker.kind is embedded{_set_in(config, 'broker.kind')}")
    if config.broker.url is not None:
        return BrokerChoice("configured", config.broker.url, f"broker.url is set{_set_in(config, 'broker.url')}")
    installation = platforms.find_rabbitmq()
    missing = "RabbitMQ is not installed on this machine" if installation is None else installation.problem()
    if installation is not None and not missing:
        version = ".".join(str(part) for part in installation.version)
        reason = f"RabbitMQ {version} is installed on this machine ({installation.home})"
        return BrokerChoice("private", node_credentials(paths).url(), reason)
    if config.broker.kind == "rabbitmq":
        get = f"; {platforms.rabbitmq_install_hint()}" if installation is None else ""
        raise BrokerError(
            f"cannot use broker.kind = 'rabbitmq'{_set_in(config, 'broker.kind')}: {missing} and broker.url names no"
            f" other{get}, or set broker.url, or leave broker.kind at 'auto' to work without it"
        )
    return BrokerChoice("embedded", embedded_url(paths), missing)


def embedded_url(paths: Paths) -> Secret:
    """Return embedded:///home/me/broker.sqlite3, or embedded:///C:/Users/me/broker.sqlite3, percent-encoded."""
    return Secret("embedded:" + paths.embedded_broker.absolute().as_uri().removeprefix("file:"))


def node_credentials(paths: Paths) -> NodeCredentials:
    """Return the private node's credentials; made on first use, in a file that only its owner reads."""
    with _locked(paths):
        known = _read(_node_file(paths))
        return known or _write(_node_file(paths), _new_credentials())


def node_credentials_with_free_port(paths: Paths) -> NodeCredentials:
    """Return the credentials for a node that is about to start: another port when somebody else has taken its own."""
    with _locked(paths):
        known = _read(_node_file(paths))
        if known and _is_free(known.port):
            return known
        return _write(_node_file(paths), replace(known, port=_free_port()) if known else _new_credentials())


def _set_in(config: Config, name: str) -> str:
    origin = config.origins.get(name, "")
    return f" ({origin})" if origin else ""


def _node_file(paths: Paths) -> Path:
    return paths.rabbitmq / "node.json"


def _locked(paths: Paths) -> FileLock:
    try:
        paths.rabbitmq.mkdir(mode=0o700, parents=True, exist_ok=True)
        platforms.restrict_to_owner(paths.rabbitmq)
    except OSError as error:
        raise BrokerError(f"cannot use the folder {paths.rabbitmq}: {error.strerror or error}") from error
    return FileLock(paths.rabbitmq / "node.lock", timeout=30)


def _read(path: Path) -> NodeCredentials | None:
    """Return the stored credentials; None when there are none or the file is not what we wrote."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        credentials = NodeCredentials(**stored)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BrokerError(f"cannot read {path}: {error.strerror or error}; run this as the file's owner") from error
    except (ValueError, TypeError):
        # New credentials name a new store (see PrivateNode); what waited in the old one is sent again.
        path.replace(path.with_suffix(".broken"))
        return None
    return credentials if _is_complete(credentials) else None


def _is_complete(credentials: Any) -> bool:
    return isinstance(credentials.port, int) and all(
        isinstance(getattr(credentials, field.name), str) and getattr(credentials, field.name)
        for field in fields(credentials)
        if field.name != "port"
    )


def _write(path: Path, credentials: NodeCredentials) -> NodeCredentials:
    """Store the credentials so that a reader, or a power cut, finds the old file or the new one."""
    descriptor, name = tempfile.mkstemp(prefix="node-", dir=path.parent)  # 0600
    draft = Path(name)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, not a path
            json.dump(asdict(credentials), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        platforms.restrict_to_owner(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return credentials


def _new_credentials() -> NodeCredentials:
    return NodeCredentials(
        port=_free_port(),
        user=f"scheduler-{secrets.token_hex(4)}",
        password=secrets.token_urlsafe(32),
        vhost="scheduler",
        cookie=secrets.token_hex(32),
    )


def _free_port() -> int:
    for port in random.sample(PORTS, k=len(PORTS)):
        if _is_free(port):
            return port
    raise BrokerError(f"cannot start a RabbitMQ node: every port from {PORTS.start} to {PORTS.stop - 1} is in use")


def _is_free(port: int) -> bool:
    try:
        # Allows for connections of a previous node that the system still remembers, not for a listener.
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
