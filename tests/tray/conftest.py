"""A desktop session for each test, and what is shown in it."""

import os

import pytest

from tests.tray.panel import TIMEOUT, Panel, ShownIcon, session_bus
from tests.waiting import wait_until


@pytest.fixture
def bus():
    with session_bus() as address:
        yield address


@pytest.fixture
def environment(bus):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SCHEDULER_", "DJANGO_"))}
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        clean.pop(name, None)
    return {**clean, "DBUS_SESSION_BUS_ADDRESS": bus}


@pytest.fixture
def panel(bus):
    panel = Panel(bus)
    yield panel
    panel.close()


@pytest.fixture
def shown(bus, panel):
    """Return the icon that is registered in the panel, as soon as there is one."""
    icons = []

    def find():
        wait_until(lambda: panel.items, TIMEOUT, "an icon in the panel")
        icons.append(ShownIcon(bus, panel.items[-1]))
        return icons[-1]

    yield find
    for icon in icons:
        icon.close()
