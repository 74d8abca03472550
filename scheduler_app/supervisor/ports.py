"""The web server's port: the configured one or none, else the one that was used last, else the next free one."""

import contextlib
import os
import socket
from pathlib import Path

from scheduler_app import platforms
from scheduler_app.supervisor.service import SupervisorError

DEFAULT_PORT = 8765
CANDIDATES = 100
"""Ports tried after the remembered one before the system picks any."""
LAST_PORT = 65535

_REACHED_BY = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound


def choose_port(host: str, configured: int | None, remembered: Path) -> int:
    """Return a port that is free on *host* and remember it; raise SupervisorError when the configured one is taken."""
    if configured is not None:
        reason = why_not_free(host, configured)
        if reason:
            raise SupervisorError(
                f"cannot use port {configured} for the web server on {host} (web.port): {reason}; "
                "stop what uses it, or choose another port with web.port or SCHEDULER_WEB_PORT"
            )
        return configured
    wanted = _read(remembered) or DEFAULT_PORT
    candidates = range(wanted, min(wanted + CANDIDATES, LAST_PORT) + 1)
    port = next((port for port in candidates if not why_not_free(host, port)), None) or _any_free_port(host)
    _write(remembered, port)
    return port


def why_not_free(host: str, port: int) -> str:
    """Return why a server cannot listen there, naming who does where that can be known; "" when it can."""
    try:
        _listen(host, port).close()
    except OSError as error:
        holder = platforms.port_holder(port)
        return f"{holder} uses it" if holder else (error.strerror or str(error))
    return ""


def reachable_host(host: str) -> str:
    """Return the address under which this machine reaches a server that listens on *host*."""
    return _REACHED_BY.get(host, host)


def web_address(host: str, port: int) -> str:
    host = reachable_host(host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _listen(host: str, port: int) -> socket.socket:
    # create_server knows on which systems SO_REUSEADDR means "after TIME_WAIT" and on which "steal it".
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def _any_free_port(host: str) -> int:
    try:
        with _listen(host, 0) as listener:
            return int(listener.getsockname()[1])
    except OSError as error:
        raise SupervisorError(
            f"cannot listen on {host!r} (web.host): {error.strerror or error}; "
            "use an address of this machine, such as 127.0.0.1"
        ) from error


def _read(remembered: Path) -> int | None:
    try:
        port = int(remembered.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None  # never written, or damaged: only a preference
    return port if 0 < port <= LAST_PORT else None


def _write(remembered: Path, port: int) -> None:
    draft = remembered.with_name(f"{remembered.name}.{os.getpid()}")
    # Only a preference: a disk that is full must not keep the program from starting.
    with contextlib.suppress(OSError):
        draft.write_text(f"{port}\n", encoding="ascii")
        draft.replace(remembered)
