"""The broker for a machine without RabbitMQ: a kombu transport over one SQLite file, addressed as embedded:///path.

Behaves as AMQP does where Celery can see it: acknowledgements, redelivery of what a lost worker held (after
the lease), direct, topic, fanout and headers exchanges, priorities, mandatory routing, remote control. A publish
that returns is committed. `broker_transport_options`: lease, polling_interval (seconds).
"""

# mypy: allow-untyped-calls
# kombu says that it is typed and leaves most of its functions without annotations.

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from queue import Empty
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from amqp.exceptions import NotFound, PreconditionFailed, RecoverableConnectionError
from amqp.protocol import queue_declare_ok_t
from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport.base import to_rabbitmq_queue_arguments
from kombu.utils.json import dumps, loads
from kombu.utils.uuid import uuid

from scheduler_app.embedded_queue import Outgoing, QueueFile, QueueFileError, UnknownExchangeError, sqlite_version

SCHEME = "embedded"
LEASE = 30.0  # seconds
POLLING_INTERVAL = 0.08  # seconds; half of it is the usual delay of a message that finds its worker idle
FULL_LOOK_INTERVAL = 1.0  # seconds after which also what changes without a write is noticed: a lease that lapsed
KEEP_INTERVAL = 15.0  # seconds at most between two renewals of leases and temporary queues
# Below this a laptop's short sleep would cost a worker its control queue. Celery asks for 10 s.
SHORTEST_UNUSED_LIMIT = 4 * KEEP_INTERVAL
EXCHANGE_KINDS = frozenset({"direct", "topic", "fanout", "headers"})
PERSISTENT = 2  # AMQP's delivery mode

logger = logging.getLogger(__name__)


class UnroutableError(ChannelError):  # type: ignore[misc] # amqp has no types
    """No queue takes a message that was published with mandatory=True; it has not been stored."""


def register() -> None:
    """Let kombu and Celery know URLs that begin with embedded://."""
    TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"


def file_of(url: str) -> Path:
    """Return the file that embedded:///home/me/broker.sqlite3 or embedded:///C:/Users/me/broker.sqlite3 names."""
    parts = urlsplit(url)
    if parts.scheme != SCHEME or not parts.path.strip("/"):
        raise ValueError(f"cannot use the broker address {url!r}: write {SCHEME}:///absolute/path/of/broker.sqlite3")
    return Path(url2pathname(f"//{parts.netloc}{parts.path}" if parts.netloc else parts.path))


class QoS(virtual.QoS):
    """Settles deliveries in the file; a delivery tag is "id.deliveries", so a late one leaves its successor alone."""

    def ack(self, delivery_tag: str) -> None:
        self._settle(delivery_tag, self.channel.file.acknowledge)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self._settle(delivery_tag, self.channel.file.release if requeue else self.channel.file.acknowledge)

    def restore_unacked(self) -> list[tuple[BaseException, Any]]:
        """Give back what was delivered and not settled; what cannot be given back now returns when its lease lapses."""
        self._flush()
        tags = list(self._delivered)
        self._delivered.clear()
        for tag in tags:
            try:
                self.channel.file.release(*_delivery(tag))
            except QueueFileError as error:
                logger.warning("%s", error)
                break
        return []

    def _settle(self, delivery_tag: str, settle: Callable[[int, int], None]) -> None:
        try:
            settle(*_delivery(delivery_tag))
        except QueueFileError as error:
            # As with AMQP: a connection that cannot settle is lost, and its messages are delivered again.
            self.channel.give_up(error)
            raise
        finally:
            if delivery_tag in self._delivered:
                self._quick_ack(delivery_tag)
        self.channel.wake()


def _delivery(tag: str) -> tuple[int, int]:
    message, _, deliveries = tag.partition(".")
    return int(message), int(deliveries)


