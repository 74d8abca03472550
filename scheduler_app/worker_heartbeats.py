"""A worker's heartbeats: sent also while it is busy, and missed soon when the broker has gone without a word."""

import threading
import time
from collections.abc import Callable
from typing import Any

from amqp.exceptions import ConnectionForced


class Heartbeats:
    """Sends *connection*'s heartbeats from a thread of its own, for as long as it is open.

    A solo worker does nothing else while it runs a job, and on Windows no loop of Celery's sends any: RabbitMQ would
    drop the connection, and deliver the job again.
    """

    def __init__(self, connection: Any) -> None:
        self._amqp = connection.connection
        self._interval = float(connection.get_heartbeat_interval())  # what both sides have agreed on
        self._ended = threading.Event()
        self._received = -1
        self._heard_at = self._looked_at = time.monotonic()
        # py-amqp writes each frame in one go, into one buffer.
        self._amqp.frame_writer = _one_at_a_time(self._amqp.frame_writer)
        threading.Thread(target=self._beat, name="heartbeats", daemon=True).start()

    def check(self, _rate: float = 2.0) -> None:
        """Raise ConnectionForced when nothing came from the broker for two intervals in which we listened."""
        now = time.monotonic()
        if self._amqp.bytes_recv != self._received or now - self._looked_at > self._interval:
            # After a job of a solo worker, what the broker has sent meanwhile is still to be read.
            self._received, self._heard_at = self._amqp.bytes_recv, now
        self._looked_at = now
        if now - self._heard_at > 2 * self._interval:
            raise ConnectionForced(f"nothing came from the broker for {now - self._heard_at:.0f} s")

    def end(self) -> None:
        self._ended.set()

    def _beat(self) -> None:
        while not self._ended.wait(self._interval / 2):
            try:
                self._amqp.send_heartbeat()
            except (*self._amqp.connection_errors, OSError):
                return  # the worker notices by itself


def _one_at_a_time(write: Callable[..., None]) -> Callable[..., None]:
    lock = threading.Lock()

    def write_alone(*frame: Any) -> None:
        with lock:
            write(*frame)

    return write_alone
