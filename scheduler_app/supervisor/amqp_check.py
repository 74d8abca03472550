"""Whether a RabbitMQ node can be used: a log-in and one message through a queue that lives as long as the check.

AMQP 0-9-1, written out: the supervisor has no AMQP library, and needs these few frames only.
"""

import socket
import struct

from scheduler_app.broker import NodeCredentials

ANSWER_LIMIT = 5.0  # seconds for each answer of the node

METHOD, HEADER, BODY, HEARTBEAT, FRAME_END = 1, 2, 3, 8, 0xCE


def _method(number: int, method: int) -> bytes:
    return struct.pack("!HH", number, method)


START, START_OK, TUNE, TUNE_OK, OPEN, OPEN_OK, CLOSE, CLOSE_OK, BLOCKED = (
    _method(10, number) for number in (10, 11, 30, 31, 40, 41, 50, 51, 60)
)
CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE = (_method(20, number) for number in (10, 11, 40))
QUEUE_DECLARE, QUEUE_DECLARE_OK = _method(50, 10), _method(50, 11)
CONFIRM_SELECT, CONFIRM_SELECT_OK = _method(85, 10), _method(85, 11)
PUBLISH, ACK = _method(60, 40), _method(60, 80)
FORCED = 320  # the reply code of a node that is being stopped
EXCLUSIVE = 0b100  # goes with the connection


class NotReadyError(OSError):
    """The node does not answer as a RabbitMQ does, not yet or not at all."""


class UnusableError(Exception):
    """The node lets nobody in, or cannot take a message: something that it keeps is damaged; str() has its words."""


def check(credentials: NodeCredentials) -> None:
    """Return when the node takes a message from our user in our vhost; OSError when it does not yet answer.

    Raises UnusableError when it answers that it cannot.
    """
    with socket.create_connection(("127.0.0.1", credentials.port), ANSWER_LIMIT) as connection:
        connection.settimeout(ANSWER_LIMIT)
        node = _Node(connection)
        node.log_in(credentials)
        node.pass_a_message()
        # Without a farewell the node would log every check as a lost connection.
        node.send(0, CLOSE + struct.pack("!H", 200) + _short("") + struct.pack("!HH", 0, 0))
        node.expect(CLOSE_OK)


class _Node:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def log_in(self, credentials: NodeCredentials) -> None:
        self._connection.sendall(b"AMQP\x00\x00\x09\x01")
        self.expect(START)
        response = f"\0{credentials.user}\0{credentials.password}".encode()
        # The node tells why it refuses only those who say that they understand.
        capable = b"".join(_short(name) + b"t\x01" for name in ("authentication_failure_close", "connection.blocked"))
        properties = _short("capabilities") + b"F" + _long(capable)
        self.send(0, START_OK + _long(properties) + _short("PLAIN") + _long(response) + _short("en_US"))
        limits = self.expect(TUNE)[:6]
        self.send(0, TUNE_OK + limits + struct.pack("!H", 0))  # no heartbeat
        self.send(0, OPEN + _short(credentials.vhost) + _short("") + b"\0")
        self.expect(OPEN_OK)

    def pass_a_message(self) -> None:
        self.send(1, CHANNEL_OPEN + _short(""))
        self.expect(CHANNEL_OPEN_OK)
        self.send(1, CONFIRM_SELECT + b"\0")
        self.expect(CONFIRM_SELECT_OK)
        arguments = _short("x-queue-type") + b"S" + _long(b"classic")
        self.send(1, QUEUE_DECLARE + struct.pack("!H", 0) + _short("") + bytes([EXCLUSIVE]) + _long(arguments))
        declared = self.expect(QUEUE_DECLARE_OK)
        queue = declared[: declared[0] + 1]
        body = b"check"
        self.send(1, PUBLISH + struct.pack("!H", 0) + _short("") + queue + b"\0")
        self.send(1, struct.pack("!HHQH", 60, 0, len(body), 0), HEADER)
        self.send(1, body, BODY)
        # Blocked: the disk is nearly full, or memory. That is not the node's fault, and beat says it.
        self.expect(ACK, BLOCKED)

    def send(self, channel: int, payload: bytes, kind: int = METHOD) -> None:
        self._connection.sendall(struct.pack("!BHI", kind, channel, len(payload)) + payload + bytes([FRAME_END]))

    def expect(self, *methods: bytes) -> bytes:
        """Return the arguments of the next method, which must be one of *methods*."""
        kind = HEARTBEAT
        while kind == HEARTBEAT:
            kind, _, length = struct.unpack("!BHI", self._receive(7))
            if kind not in (METHOD, HEARTBEAT) or length > 65_536:  # noqa: PLR2004 - a web server's answer would ask for gigabytes
                raise NotReadyError("not RabbitMQ's answer")
            payload = self._receive(length + 1)
        if payload[-1] != FRAME_END:
            raise NotReadyError("not RabbitMQ's answer")
        if payload[:4] in (CLOSE, CHANNEL_CLOSE):
            (code,) = struct.unpack("!H", payload[4:6])
            if code == FORCED:
                raise NotReadyError("the node is being stopped")
            raise UnusableError(_reason(payload[4:]))
        if payload[:4] not in methods:
            raise NotReadyError("not the answer that was expected")
        return payload[4:-1]

    def _receive(self, length: int) -> bytes:
        received = b""
        while len(received) < length:
            part = self._connection.recv(length - len(received))
            if not part:
                raise NotReadyError("the connection was closed")
            received += part
        return received


def _reason(arguments: bytes) -> str:
    """Return the reply text of a close: a code, and a text that begins with its length."""
    return arguments[3 : 3 + arguments[2]].decode(errors="replace")


def _short(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def _long(content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + content
