"""The icon where PyGObject and an AppIndicator library are there, as a panel sees it over D-Bus."""

import os
import subprocess
import sys

import pytest

from tests import servers
from tests.tray.panel import TIMEOUT, Panel
from tests.tray.test_icon import running
from tests.waiting import wait_until

# Debian's PyGObject is made for Debian's own Python.
SYSTEM_PYTHON = (3, 11)

pytestmark = [
    pytest.mark.needs("dbus"),
    pytest.mark.needs("appindicator"),
    pytest.mark.skipif(sys.version_info[:2] != SYSTEM_PYTHON, reason="the system's PyGObject is for another Python"),
]


@pytest.fixture(scope="module")
def display():
    """An X server without a screen, which GTK wants to have."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as told:
            yield f":{told.readline().strip()}"
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def environment(environment, display, tmp_path):
    (tmp_path / "gi").symlink_to(servers.appindicator())
    return {**environment, "DISPLAY": display, "PYTHONPATH": str(tmp_path), "NO_AT_BRIDGE": "1"}


@pytest.fixture
def program(environment, panel):
    with running(environment) as program:
        yield program


def test_a_panel_shows_its_menu_and_what_is_clicked_is_told(program, panel, shown):
    icon = shown()
    assert panel.items[-1][1].startswith("/org/ayatana/")
    program.order("look running")
    icon.wait_for("Only while running")

    assert icon.labels() == ["Open admin", "State: running", "my_jobs", "Notifications", "Only while running"]
    assert icon.value("Status") == "Active"
    assert icon.find("Notifications")["checked"] is True
    assert icon.find("State: running")["enabled"] is False
    icon.click("my_jobs", "Same")
    program.wait_for("clicked cancel 1")
    icon.click("Open admin")
    program.wait_for("clicked open admin ")


def test_the_menu_follows_what_it_shows(program, shown):
    icon = shown()
    program.order("look running")
    icon.wait_for("Only while running")
    picture = icon.value("IconName")

    program.order("look paused")
    icon.wait_for("State: paused")

    assert "Only while running" not in icon.labels()
    assert icon.find("Notifications")["checked"] is False
    assert icon.value("IconName") != picture


def test_a_notification_is_shown(program, panel, shown):
    shown()
    program.order("notify something happened")
    wait_until(lambda: panel.notifications, TIMEOUT, "a notification")
    assert panel.notifications[0][:2] == ("A title", "something happened")


def test_the_icon_comes_back_with_the_panel(bus, environment):
    first = Panel(bus)
    with running(environment):
        wait_until(lambda: first.items, TIMEOUT, "an icon in the first panel")
        first.close()
        second = Panel(bus)
        wait_until(lambda: second.items, TIMEOUT, "an icon in the second panel")
        second.close()
