"""What a node's answers mean, told by a server that says one thing and closes; a real node is in tests/integration."""

import socket
import struct
import threading
from contextlib import contextmanager

import pytest

from scheduler_app.broker import NodeCredentials
from scheduler_app.supervisor.amqp_check import NotReadyError, UnusableError, check


@contextmanager
def server_that_says(answer):
    def serve():
        connection, _ = server.accept()
        with connection:
            connection.recv(8)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield NodeCredentials(port=server.getsockname()[1], user="me", password="secret", vhost="v", cookie="c")
        thread.join()


def close(code, text):
    arguments = struct.pack("!HH", 10, 50) + struct.pack("!HB", code, len(text)) + text + struct.pack("!HH", 0, 0)
    return struct.pack("!BHI", 1, 0, len(arguments)) + arguments + b"\xce"


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        pytest.param(close(530, b"NOT_ALLOWED - vhost v not found"), UnusableError, "vhost v not found", id="refused"),
        pytest.param(close(541, b"INTERNAL_ERROR"), UnusableError, "INTERNAL_ERROR", id="broken"),
        pytest.param(close(320, b"CONNECTION_FORCED"), NotReadyError, "being stopped", id="being stopped"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", NotReadyError, "not RabbitMQ's answer", id="a web server"),
        pytest.param(b"AMQP\x00\x00\x09\x01", NotReadyError, "not RabbitMQ's answer", id="another AMQP"),
        pytest.param(b"", NotReadyError, "the connection was closed", id="nothing"),
    ],
)
def test_only_a_node_that_says_that_it_cannot_is_unusable(answer, error, said):
    with server_that_says(answer) as credentials, pytest.raises(error, match=said):
        check(credentials)
