"""Which built-in job gets which part of the configuration: through the pipe, as nothing of it is in its environment."""

from collections.abc import Callable
from typing import Any

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


_LENT: dict[str, Callable[[], dict[str, Any]]] = {"send_email": _mail}
