"""The built-in jobs that check disks, ports, processes and certificates: real ones of this machine."""

import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from jobs.discovery import find
from jobs.errors import ParameterError
from tests.children import call_job
from tests.waiting import wait_until


def test_a_disk_with_room_is_fine_and_told(tmp_path, capsys):
    assert call_job("check_disk_space", folders=[str(tmp_path)], least_free="1kB", least_free_percent=0) == ""
    assert f"{tmp_path} has " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"least_free": "900TB"}, ": less than 900.0 TB"),
        ({"least_free": "0", "least_free_percent": 99}, ": less than 99 %"),
        ({"folders": ["/no/such/folder"]}, "cannot look at the disk of /no/such/folder: No such file or directory"),
        ({"folders": []}, "cannot check no disk"),
    ],
)
def test_a_full_disk_is_a_failure(tmp_path, parameters, says):
    assert says in call_job("check_disk_space", **({"folders": [str(tmp_path)]} | parameters))


def test_a_port_is_open_or_closed_and_either_may_be_wanted():
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = {"host": "127.0.0.1", "port": server.getsockname()[1]}
        assert call_job("check_port", **where) == ""
        assert "something accepts connections" in call_job("check_port", **where, must_be_closed=True)
    assert call_job("check_port", **where).endswith("nothing listens there")
    assert call_job("check_port", **where, must_be_closed=True) == ""


def test_an_unknown_name_is_a_failure_even_when_the_port_must_be_closed():
    where = {"host": "no-such-host.invalid", "port": 80, "must_be_closed": True}
    assert call_job("check_port", **where).endswith("the name cannot be found")


def test_processes_are_counted_by_name_and_arguments():
    code = "import time; time.sleep(600)"
    mark = "a-mark-of-this-test"
    children = [subprocess.Popen([sys.executable, "-c", code, mark]) for _ in range(2)]
    try:
        wanted = {"name": "python*", "arguments": mark}
        wait_until(lambda: call_job("check_process", **wanted, at_least=2) == "", 20, "both are there")
        assert call_job("check_process", **wanted, at_least=2, at_most=2) == ""
        assert "runs in 2 processes; at least 3" in call_job("check_process", **wanted, at_least=3)
        assert "runs in 2 processes; at most 1" in call_job("check_process", **wanted, at_most=1)
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert call_job("check_process", **wanted, at_least=0, at_most=0) == ""
    assert call_job("check_process", name="no-such-program-here").startswith("no-such-program-here runs in 0 processes")


@contextmanager
def tls_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield {"host": "localhost", "port": listener.getsockname()[1]}
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(20)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(autouse=True)
def trusted(authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def test_a_certificate_that_lasts_is_fine_and_one_that_ends_soon_is_a_failure(authority, capsys):
    ends = datetime.now(UTC) + timedelta(days=20, minutes=5)
    with tls_server(authority.issue_cert("localhost", not_after=ends)) as where:
        assert call_job("check_certificate", **where) == ""
        assert f"is valid until {ends:%Y-%m-%d %H:%M} UTC, in 20 days" in capsys.readouterr().out
        failure = call_job("check_certificate", **where, least_left="21d")
        assert "in 20 days; 21d must be left: renew it" in failure


def test_a_certificate_that_is_over_foreign_or_for_another_name_is_a_failure(authority):
    over = authority.issue_cert(
        "localhost", not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2021, 1, 1, tzinfo=UTC)
    )
    for certificate, says in (
        (over, "certificate has expired"),
        (authority.issue_cert("example.org"), "Hostname mismatch"),
        (trustme.CA().issue_cert("localhost"), "unable to get local issuer certificate"),
    ):
        with tls_server(certificate) as where:
            failure = call_job("check_certificate", **where)
        assert failure.startswith(f"the certificate of localhost, port {where['port']} is not accepted: ")
        assert says in failure
    assert "cannot connect to localhost, port" in call_job("check_certificate", **where)


@pytest.mark.parametrize(
    ("job", "parameters", "name"),
    [
        ("check_port", {"host": "x", "port": 0}, "port"),
        ("check_port", {"host": "x", "port": 1, "timeout": "0s"}, "timeout"),
        ("check_process", {"name": "x", "at_least": -1}, "at_least"),
        ("check_disk_space", {"folders": ["/"], "least_free": "many"}, "least_free"),
        ("check_disk_space", {"folders": ["/"], "least_free_percent": 100}, "least_free_percent"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_saved(job, parameters, name):
    with pytest.raises(ParameterError) as refused:
        find(job, None).validate(parameters)
    assert list(refused.value.problems) == [name]
