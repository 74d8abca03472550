"""Sending claims-to-be to the broker: one connection, prepared envelopes, confirms collected a batch at a time."""

import json
import logging
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from amqp.exceptions import NotFound
from celery import Celery
from kombu.exceptions import OperationalError

from jobs import topology
from jobs.broker_memory import Marker
from jobs.delivery import NACKED, UNDELIVERED
from jobs.envelope import Envelope, EnvelopeError, Way
from jobs.messages import Message, run_of
from jobs.queue_repair import Refusals
from scheduler_app import routing

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 3.0
# py-amqp waits for ever on a peer that went away without FIN, and beat's connection has no heartbeat. A broker that
# is merely busy confirms some of a batch within this time.
SILENCE_TIMEOUT = 5.0
# Handed to the socket together: the broker begins with the first while the next ones are written.
TOGETHER = 100
MOST_ENVELOPES = 1_000


class BrokerUnavailable(Exception):  # noqa: N818 - a state of the world that comes and goes, not a mistake
    """The broker cannot be reached, or did not confirm in time."""


@dataclass(frozen=True, slots=True)
class Shipment:
    message: Message
    way: Way


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch: run ids the broker has taken over, and the reasons for those it refused."""

    confirmed: list[int]
    refused: dict[int, str]


class Publisher:
    """Publishes to the broker of *app*; not thread-safe, one a thread.

    *owns_broker* says that nobody else uses it: a queue that refuses everything may be deleted and made anew.
    """

    def __init__(self, app: Celery, key: str, *, owns_broker: bool = False) -> None:
        self._app = app
        self._key = key
        self._origin = f"{os.getpid()}@{socket.gethostname()}"
        self._connection: Any = None
        self._channel: Any = None
        self._sequence = 0
        self._unconfirmed: OrderedDict[int, int] = OrderedDict()
        self._refused: dict[int, str] = {}
        self._shipments: Sequence[Shipment] = ()
        self._exchanges: set[str] = set()
        self._envelopes: dict[tuple[object, ...], Envelope] = {}
        self._queue = str(app.conf.task_default_queue)
        self._marker = Marker(self._queue)
        self._refusals = Refusals() if owns_broker else None

    def publish(self, shipments: Sequence[Shipment]) -> Receipt:
        """Send the batch and wait until the broker has taken it over.

        Raises BrokerUnavailable; then none, some or all of the batch may have arrived, and sending it
        again is harmless, because only one claim of a run succeeds.
        """
        self._refused, self._shipments = {}, shipments
        with self._connected():
            if self._speaks_amqp():
                self._send_and_wait(shipments)
                self._make_queue_anew_when_it_is_useless(shipments)
            else:
                self._store_together(shipments)
        ids = [shipment.message.run_id for shipment in shipments]
        return Receipt([run_id for run_id in ids if run_id not in self._refused], self._refused)

    def has_been_forgotten(self) -> bool:
        """Ask the broker whether it was restarted or made anew since remember(); raises BrokerUnavailable."""
        with self._connected():
            return self._marker.is_missing(self._connection.default_channel)

    def remember(self) -> None:
        """Have the broker remember us from now on; raises BrokerUnavailable."""
        with self._connected():
            self._marker.put(self._connection.default_channel)

    def close(self) -> None:
        """Drop the connection; the next publish makes a new one."""
        connection, self._connection = self._connection, None
        self._channel = None
        self._unconfirmed.clear()
        self._exchanges.clear()
        self._envelopes.clear()
        if connection is not None:
            try:
                connection.collect(socket_timeout=1)
            except (*connection.connection_errors, *connection.channel_errors, OSError):
                logger.debug("the broker's connection was gone before it was closed", exc_info=True)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            self._connect()
            yield
        except self._lost() as error:
            self.close()
            raise BrokerUnavailable(f"cannot send to the broker at {self._address()}: {error}") from error

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
        if self._connection.transport.driver_type == "amqp":
            # For all that is sent and read from here on, also where py-amqp itself would wait for ever.
            self._connection.connection.transport.sock.settimeout(SILENCE_TIMEOUT)
        self._channel = self._connection.channel()
        for part in topology.foundation(quorum=self._app.conf.task_default_queue_type == "quorum"):
            part(self._channel).declare()
        if self._speaks_amqp():
            self._sequence = 0
            self._channel.confirm_select()
            self._channel.events["basic_ack"].add(self._on_ack)
            self._channel.events["basic_nack"].add(self._on_nack)
            self._channel.events["basic_return"].add(self._on_return)

    def _speaks_amqp(self) -> bool:
        return hasattr(self._channel, "confirm_select")

    # AMQP

    def _send_and_wait(self, shipments: Sequence[Shipment]) -> None:
        write = self._connection.connection.transport.write
        written: list[bytes] = []
        for shipment in shipments:
            way, run_id = shipment.way, shipment.message.run_id
            if way.exchange and not self._exchange_exists(way.exchange):
                self._refused[run_id] = _no_exchange(way)
                continue
            try:
                written.append(self._frames(shipment))
            except EnvelopeError as error:
                self._refused[run_id] = str(error)
                continue
            self._sequence += 1
            self._unconfirmed[self._sequence] = run_id
            if len(written) == TOGETHER:
                write(b"".join(written))
                written.clear()
        if written:
            write(b"".join(written))
        self._wait_for_confirms()

    def _frames(self, shipment: Shipment) -> bytes:
        message, way = shipment.message, shipment.way
        task_id, body = message.task_id.encode(), message.body(self._key)
        headers = json.dumps(way.headers) if way.headers else ""
        alike = (way.routing_key, way.exchange, way.priority, headers, len(task_id), len(body))
        envelope = self._envelopes.get(alike)
        if envelope is None:
            if len(self._envelopes) >= MOST_ENVELOPES:
                self._envelopes.clear()
            envelope = self._envelopes[alike] = Envelope(
                way,
                origin=self._origin,
                channel_id=self._channel.channel_id,
                frame_max=self._connection.connection.frame_max,
                id_length=len(task_id),
                body_length=len(body),
            )
        return envelope.frames(task_id, body)

    def _wait_for_confirms(self) -> None:
        waiting, deadline = len(self._unconfirmed), time.monotonic() + SILENCE_TIMEOUT
        while self._unconfirmed:
            if len(self._unconfirmed) < waiting:
                waiting, deadline = len(self._unconfirmed), time.monotonic() + SILENCE_TIMEOUT
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{waiting} messages not confirmed within {SILENCE_TIMEOUT:g} s")
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
        if not multiple:
            return [self._unconfirmed.pop(tag)] if tag in self._unconfirmed else []
        settled: list[int] = []
        while self._unconfirmed and next(iter(self._unconfirmed)) <= tag:
            settled.append(self._unconfirmed.popitem(last=False)[1])
        return settled

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._settle(tag, multiple)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for run_id in self._settle(tag, multiple):
            self._refused[run_id] = NACKED

    def _on_return(self, _error: Exception, _exchange: str, _routing_key: str, message: Any) -> None:
        run_id = run_of(message.properties["message_id"])
        self._refused[run_id] = next(
            _no_worker(shipment.way) for shipment in self._shipments if shipment.message.run_id == run_id
        )

    def _make_queue_anew_when_it_is_useless(self, shipments: Sequence[Shipment]) -> None:
        if self._refusals is None:
            return
        ours = [each.message.run_id for each in shipments if each.way == Way(self._queue)]
        refused = sum(1 for run_id in ours if self._refused.get(run_id) == NACKED)
        if self._refusals.note(taken=len(ours) - refused, refused=refused):
            logger.warning("the queue %s takes no message any more: a new one is made in its place", self._queue)
            self._connection.default_channel.queue_delete(self._queue)
            # What waited in it is sent again.
            self._marker.drop(self._connection.default_channel)
            self.close()  # the next connection declares it

    # The embedded transport: what it has stored is taken over, and a batch is one transaction.

    def _store_together(self, shipments: Sequence[Shipment]) -> None:
        producer = self._app.amqp.Producer(self._channel, auto_declare=False)
        with producer.batch(max_size=len(shipments)):
            for message, way in ((shipment.message, shipment.way) for shipment in shipments):
                try:
                    producer.publish(
                        message.body(self._key).decode(),
                        exchange=way.exchange,
                        routing_key=way.routing_key,
                        mandatory=True,
                        **way.properties(message.task_id, self._origin),
                    )
                except NotFound:
                    self._refused[message.run_id] = _no_exchange(way)
                except self._connection.channel_errors:  # no queue takes it
                    self._refused[message.run_id] = _no_worker(way)


def _no_exchange(way: Way) -> str:
    return (
        f"{UNDELIVERED}the broker has no exchange named {way.exchange!r};"
        " start a worker that declares it, or correct the schedule"
    )


def _no_worker(way: Way) -> str:
    asked = {name: value for name, value in way.headers.items() if name != routing.LABELS}
    what = {
        "": f"reads the queue {way.routing_key!r}",
        routing.QUEUES: f"reads the queue {way.routing_key!r}",
        routing.TOPICS: f"listens to the topic {way.routing_key!r}",
        routing.LABELS: f"has the labels {routing.write_labels(asked)}",
        routing.MACHINES: "is there, on any machine",
    }.get(way.exchange, f"has a queue at the exchange {way.exchange!r} for the routing key {way.routing_key!r}")
    return f"{UNDELIVERED}no worker {what}; start one that does, or correct the schedule"
