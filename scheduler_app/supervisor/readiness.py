"""Asking a service whether it is ready: an HTTP answer, or its row in the application's database.

A broker answers for itself (PrivateNode.is_ready). Written on sockets and SQL alone: the HTTP client and the ORM would
cost the supervisor more memory than all the rest of it.
"""

import socket
import time
from pathlib import Path
from typing import cast
from urllib.parse import unquote

from scheduler_app.sqlite import use_safe_sqlite
from scheduler_app.supervisor.service import Probe, Pulse, SupervisorError

ANSWER_LIMIT = 2.0
"""Seconds for one answer; a probe asks again anyway."""
LONGEST_ANSWER = 4096

_ROW = "SELECT 1 FROM jobs_service WHERE instance = "


def http_ok(host: str, port: int, path: str) -> Probe:
    """Return a probe for an HTTP answer with status 200 from *path* that names the launch that is asked for.

    Somebody else may have got the port first, another installation's web server for one, and answer just as well.
    """
    name = f"[{host}]" if ":" in host else host
    request = f"GET {path} HTTP/1.1\r\nHost: {name}:{port}\r\nUser-Agent: supervisor\r\nConnection: close\r\n\r\n"

    def answers(instance: str) -> bool:
        with socket.create_connection((host, port), timeout=ANSWER_LIMIT) as connection:
            connection.sendall(request.encode())
            answer = b""
            while len(answer) < LONGEST_ANSWER and (data := connection.recv(LONGEST_ANSWER)):
                answer += data
        return answer.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")) and instance.encode() in answer

    return answers


def http_pulse(host: str, port: int, path: str) -> Pulse:
    """Return a pulse that beats with each answer from *path*, whatever it says: a database that is away is no hang."""
    request = f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: supervisor\r\n\r\n"

    def answered() -> object:
        with socket.create_connection((host, port), timeout=ANSWER_LIMIT) as connection:
            connection.sendall(request.encode())
            if not connection.recv(LONGEST_ANSWER):
                raise ConnectionError("closed without an answer")
        return time.monotonic()

    return answered


def file_pulse(file: Path) -> Pulse:
    """Return a pulse that beats with each touch of *file*, see scheduler_app.pulse."""
    return lambda: file.stat().st_mtime_ns


def service_row(database_url: str | None, default_file: Path) -> Probe:
    """Return a probe for the row that beat and workers write into jobs_service when they have started."""
    if database_url is None:
        return _sqlite_row(default_file)
    scheme, _, rest = database_url.partition("://")
    if scheme == "sqlite":
        return _sqlite_row(Path(unquote(rest.removeprefix("/"))))
    if scheme in ("postgresql", "postgres"):
        return _postgresql_row(database_url)
    raise SupervisorError(
        f"cannot use a database of kind {scheme!r} (database.url): "
        "only addresses that begin with sqlite:/// or postgresql:// are known"
    )


def database_kind(database_url: str | None) -> str:
    return "PostgreSQL" if database_url is not None and database_url.startswith("postgres") else "SQLite"


def _sqlite_row(file: Path) -> Probe:
    use_safe_sqlite()
    import sqlite3  # noqa: PLC0415  # only now is it certain which SQLite this name means

    # The supervisor must never be the one who creates or changes the database.
    address = f"{file.absolute().as_uri()}?mode=ro"

    def has_row(instance: str) -> bool:
        try:
            connection = sqlite3.connect(address, uri=True, timeout=ANSWER_LIMIT)
            try:
                return connection.execute(_ROW + "?", (instance,)).fetchone() is not None
            finally:
                connection.close()
        except sqlite3.OperationalError:
            return False  # not there yet, not migrated yet, or locked: not ready

    return has_row


def _postgresql_row(address: str) -> Probe:
    import psycopg  # noqa: PLC0415  # 15 MB that an installation on SQLite need not carry

    def has_row(instance: str) -> bool:
        try:
            with psycopg.connect(address, connect_timeout=int(ANSWER_LIMIT)) as connection:
                return cast("object", connection.execute(_ROW + "%s", (instance,)).fetchone()) is not None
        except psycopg.Error:
            return False

    return has_row
