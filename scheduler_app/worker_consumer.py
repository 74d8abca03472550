"""Celery's consumer without what one worker more never needs: faster to start, quieter at rest."""

import contextlib
import logging
import signal
import socket
import time
import warnings
from typing import Any, ClassVar

from celery.exceptions import CPendingDeprecationWarning
from celery.worker.consumer import Consumer
from celery.worker.control import Panel
from celery.worker.state import maybe_shutdown
from django.conf import settings
from django.utils import timezone

from jobs import executor, external, inbox, refusals, worker
from jobs.messages import MessageError, MessageExpired
from scheduler_app import pulse
from scheduler_app.worker_heartbeats import Heartbeats

logger = logging.getLogger(__name__)

# Celery's own pause starts at 2 s and grows to 30 s, in which jobs wait for a broker that is there.
FIRST_PAUSE, PAUSE_GROWS_BY, LONGEST_PAUSE = 0.2, 0.02, 2.0
# A private node boots while the worker does: that it is not there yet is no news for this long.
BOOTING = 5.0
TELL_EVERY = 10.0
# The blocking loop (solo pool, embedded broker) looks whether it is to stop after each wait for a message: Celery's
# 2 s are long for a person who has pressed Ctrl-C.
LONGEST_WAIT = 0.25
# What others may ask a worker over the broker: questions. Whoever can write to the broker could else stop workers,
# slow them down, or have them read other queues.
REMOTE_QUESTIONS = frozenset({"ping", "stats", "active", "reserved", "active_queues", "registered"})
DELAYED_DELIVERY = "celery.worker.consumer.delayed_delivery:DelayedDelivery"


class WorkerConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Consumes runs.

    Left out: 28 quorum queues for messages that wait in the broker (ours never do: a run is sent when it is due),
    the second in which a worker asks the others what they revoked, and the events by which workers watch each other
    (the table of services tells who is alive).
    """

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        default_steps: ClassVar = [step for step in Consumer.Blueprint.default_steps if step != DELAYED_DELIVERY]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        quiet = {"without_mingle": True, "without_gossip": True, "without_heartbeat": True}
        inbox.unpack_nothing()
        # Eight lines of advice whenever a connection is lost, about a setting that is left as it is for good.
        warnings.filterwarnings("ignore", category=CPendingDeprecationWarning, module="celery.worker.consumer")
        for command in Panel.data.keys() - REMOTE_QUESTIONS:
            del Panel.data[command]
        super().__init__(*arguments, **(options | quiet))
        self._heartbeats: Heartbeats | None = None
        self._awake, self._wake = socket.socketpair()
        self._awake.setblocking(False)
        self._wake.setblocking(False)

    def connect(self) -> Any:
        connection = super().connect()
        if self._heartbeats is not None:
            self._heartbeats.end()
        self._heartbeats = None
        if connection.transport.driver_type == "amqp" and connection.get_heartbeat_interval():
            self._heartbeats = Heartbeats(connection)
        drain_events = connection.drain_events

        def drain_briefly(timeout: float = LONGEST_WAIT, **options: Any) -> Any:
            pulse.show()
            return drain_events(timeout=min(timeout, LONGEST_WAIT), **options)

        connection.drain_events = drain_briefly
        return connection

    def ensure_connected(self, conn: Any) -> Any:
        """Wait for the broker, for as long as it takes, and return the connection."""
        away_since, address = timezone.now(), self.app.broker_address()
        tell_at = time.monotonic() + BOOTING

        def tell(error: BaseException, _pause: float) -> None:
            nonlocal tell_at, address
            worker.broker_away(away_since, f"{conn.as_uri()}: {error}")
            if time.monotonic() >= tell_at:
                tell_at += TELL_EVERY
                logger.warning("no broker at %s: %s; asking until there is one", conn.as_uri(), error)
            # A private node whose port was taken is at another one.
            if (now_at := self.app.broker_address()) != address:
                address = now_at
                conn.switch(address)

        conn.ensure_connection(
            tell,
            interval_start=FIRST_PAUSE,
            interval_step=PAUSE_GROWS_BY,
            interval_max=LONGEST_PAUSE,
            callback=_between_tries,
        )
        worker.broker_away(None)
        self.first_connection_attempt = False
        return conn

    def create_task_handler(self, *arguments: Any, **options: Any) -> Any:
        """Return what is called with every message: Celery's own handler, after a look at the message."""
        handle = super().create_task_handler(*arguments, **options)

        def look_and_handle(message: Any) -> None:
            letter = inbox.Letter.of(message)
            try:
                if external.is_accepted(letter, settings.SCHEDULER.celery.accepts):
                    self._take_over(letter, message)
                    return
                message.headers = inbox.examine(letter, settings.SECRET_KEY, timezone.now())
            except MessageExpired as expired:
                logger.info("%s", expired)
                message.ack_log_error(logger, self.connection_errors)
            except MessageError as error:
                self._refuse(message, str(error))
            else:
                # Nobody waits for an answer.
                message.properties.pop("reply_to", None)
                handle(message)

        return look_and_handle

    def _take_over(self, letter: inbox.Letter, message: Any) -> None:
        """Record the run that another Celery client asks for; it goes the way of all runs, when its time comes."""
        queue = str(message.delivery_info.get("routing_key", ""))
        priority = message.properties.get("priority")
        executor.insist(
            lambda: external.take_over(letter, queue=queue, priority=priority, now=timezone.now()),
            letter.headers.get("id"),
        )
        message.ack_log_error(logger, self.connection_errors)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._refuse(message, f"it cannot be read: {exc}")

    def _refuse(self, message: Any, reason: str) -> None:
        """List the message and be done with it; it is not put back, or it would come again for ever."""
        queue = str(message.delivery_info.get("routing_key", ""))
        body = inbox.Letter.of(message).body
        refusals.record(reason, body, queue=queue, worker=self.hostname, now=timezone.now())
        message.ack_log_error(logger, self.connection_errors)

    def register_with_event_loop(self, hub: Any) -> None:
        """Have signals wake the loop, which would sleep on until its next timer (PEP 475): stopping is prompt."""
        super().register_with_event_loop(hub)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        hub.call_repeatedly(pulse.INTERVAL, pulse.show)
        hub.add_reader(self._awake.fileno(), self._drain)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._awake.recv(64)


def _between_tries() -> None:
    pulse.show()  # a worker that waits for its broker does not hang
    maybe_shutdown()
