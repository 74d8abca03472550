"""Asking for readiness: HTTP answers and rows, against real servers and real databases."""

import sqlite3
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from scheduler_app.supervisor.readiness import database_kind, http_ok, service_row
from scheduler_app.supervisor.service import SupervisorError


@contextmanager
def http_server(status):
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers["Host"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"instance": "web.1"}')

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, seen
        finally:
            server.shutdown()
            thread.join()


def test_an_answer_that_does_not_name_the_launch_is_somebody_elses():
    with http_server(200) as (port, _):
        assert http_ok("127.0.0.1", port, "/health/")("web.2") is False


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False), (302, False), (404, False)], ids=str)
def test_only_status_200_is_ready(status, ready):
    with http_server(status) as (port, seen):
        assert http_ok("127.0.0.1", port, "/health/")("web.1") is ready
        assert seen == [("/health/", f"127.0.0.1:{port}")]


def test_nobody_listening_is_an_os_error_which_means_not_yet():
    with http_server(200) as (port, _):
        pass
    with pytest.raises(OSError):
        http_ok("127.0.0.1", port, "/health/")("web.1")


@pytest.fixture
def database(tmp_path):
    file = tmp_path / "with space" / "scheduler.sqlite3"
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE jobs_service (instance text unique)")
        connection.execute("INSERT INTO jobs_service VALUES ('beat.1')")
    return file


def test_a_service_is_ready_when_its_own_launch_has_written_its_row(database):
    has_row = service_row(None, database)
    assert has_row("beat.1")
    assert not has_row("beat.2")


def test_a_database_given_as_an_address_is_the_one_that_is_asked(database, tmp_path):
    address = "sqlite:///" + str(database).replace(" ", "%20")
    assert service_row(address, tmp_path / "another")("beat.1")


def test_a_database_that_is_not_there_yet_is_not_ready_and_not_made(tmp_path):
    file = tmp_path / "scheduler.sqlite3"
    assert not service_row(None, file)("beat.1")
    assert not file.exists()


def test_a_database_that_is_not_migrated_yet_is_not_ready(tmp_path):
    file = tmp_path / "scheduler.sqlite3"
    sqlite3.connect(file).close()
    assert not service_row(None, file)("beat.1")


def test_an_unknown_kind_of_database_is_refused():
    with pytest.raises(SupervisorError, match="cannot use a database of kind 'mysql'"):
        service_row("mysql://localhost/x", Path("unused"))


@pytest.mark.parametrize(
    ("url", "kind"), [(None, "SQLite"), ("sqlite:////x", "SQLite"), ("postgresql://h/d", "PostgreSQL")], ids=str
)
def test_the_kind_of_the_database_is_named(url, kind):
    assert database_kind(url) == kind
