"""What Celery's worker wants around a message, and its bytes on the wire: written once by py-amqp, then filled in.

py-amqp takes some 100 µs of processor time to write one message. Messages that go the same way differ in the run they
name and in nothing else, so that filling in takes 1 µs. What is sent is what py-amqp would send, byte by byte.
"""

import secrets
import struct
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from amqp import Message
from amqp.exceptions import FrameSyntaxError
from amqp.method_framing import frame_writer
from amqp.serialization import dumps

from jobs.messages import TASK_NAME

METHOD = 1
BASIC_PUBLISH = (60, 40)
# The frames around the header. py-amqp splits a long body into frames, but not a long header.
ROOM = 1_000
# What Celery's protocol 2 asks of a message; `send_task` builds it anew at 260 µs a message.
CELERY_HEADERS: dict[str, Any] = {
    "lang": "py",
    "task": TASK_NAME,
    "shadow": None,
    "eta": None,
    "expires": None,
    "group": None,
    "group_index": None,
    "retries": 0,
    "timelimit": [None, None],
    "parent_id": None,
    "argsrepr": "()",
    "kwargsrepr": "{}",
    "ignore_result": True,
    "replaced_task_nesting": 0,
    "stamped_headers": None,
    "stamps": {},
}
# How often properties() names the task id.
NAMED = 4


class EnvelopeError(ValueError):
    """A message cannot be written as AMQP 0-9-1: a header or a name does not fit."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a message goes and with what; an empty exchange is the broker's default one, which routes by queue name."""

    routing_key: str
    exchange: str = ""
    priority: int | None = None
    headers: dict[str, Any] = field(default_factory=dict)

    def properties(self, task_id: str, origin: str) -> dict[str, Any]:
        """Return the properties of the message, headers included, under kombu's names."""
        properties = {
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "headers": {**self.headers, **CELERY_HEADERS, "id": task_id, "root_id": task_id, "origin": origin},
            "delivery_mode": 2,
            "correlation_id": task_id,
            "message_id": task_id,
        }
        return properties if self.priority is None else {**properties, "priority": self.priority}


class Envelope:
    """The frames of mandatory messages that go one *way*, with task ids of one length and bodies of one length."""

    def __init__(
        self, way: Way, *, origin: str, channel_id: int, frame_max: int, id_length: int, body_length: int
    ) -> None:
        while True:  # until the marks occur nowhere else: once, but for a schedule with odd headers
            task_id, body = _mark(id_length), _mark(body_length)
            written = _written(way, task_id, body, origin, channel_id, frame_max)
            *parts, last = written.split(task_id.encode())
            last, mark, self._end = last.rpartition(body.encode())
            self._parts = [*parts, last]
            if len(self._parts) == NAMED + 1 and mark:
                return

    def frames(self, task_id: bytes, body: bytes) -> bytes:
        """Return what to send; both must have the lengths that were announced."""
        return b"".join((task_id.join(self._parts), body, self._end))


def _written(way: Way, task_id: str, body: str, origin: str, channel_id: int, frame_max: int) -> bytes:
    pieces: list[bytes] = []
    write = frame_writer(
        SimpleNamespace(frame_max=frame_max, bytes_sent=0),
        # The writer hands over a view of its buffer, which it fills anew.
        SimpleNamespace(write=lambda piece: pieces.append(bytes(piece))),
    )
    properties = way.properties(task_id, origin)
    try:
        arguments = dumps("Bssbb", (0, way.exchange, way.routing_key, True, False))  # mandatory, not immediate
        message = Message(body, application_headers=properties.pop("headers"), **properties)
        write(METHOD, channel_id, BASIC_PUBLISH, arguments, message)
    except (FrameSyntaxError, struct.error, UnicodeError) as error:
        raise EnvelopeError(f"cannot be written as an AMQP message: {error}; correct the schedule's headers") from error
    written = b"".join(pieces)
    if len(written) > frame_max - ROOM:
        raise EnvelopeError(
            f"cannot be written as an AMQP message: {len(written):,} bytes of headers are more than the broker takes"
            f" ({frame_max:,}); shorten the schedule's headers"
        )
    return written


def _mark(length: int) -> str:
    """Return text that nobody writes: control characters, at random."""
    return "".join(chr(0x0E + secrets.randbelow(0x12)) for _ in range(length))