class PublishBatch:
    """What kombu's `Producer.batch()` wants of a transport: the messages of one flush are stored together, or none."""

    def __init__(self, channel: "Channel", max_size: int) -> None:
        self.channel = channel
        self.max_size = max_size
        self._messages: list[Outgoing] = []

    def publish(self, message: dict[str, Any], **options: Any) -> None:
        self._messages += self.channel.routed(message, **options)
        if len(self._messages) >= self.max_size:
            self.flush()

    def flush(self) -> None:
        messages, self._messages = self._messages, []
        self.channel.put(messages)

    def discard(self) -> None:
        self._messages = []

    close = discard


class Channel(virtual.Channel):
    QoS = QoS
    supports_fanout = True

    def __init__(self, connection: "Transport", **options: Any) -> None:
        super().__init__(connection, **options)
        self.transport = connection  # base sets `connection` to None on close; late acknowledgements come after that
        self.file = connection.file
        self._no_ack_queues: set[str] = set()

    def give_up(self, error: QueueFileError) -> None:
        self.transport.give_up(error)

    def wake(self) -> None:
        self.transport.wake()

    # Exchanges, queues, bindings

    def prepare_queue_arguments(self, arguments: dict[str, Any] | None, **options: Any) -> dict[str, Any]:
        prepared: dict[str, Any] = to_rabbitmq_queue_arguments(arguments or {}, **options)
        return prepared

    def exchange_declare(  # type: ignore[override] # kombu calls it with keywords only
        self,
        exchange: str | None = None,
        type: str | None = "direct",  # noqa: A002 - AMQP's name
        passive: bool = False,
        **_: Any,
    ) -> None:
        kind = type or "direct"
        name = exchange or f"amq.{kind}"
        if passive:
            if name not in self.file.exchanges():
                raise _not_found("exchange", name)
            return
        if kind not in EXCHANGE_KINDS:
            raise ChannelError(f"cannot declare exchange {name!r}: no exchange type {kind!r}; use one of {_listed()}")
        there = self.file.declare_exchange(name, kind)
        if there != kind:
            raise PreconditionFailed(f"cannot declare exchange {name!r} as {kind}: it exists as {there}")

    def exchange_delete(self, exchange: str, **_: Any) -> None:  # type: ignore[override] # as above
        self.file.delete_exchange(exchange)

    def queue_declare(
        self,
        queue: str | None = None,
        passive: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> queue_declare_ok_t:
        name = queue or f"amq.gen-{uuid()}"
        if passive:
            self._must_exist(name)
        else:
            arguments = arguments or {}
            ttl, expires = arguments.get("x-message-ttl"), arguments.get("x-expires")
            temporary = exclusive or auto_delete or expires is not None
            unused_limit = max(SHORTEST_UNUSED_LIMIT, (expires or 0) / 1000) if temporary else None
            self.file.declare_queue(
                name, message_ttl=None if ttl is None else ttl / 1000, unused_limit=unused_limit, now=time.time()
            )
            self.transport.declared(name, temporary=temporary, exclusive=exclusive)
        return queue_declare_ok_t(name, self._size(name), 0)

    def queue_delete(  # type: ignore[override] # as above
        self, queue: str, if_empty: bool = False, **_: Any
    ) -> None:
        if not (if_empty and self._size(queue)):
            self.file.delete_queue(queue)

    def queue_bind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        name = exchange or "amq.direct"
        if name not in self.file.exchanges():
            raise _not_found("exchange", name)
        self._must_exist(queue)
        self.file.bind(queue, name, routing_key or "", arguments or {})

    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        self.file.unbind(queue, exchange or "amq.direct", routing_key or "", arguments or {})

    def list_bindings(self) -> Iterable[tuple[str, str, str]]:
        return self.file.bindings()

    def get_exchanges(self) -> list[str]:
        return list(self.file.exchanges())

    def after_reply_message_received(self, queue: str) -> None:
        self.file.delete_queue(queue)

    def _must_exist(self, queue: str) -> None:
        if not self.file.has_queue(queue):
            raise _not_found("queue", queue)

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self.file.has_queue(queue)

    def _size(self, queue: str) -> int:
        return self.file.size(queue, time.time())

    def _purge(self, queue: str) -> int:
        return self.file.purge(queue, time.time())

    # Publishing

    def basic_publish(self, message: dict[str, Any], exchange: str = "", routing_key: str = "", **options: Any) -> None:
        """Store the message in every queue it is routed to; it is committed when this returns."""
        self.put(self.routed(message, exchange=exchange, routing_key=routing_key, **options))

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        return PublishBatch(self, max_size)

    def routed(
        self, message: dict[str, Any], exchange: str = "", routing_key: str = "", mandatory: bool = False, **_: Any
    ) -> list[Outgoing]:
        """Return the message once for each queue it goes to; UnroutableError when it is mandatory that there is one."""
        self._inplace_augment_message(message, exchange, routing_key)
        properties = message["properties"]
        try:
            queues = self.file.route(exchange or "", routing_key or "", message.get("headers") or {})
        except UnknownExchangeError:
            raise _not_found("exchange", exchange) from None
        if not queues and mandatory:
            raise UnroutableError(
                f"cannot route a message: no queue is bound to exchange {exchange!r} for routing key {routing_key!r}"
                f" and headers {message.get('headers')!r}"
                if exchange
                else f"cannot route a message: there is no queue {routing_key!r}"
            )
        expiration = properties.get("expiration")  # AMQP: milliseconds, as text
        content = dumps(message) if queues else ""
        return [
            Outgoing(
                queue=queue,
                content=content,
                priority=self._get_message_priority(message),
                ttl=None if expiration is None else int(expiration) / 1000,
                durable=properties.get("delivery_mode") == PERSISTENT,
            )
            for queue in queues
        ]

    def put(self, messages: list[Outgoing]) -> None:
        if messages:
            self.file.put(messages, time.time())
            self.wake()

    # Consuming

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], consumer_tag: str, **options: Any
    ) -> None:
        self._must_exist(queue)
        if no_ack:
            self._no_ack_queues.add(queue)
        super().basic_consume(queue, no_ack, callback, consumer_tag, **options)
        self.transport.consuming(queue)

    def basic_cancel(self, consumer_tag: str) -> None:
        queue = self._tag_to_queue.get(consumer_tag)
        super().basic_cancel(consumer_tag)
        if queue is not None:
            self._no_ack_queues.discard(queue)
            self.transport.cancelled(queue)

    def basic_get(self, queue: str, no_ack: bool = False, **_: Any) -> Any:
        try:
            message = self.Message(self._next(queue, no_ack=no_ack), channel=self)
        except Empty:
            return None
        if not no_ack:
            self.transport.start_keeper()
            self.qos.append(message, message.delivery_tag)
        return message

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:  # noqa: ARG002 - kombu's signature
        return self._next(queue, no_ack=queue in self._no_ack_queues)

    def _next(self, queue: str, *, no_ack: bool) -> dict[str, Any]:
        now = time.time()
        if no_ack:
            delivery = self.file.take(queue, now=now)
        else:
            delivery = self.file.claim(queue, now=now, lease=self.transport.lease)
        if delivery is None:
            raise Empty
        payload: dict[str, Any] = loads(delivery.content)
        payload["properties"]["delivery_tag"] = f"{delivery.id}.{delivery.deliveries}"
        if delivery.deliveries > 1:
            payload["properties"]["delivery_info"]["redelivered"] = True
            payload["headers"] = {**(payload.get("headers") or {}), "x-delivery-count": delivery.deliveries - 1}
        return payload


