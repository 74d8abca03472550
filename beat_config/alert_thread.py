"""Beat's thread that notices and sends alerts: a slow mail server keeps no fire waiting."""

import logging
import threading

from django.db import DatabaseError, connection
from django.utils import timezone

from beat_config import alerts

logger = logging.getLogger(__name__)

EVERY = 10.0


class AlertThread(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="alerts", daemon=True)
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self.join(EVERY)

    def run(self) -> None:
        try:
            while not self._stopping.wait(EVERY):
                try:
                    alerts.look_and_send(timezone.now())
                except DatabaseError as error:
                    logger.warning("cannot look for alerts, trying again later: %s", error)
                    connection.close_if_unusable_or_obsolete()
        finally:
            connection.close()
