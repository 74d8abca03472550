"""What some tests cannot do without, and why it is not here."""

import shutil

from scheduler_app import platforms
from tests import servers


def missing(name: str) -> str | None:
    """Return why what *name* stands for is not here; None when it is."""
    return _CHECKS[name]()


def _rabbitmq() -> str | None:
    return None if platforms.find_rabbitmq() else f"RabbitMQ is not installed: {platforms.rabbitmq_install_hint()}"


def _postgresql() -> str | None:
    try:
        servers._postgresql_programs()
    except servers.MissingServer as error:
        return str(error)
    return None


def _chromium() -> str | None:
    return None if shutil.which("chromium") else "Chromium is not installed"


_CHECKS = {"rabbitmq": _rabbitmq, "postgresql": _postgresql, "chromium": _chromium}
