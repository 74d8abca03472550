"""Which built-in job gets which part of the configuration: through the pipe, as nothing of it is in its environment."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from celery import current_app
from django.conf import settings

from jobs.registry import Job
from scheduler_app.config import Secret


def lent_to(job: Job) -> dict[str, Any]:
    """Return the settings that *job* works with, JSON-ready; a job of the user's gets none."""
    lend = _LENT.get(job.name)
    return lend() if lend and job.is_builtin else {}


def _mail() -> dict[str, Any]:
    mail = settings.SCHEDULER.mail
    values = {name: getattr(mail, name) for name in ("host", "port", "security", "user", "password", "sender")}
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}


def _calls() -> dict[str, Any]:
    return {"allowed": list(settings.SCHEDULER.jobs.allowed_addresses), "own_ports": sorted(_own_ports())}


def _own_ports() -> Iterator[int]:
    """Yield the ports of the web server, the broker and the database; they count on this machine's addresses only."""
    port = settings.SCHEDULER.web.port
    with contextlib.suppress(OSError, ValueError):  # chosen at the start; without a start nothing listens
        port = port or int(settings.SCHEDULER_PATHS.web_port.read_text())
    broker = urlsplit(str(current_app.conf.broker_url or "").partition(";")[0])
    database = settings.DATABASES["default"]
    yield from filter(None, (port, broker.port, int(str(database.get("PORT") or 0))))


_LENT: dict[str, Callable[[], dict[str, Any]]] = {
    "call_web_address": _calls,
    "call_webhook": _calls,
    "send_email": _mail,
}
