"""The built-in job that fails some weeks before a server's certificate does."""

import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

from jobs import Check, JobFailed, Label, job
from jobs.builtin._files import say
from jobs.builtin._network import check_port_number, check_some_time
from jobs.durations import format_duration


@job(title="Check a certificate", group="Checks")
def check_certificate(
    host: str,
    port: Annotated[int, Check(check_port_number)] = 443,
    least_left: timedelta = timedelta(days=14),
    timeout: Annotated[timedelta, Label("Time-out"), Check(check_some_time)] = timedelta(seconds=10),
) -> None:
    """Connect to a server by TLS, and fail when its certificate is not trusted or ends soon.

    Args:
        host: The name that the certificate is for.
        least_left: So long it must still be valid.
    """
    try:
        with (
            socket.create_connection((host, port), timeout.total_seconds()) as connection,
            ssl.create_default_context().wrap_socket(connection, server_hostname=host) as secure,
        ):
            certificate = secure.getpeercert() or {}
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or error.reason or error
        raise JobFailed(f"the certificate of {host}, port {port} is not accepted: {why}") from error
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise JobFailed(f"cannot connect to {host}, port {port}: {why}") from error
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    left = timedelta(seconds=int(ends - time.time()))
    until = f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d %H:%M} UTC"
    say(f"the certificate of {host}, port {port} is valid until {until}, {_days(left)}")
    if left < least_left:
        raise JobFailed(
            f"the certificate of {host}, port {port} ends at {until}, {_days(left)}; {format_duration(least_left)} "
            "must be left: renew it"
        )


def _days(left: timedelta) -> str:
    return f"in {left.days} days" if left.days else f"in {format_duration(left)}"
