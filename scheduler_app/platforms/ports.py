"""Who holds a port."""

import contextlib
from collections.abc import Iterator
from typing import Any


def port_holder(port: int) -> str | None:
    """Return "nginx (process 812)" for the process that listens on TCP *port*; None where that cannot be known."""
    import psutil  # noqa: PLC0415 - only needed once a port is taken

    for pid in _listeners(port):
        try:
            return f"{psutil.Process(pid).name()} (process {pid})"
        except psutil.Error:  # ended meanwhile, or another user's
            continue
    return None


def _listeners(port: int) -> Iterator[int]:
    import psutil  # noqa: PLC0415 - as above

    connections: list[tuple[Any, int | None]] = []
    try:
        connections += [(each, each.pid) for each in psutil.net_connections("tcp")]
    except psutil.AccessDenied:  # macOS tells root only; each of one's own processes may be asked
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                connections += [(each, process.pid) for each in process.net_connections("tcp")]
    for connection, pid in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and pid:
            yield pid
