"""A worker's heartbeats: sent also while it is busy, and missed soon when the broker has gone without a word."""

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


class Heartbeats:
    """Sends *connection*'s heartbeats from a thread of its own, and closes its socket when the broker sends none.

    A solo worker does nothing else while it runs a job, and on Windows no loop of Celery's sends any: RabbitMQ would
    drop the connection, and deliver the job again. And whoever waits for an answer, as a worker does that declares its
    queues or says farewell, would wait for ever: it reads the end of the connection instead.
    """

    def __init__(self, connection: Any) -> None:
        self._amqp = connection.connection
        self._interval = float(connection.get_heartbeat_interval())  # what both sides have agreed on
        self._ended = threading.Event()
        self._received = -1
        self._heard_at = time.monotonic()
        # py-amqp writes each frame in one go, into one buffer.
        self._amqp.frame_writer = _one_at_a_time(self._amqp.frame_writer)
        # Instead of py-amqp's own, which would send them, too.
        connection.heartbeat_check = lambda *_, **__: None
        threading.Thread(target=self._beat, name="heartbeats", daemon=True).start()

    def end(self) -> None:
        self._ended.set()

    def _beat(self) -> None:
        while not self._ended.wait(self._interval / 2):
            try:
                self._amqp.send_heartbeat()
            except (*self._amqp.connection_errors, OSError):
                return  # the worker notices by itself
            open_socket = getattr(self._amqp.transport, "sock", None)
            if open_socket is None:
                return
            silent_for = self._silence(open_socket, time.monotonic())
            if silent_for > 2 * self._interval:
                logger.warning("nothing came from the broker for %.0f s: connecting anew", silent_for)
                with contextlib.suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)
                return

    def _silence(self, open_socket: socket.socket, now: float) -> float:
        """Return for how many seconds nothing has come; what a busy worker has not read yet has come."""
        try:
            has_come = bool(select.select([open_socket], [], [], 0)[0])
        except (OSError, ValueError):  # closed just now
            has_come = True
        if has_come or self._amqp.bytes_recv != self._received:
            self._received, self._heard_at = self._amqp.bytes_recv, now
        return now - self._heard_at


def _one_at_a_time(write: Callable[..., None]) -> Callable[..., None]:
    lock = threading.Lock()

    def write_alone(*frame: Any) -> None:
        with lock:
            write(*frame)

    return write_alone
