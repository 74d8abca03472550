"""The web server's port: the configured one, the remembered one, or the next that is free."""

import os
import socket
from contextlib import contextmanager

import pytest

from scheduler_app.supervisor.ports import choose_port, web_address, why_not_free
from scheduler_app.supervisor.service import SupervisorError

HOST = "127.0.0.1"


@contextmanager
def taken_port():
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]


def test_a_configured_port_that_is_free_is_used_and_not_remembered(tmp_path):
    with taken_port() as port:
        pass
    assert choose_port(HOST, port, tmp_path / "web-port") == port
    assert not (tmp_path / "web-port").exists()


def test_a_configured_port_that_is_taken_is_an_error_that_names_the_holder_and_what_to_do(tmp_path):
    with taken_port() as port, pytest.raises(SupervisorError) as error:
        choose_port(HOST, port, tmp_path / "web-port")
    assert str(error.value).startswith(f"cannot use port {port} for the web server on 127.0.0.1 (web.port): ")
    assert f"(process {os.getpid()}) uses it" in str(error.value)
    assert "choose another port with web.port or SCHEDULER_WEB_PORT" in str(error.value)


def test_the_remembered_port_is_used_again(tmp_path):
    with taken_port() as port:
        pass
    (tmp_path / "web-port").write_text(f"{port}\n")
    assert choose_port(HOST, None, tmp_path / "web-port") == port


def test_the_next_free_port_is_used_and_remembered_when_the_remembered_one_is_taken(tmp_path):
    remembered = tmp_path / "web-port"
    with taken_port() as port:
        remembered.write_text(str(port))
        chosen = choose_port(HOST, None, remembered)
        assert chosen != port
        assert remembered.read_text() == f"{chosen}\n"
    assert choose_port(HOST, None, remembered) == chosen


@pytest.mark.parametrize("content", ["", "eight", "-1", "99999"])
def test_a_damaged_memory_is_no_obstacle(tmp_path, content):
    (tmp_path / "web-port").write_text(content)
    assert not why_not_free(HOST, choose_port(HOST, None, tmp_path / "web-port"))


def test_a_host_that_is_not_this_machine_is_an_error_that_says_so(tmp_path):
    with pytest.raises(SupervisorError, match=r"cannot listen on '192\.0\.2\.1' \(web\.host\)"):
        choose_port("192.0.2.1", None, tmp_path / "web-port")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        pytest.param("127.0.0.1", "http://127.0.0.1:80/", id="loopback"),
        pytest.param("0.0.0.0", "http://127.0.0.1:80/", id="every IPv4 address"),  # noqa: S104
        pytest.param("::", "http://[::1]:80/", id="every address"),
        pytest.param("::1", "http://[::1]:80/", id="IPv6 loopback"),
    ],
)
def test_the_address_is_one_that_a_browser_here_can_open(host, address):
    assert web_address(host, 80) == address
