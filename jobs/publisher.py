"""Sending claims-to-be to the broker: one connection, one envelope, confirms collected a batch at a time."""

import json
import logging
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from jobs.messages import TASK_NAME, Message

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 3.0
# py-amqp waits for ever on a peer that went away without FIN, and beat's connection has no heartbeat.
CONFIRM_TIMEOUT = 10.0


class BrokerUnavailable(Exception):  # noqa: N818 - a state of the world that comes and goes, not a mistake
    """The broker cannot be reached, or did not confirm in time."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """A message and where it goes; an empty exchange is the broker's default one, which routes by queue name."""

    message: Message
    routing_key: str
    exchange: str = ""
    priority: int | None = None
    headers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch: run ids the broker has taken over, and the reasons for those it refused."""

    confirmed: list[int]
    refused: dict[int, str]


class Publisher:
    """Publishes to the broker of *app*; not thread-safe, one a thread."""

    def __init__(self, app: Celery, key: str) -> None:
        self._app = app
        self._key = key
        self._origin = f"{os.getpid()}@{socket.gethostname()}"
        self._connection: Any = None
        self._channel: Any = None
        self._producer: Any = None
        self._sequence = 0
        self._unconfirmed: dict[int, int] = {}
        self._nacked: dict[int, str] = {}
        self._returned: dict[int, str] = {}
        self._exchanges: set[str] = set()

    def publish(self, shipments: Sequence[Shipment]) -> Receipt:
        """Send the batch and wait until the broker has taken it over.

        Raises BrokerUnavailable; then none, some or all of the batch may have arrived, and sending it
        again is harmless, because only one claim of a run succeeds.
        """
        try:
            self._connect()
            self._nacked, self._returned = {}, {}
            for shipment in shipments:
                self._send(shipment)
            self._wait_for_confirms()
        except self._lost() as error:
            self.close()
            raise BrokerUnavailable(f"cannot send to the broker at {self._address()}: {error}") from error
        refused = self._nacked | self._returned
        ids = [shipment.message.run_id for shipment in shipments]
        return Receipt([run_id for run_id in ids if run_id not in refused], refused)

    def close(self) -> None:
        """Drop the connection; the next publish makes a new one."""
        connection, self._connection = self._connection, None
        self._channel = self._producer = None
        self._unconfirmed = {}
        self._exchanges = set()
        if connection is not None:
            try:
                connection.collect(socket_timeout=1)
            except (*connection.connection_errors, *connection.channel_errors, OSError):
                logger.debug("the broker's connection was gone before it was closed", exc_info=True)

    def _lost(self) -> tuple[type[BaseException], ...]:
        connection = self._connection or self._app.connection_for_write()
        return (*connection.connection_errors, *connection.channel_errors, OperationalError, OSError)

    def _address(self) -> str:
        return str(self._app.connection_for_write().as_uri())

    def _connect(self) -> None:
        if self._connection is not None:
            return
        self._connection = self._app.connection_for_write(connect_timeout=CONNECT_TIMEOUT)
        self._connection.connect()
        self._channel = self._connection.channel()
        for queue in self._app.amqp.queues.values():
            queue(self._channel).declare()
        self._producer = self._app.amqp.Producer(self._channel, auto_declare=False)
        self._sequence = 0
        self._unconfirmed = {}
        if hasattr(self._channel, "confirm_select"):
            self._channel.confirm_select()
            self._channel.events["basic_ack"].add(self._on_ack)
            self._channel.events["basic_nack"].add(self._on_nack)
            self._channel.events["basic_return"].add(self._on_return)

    def _send(self, shipment: Shipment) -> None:
        if shipment.exchange and not self._exchange_exists(shipment.exchange):
            self._returned[shipment.message.run_id] = (
                f"cannot be delivered: the broker has no exchange named {shipment.exchange!r};"
                " start a worker that declares it, or correct the schedule"
            )
            return
        message = shipment.message
        task_id = f"run-{message.run_id}-{message.attempt}"
        properties = {} if shipment.priority is None else {"priority": shipment.priority}
        self._producer.publish(
            json.dumps([[], message.seal(self._key), _EMBED]),
            exchange=shipment.exchange,
            routing_key=shipment.routing_key,
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=2,
            mandatory=True,
            correlation_id=task_id,
            message_id=str(message.run_id),
            headers={**shipment.headers, **_HEADERS, "id": task_id, "root_id": task_id, "origin": self._origin},
            **properties,
        )
        if hasattr(self._channel, "confirm_select"):
            self._sequence += 1
            self._unconfirmed[self._sequence] = message.run_id

    def _wait_for_confirms(self) -> None:
        deadline = time.monotonic() + CONFIRM_TIMEOUT
        while self._unconfirmed:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{len(self._unconfirmed)} messages not confirmed within {CONFIRM_TIMEOUT:g} s")
            self._connection.drain_events(timeout=left)

    def _exchange_exists(self, name: str) -> bool:
        if name in self._exchanges:
            return True
        # A refused passive declaration closes its channel, so it gets one of its own.
        probe = self._connection.channel()
        try:
            probe.exchange_declare(exchange=name, type="direct", passive=True)
        except self._connection.channel_errors:
            return False
        probe.close()
        self._exchanges.add(name)
        return True

    def _settle(self, tag: int, multiple: bool) -> list[int]:
        tags = [each for each in self._unconfirmed if each <= tag] if multiple else [tag]
        return [self._unconfirmed.pop(each) for each in tags if each in self._unconfirmed]

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._settle(tag, multiple)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for run_id in self._settle(tag, multiple):
            self._nacked[run_id] = "the broker refused the message; it is sent again"

    def _on_return(self, _error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        where = f"exchange {exchange!r} has no queue for routing key" if exchange else "there is no queue named"
        self._returned[int(message.properties["message_id"])] = (
            f"cannot be delivered: {where} {routing_key!r}; start a worker that reads it, or correct the schedule"
        )


_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
# What Celery's protocol 2 asks of a message; built once, since send_task builds it anew at 260 µs a message.
_HEADERS: dict[str, Any] = {
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
