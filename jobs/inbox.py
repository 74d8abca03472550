"""What a worker takes from the broker: what `publisher` sends, to the byte. All else is refused before Celery reads it.

Whoever can write to the broker can write anything. Celery would unpack what is compressed, keep messages that ask to
be run in a year, call what a message wants called afterwards, and stop over headers of the wrong type.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kombu import compression

from jobs.envelope import CELERY_HEADERS
from jobs.messages import LARGEST_BODY, Message, MessageError, MessageExpired, unseal

# Each delivery beyond the first is a worker that ended while it held the message. A run is sent again later.
DELIVERY_LIMIT = 10
CONTENT = ("application/json", "utf-8")


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as the broker delivers it, of which nothing has been believed yet."""

    body: bytes
    content: tuple[object, object]
    headers: Mapping[str, Any]

    @classmethod
    def of(cls, message: Any) -> "Letter":
        body = message.body
        octets = body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body or b"")
        return cls(octets, (message.content_type, message.content_encoding), dict(message.headers or {}))


def examine(letter: Letter, key: str, now: datetime) -> dict[str, Any]:
    """Return the headers that Celery may see; raise MessageError when this is not a message of ours."""
    headers = letter.headers
    if len(letter.body) > LARGEST_BODY:
        raise MessageError(f"it has {len(letter.body):,} bytes; ours have at most {LARGEST_BODY:,}")
    if letter.content != CONTENT:
        raise MessageError(f"it is not JSON: its content type is {letter.content[0]!r}, {letter.content[1]!r}")
    for name, value in CELERY_HEADERS.items():
        if name not in headers or headers[name] != value:
            raise MessageError(f"its header {name} is {headers.get(name)!r} instead of {value!r}")
    message = _read(letter.body, key)
    if message.body(key) != letter.body:
        raise MessageError(f"it is the message for run {message.run_id} with something added")
    if not headers.get("id") == headers.get("root_id") == message.task_id:
        raise MessageError(f"it is the message for run {message.run_id} under another's id ({headers.get('id')!r})")
    if message.expires <= now:
        raise MessageExpired(f"run {message.run_id} was to be started before {message.expires:%Y-%m-%d %H:%M:%S %Z}")
    # After its expiry: a queue puts what has expired with the dead as well.
    check_deliveries(headers)
    return {
        **CELERY_HEADERS,
        "id": message.task_id,
        "root_id": message.task_id,
        "origin": str(headers.get("origin"))[:200],
    }


def unpack_nothing() -> None:
    """Have kombu refuse compressed messages: ours are not, and a few kB can unpack to all the memory there is."""
    for content_type in compression.encoders():  # type: ignore[no-untyped-call]
        compression.register(None, _refuse_to_unpack, content_type)  # type: ignore[no-untyped-call]


def _refuse_to_unpack(_packed: bytes) -> bytes:
    raise MessageError("it is compressed")


def check_deliveries(headers: Mapping[str, Any]) -> None:
    died = headers.get("x-death")
    deliveries = headers.get("x-delivery-count")
    if died is not None or (isinstance(deliveries, int) and deliveries >= DELIVERY_LIMIT):
        raise MessageError("it was delivered again and again: the workers that took it ended before they had read it")


def _read(body: bytes, key: str) -> Message:
    try:
        _, said, _ = json.loads(body)
    except (ValueError, TypeError, RecursionError) as error:
        raise MessageError(f"it cannot be read: {error}") from error
    if not isinstance(said, dict):
        raise MessageError("it cannot be read: it does not say which run it is for")
    return unseal(key, said)
