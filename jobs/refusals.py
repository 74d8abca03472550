"""The list of refused messages: for people to look at, and too short for a flood to fill the database."""

import logging
import threading
from datetime import datetime, timedelta

from django.db import DatabaseError, connection

from jobs.models import RefusedMessage

logger = logging.getLogger(__name__)

# Of a flood, a process writes down this many a minute, and how many more there were.
LISTED, MINUTE = 60, timedelta(minutes=1)
KEPT = 500
BEGINNING = 200
LONGEST_REASON = 500


class _Allowance:
    """How many more may be listed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: datetime | None = None
        self._listed = self._unlisted = 0

    def take(self, now: datetime) -> int | None:
        """Return how many were not listed since the last one that was; None when this one is not listed either."""
        with self._lock:
            if self._since is None or not timedelta(0) <= now - self._since < MINUTE:
                self._since, self._listed = now, 0
            if self._listed >= LISTED:
                self._unlisted += 1
                return None
            self._listed += 1
            unlisted, self._unlisted = self._unlisted, 0
            return unlisted


_allowance = _Allowance()


def record(reason: str, body: bytes, *, queue: str, worker: str, now: datetime, repeat: bool = False) -> None:
    """List a refused message, the oldest gives way; while the database is away the log alone tells."""
    unlisted = _allowance.take(now)
    if unlisted is None:
        return
    logger.warning("Refused a message from queue %r: %.500s", queue, reason)
    try:
        row = RefusedMessage.objects.create(
            received_at=now,
            queue=_printable(queue)[:200],
            worker=worker[:200],
            reason=_printable(reason)[:LONGEST_REASON],
            size=len(body),
            # As Python writes bytes: whatever they are, they can be shown, and copied.
            beginning=repr(body[:BEGINNING])[2:-1],
            repeat=repeat,
            unlisted=unlisted,
        )
        RefusedMessage.objects.filter(pk__lte=row.pk - KEPT).delete()
    except DatabaseError as error:
        logger.warning("cannot list the refused message: %s", error)
        connection.close_if_unusable_or_obsolete()


def _printable(text: str) -> str:
    """Escape what a terminal or PostgreSQL would not take: NUL, other control characters, lone surrogates."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
