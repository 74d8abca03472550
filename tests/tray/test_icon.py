"""Our icon on Linux, as a panel and a person see it over D-Bus."""

import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from tests.tray.panel import TIMEOUT, Panel
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("dbus")


class Program:
    """tests.tray.icon_program, its lines, and orders to it."""

    def __init__(self, environment):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.tray.icon_program"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self._reader.start()

    def order(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def wait_for(self, line, times=1):
        wait_until(lambda: self.lines.count(f"{line}\n") >= times, TIMEOUT, f"{line!r}, {self.lines} so far")

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(TIMEOUT) == 0


@contextmanager
def running(environment):
    program = Program(environment)
    try:
        yield program
        program.end()
    finally:
        program.process.kill()
        program.process.wait()
        program._reader.join(TIMEOUT)
        program.process.stdout.close()


@pytest.fixture
def program(environment, panel):
    with running(environment) as program:
        yield program


def test_a_panel_shows_the_icon_its_tooltip_and_its_menu(program, shown):
    icon = shown()
    before = icon.picture()
    program.order("look running")
    icon.wait_for("Only while running")

    assert icon.tooltip == "is running"
    assert icon.picture() != before
    assert icon.value("Status") == "Active"
    assert icon.labels() == ["Open admin", "State: running", "my_jobs", "Notifications", "Only while running"]
    assert icon.find("Notifications")["checked"] is True
    assert icon.find("State: running")["enabled"] is False


def test_a_click_is_told_and_one_of_two_equal_labels_is_the_one(program, shown):
    icon = shown()
    program.order("look running")
    icon.wait_for("my_jobs")
    first, second = icon.find("my_jobs")["children"]

    icon.click_number(second["number"])
    program.wait_for("clicked cancel 2")
    icon.click_number(first["number"])
    program.wait_for("clicked cancel 1")


def test_a_click_on_what_is_no_longer_there_does_nothing(program, shown):
    icon = shown()
    program.order("look running")
    gone = icon.wait_for("Only while running")["number"]
    program.order("look paused")
    icon.wait_for("State: paused")

    icon.click_number(gone)
    icon.click("Open admin")

    program.wait_for("clicked open admin ")
    assert not any("stop all" in line for line in program.lines)


def test_entries_that_stay_keep_their_number(program, shown):
    icon = shown()
    program.order("look running")
    before = icon.wait_for("Only while running"), icon.find("Notifications")["number"]
    program.order("look paused")
    icon.wait_for("State: paused")

    assert icon.find("Notifications")["number"] == before[1]


def test_a_click_on_the_icon_opens_the_admin(program, shown):
    icon = shown()
    program.order("look running")
    icon.wait_for("Open admin")

    icon.activate()

    program.wait_for("clicked open admin ")


def test_a_notification_is_shown_and_its_click_is_told(program, panel, shown):
    shown()
    program.order("notify something happened")
    wait_until(lambda: panel.notifications, TIMEOUT, "a notification")

    panel.click(1)

    program.wait_for("clicked open run 9")
    assert panel.notifications == [("A title", "something happened", ["default", "Open"])]


def test_the_icon_comes_back_with_the_panel(bus, environment):
    first = Panel(bus)
    with running(environment) as program:
        program.wait_for("host is there")
        first.close()
        program.wait_for("host is missing")
        second = Panel(bus)
        program.wait_for("host is there", times=2)
        assert second.items
        second.close()


def test_without_a_panel_it_waits_for_one(bus, environment):
    with running(environment) as program:
        program.wait_for("host is missing")
        panel = Panel(bus)
        program.wait_for("host is there")
        panel.close()


def test_without_a_session_the_refusal_says_what_to_do(environment):
    done = subprocess.run(
        [sys.executable, "-m", "tests.tray.icon_program"],
        env={**environment, "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )

    assert done.returncode == 1
    assert "cannot show a tray icon" in done.stderr
    assert "scheduler-app open" in done.stderr