class Transport(virtual.Transport):
    Channel = Channel
    can_parse_url = True
    driver_type = SCHEME
    driver_name = "sqlite3"
    polling_interval = POLLING_INTERVAL

    connection_errors = (*virtual.Transport.connection_errors, QueueFileError)  # type: ignore[assignment] # kombu's is too narrow
    recoverable_connection_errors = (RecoverableConnectionError, QueueFileError)
    recoverable_channel_errors = ()
    implements = virtual.Transport.implements.extend(exchange_type=EXCHANGE_KINDS, batch_publish=True)

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.file = QueueFile(file_of(client.hostname))
        self.lease = float(client.transport_options.get("lease", LEASE))
        self._something_new = threading.Event()
        self._lost: QueueFileError | None = None
        self._temporary: set[str] = set()
        self._exclusive: set[str] = set()
        self._consumed: list[str] = []
        self._keeper: threading.Thread | None = None
        self._stop_keeper = threading.Event()

    def driver_version(self) -> str:
        return sqlite_version()

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:  # noqa: ARG002 - kombu's signature
        return uri

    def establish_connection(self) -> Any:
        self._lost = None
        self.file.open()
        return super().establish_connection()

    def close_connection(self, connection: Any) -> None:
        """Give all leases back at once and close the file."""
        self._end_keeper()
        try:
            super().close_connection(connection)
        finally:
            self._consumed.clear()
            self.file.close()

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:  # noqa: ARG002 - kombu's signature
        """Deliver one message; socket.timeout when none came within *timeout* seconds (None: wait for ever)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        cycle = self.cycle
        assert cycle is not None  # noqa: S101 - made with the transport
        seen: int | None = None
        look_at = 0.0
        while True:
            if self._lost is not None:
                raise self._lost
            self._something_new.clear()
            # Before looking into the queues: what is committed in between changes the version once more.
            version = self.file.version()
            if version != seen or time.monotonic() >= look_at:
                try:
                    cycle.get(self._deliver)
                except Empty:
                    seen, look_at = version, time.monotonic() + FULL_LOOK_INTERVAL
                else:
                    return
            left = self.polling_interval if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout  # noqa: UP041 - kombu's contract
            if self._something_new.wait(min(left, self.polling_interval)):
                seen = None

    def wake(self) -> None:
        """Make drain_events look again now: this process changed something, which `version` does not show."""
        self._something_new.set()

    def give_up(self, error: QueueFileError) -> None:
        """Make the next drain_events raise *error*, on which kombu and Celery connect anew."""
        self._lost = error
        self.wake()

    # Temporary queues and leases are kept alive by a thread, since a solo worker drains nothing while it runs a task.

    def declared(self, queue: str, *, temporary: bool, exclusive: bool) -> None:
        if temporary:
            self._temporary.add(queue)
        if exclusive:
            self._exclusive.add(queue)

    def consuming(self, queue: str) -> None:
        self._consumed.append(queue)
        self.start_keeper()
        self.wake()

    def cancelled(self, queue: str) -> None:
        if queue in self._consumed:
            self._consumed.remove(queue)
        # A forked child closes what it inherited; the queue is its parent's.
        if queue in self._exclusive and queue not in self._consumed and not self.file.inherited:
            self.file.delete_queue(queue)

    def start_keeper(self) -> None:
        if self._keeper is None or not self._keeper.is_alive():
            self._stop_keeper = threading.Event()
            self._keeper = threading.Thread(
                target=self._keep, args=(self._stop_keeper,), name="embedded-broker-keeper", daemon=True
            )
            self._keeper.start()

    def _end_keeper(self) -> None:
        self._stop_keeper.set()
        keeper, self._keeper = self._keeper, None
        if keeper is not None and keeper.is_alive() and keeper is not threading.current_thread():
            keeper.join()

    def _keep(self, stop: threading.Event) -> None:
        usual = min(self.lease / 4, KEEP_INTERVAL)
        wait = usual
        while not stop.wait(wait):
            try:
                self._keep_once(time.time())
            except QueueFileError as error:
                if wait == usual:
                    logger.warning("%s", error)
                wait = min(usual, 1.0)  # there is little time left before the leases lapse
            else:
                wait = usual

    def _keep_once(self, now: float) -> None:
        try:
            self.file.check_in_place()
        except QueueFileError as error:
            self.give_up(error)
            return
        self.file.renew(now=now, lease=self.lease)
        temporary = sorted(self._temporary.intersection(self._consumed))
        if temporary and (gone := self.file.keep_queues(temporary, now)):
            self.give_up(QueueFileError(f"cannot go on consuming: the queues {', '.join(gone)} were removed"))
        self.file.sweep(now)


def _not_found(what: str, name: str) -> NotFound:
    return NotFound(f"cannot find {what} {name!r} in the embedded broker: it was never declared, or was deleted")


def _listed() -> str:
    return ", ".join(sorted(EXCHANGE_KINDS))
