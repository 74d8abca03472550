"""The built-in job that fails when nothing answers at a port."""

import socket
import time
from datetime import timedelta
from typing import Annotated

from jobs import Check, JobFailed, Label, job
from jobs.builtin._files import say
from jobs.builtin._network import check_port_number, check_some_time
from jobs.durations import format_duration


@job(title="Check a port", group="Checks")
def check_port(
    host: str,
    port: Annotated[int, Check(check_port_number)],
    timeout: Annotated[timedelta, Label("Time-out"), Check(check_some_time)] = timedelta(seconds=10),
    must_be_closed: bool = False,
) -> None:
    """Connect to a port of a computer, and fail when nothing accepts the connection.

    Args:
        host: Name or address.
        must_be_closed: The other way round: fail when something accepts the connection.
    """
    started = time.monotonic()
    try:
        socket.create_connection((host, port), timeout.total_seconds()).close()
    except (OSError, UnicodeError) as error:
        reason = _reason(error, timeout)
        if must_be_closed and not isinstance(error, socket.gaierror | UnicodeError):
            say(f"{host}, port {port} is closed ({reason})")
            return
        raise JobFailed(f"cannot connect to {host}, port {port}: {reason}") from error
    if must_be_closed:
        raise JobFailed(f"something accepts connections at {host}, port {port}")
    say(f"{host}, port {port} accepted the connection after {time.monotonic() - started:.3f} s")


def _reason(error: OSError | UnicodeError, timeout: timedelta) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return "the name cannot be found"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return f"no answer within {format_duration(timeout)}"
    return error.strerror or str(error)
