"""The tray over the real scheduler: everything is started, watched and stopped from its menu."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.processes import family, is_gone
from tests.servers import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("dbus")

TIMEOUT = 60.0
MAKE_SCHEDULES = """
import django
django.setup()
import json
from datetime import datetime, UTC
from beat_config.models import Schedule
from django_celery_beat.models import IntervalSchedule
yearly = IntervalSchedule.objects.create(every=365, period="days")
for name, command in json.loads({schedules!r}).items():
    Schedule.objects.create(name=name, task="run_command", interval=yearly, kwargs=json.dumps({{"command": command}}))
"""


class Desktop:
    """A person's session: the tray, a browser that writes down what it is asked to open, and a data folder."""

    def __init__(self, tmp_path, environment):
        self.data = tmp_path / "data"
        self.opened = tmp_path / "opened.txt"
        browser = tmp_path / "browser"
        browser.write_text(f'#!/bin/sh\necho "$1" >> {self.opened}\n')
        browser.chmod(0o700)
        (tmp_path / "xdg-open").symlink_to(browser)
        self.environment = {
            **environment,
            "PATH": f"{tmp_path}{os.pathsep}{environment['PATH']}",
            "BROWSER": f"{browser} %s",
            "SCHEDULER_DATA_FOLDER": str(self.data),
            "SCHEDULER_WEB_PORT": str(free_port()),
            "SCHEDULER_BROKER_KIND": "embedded",
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
        }

    @contextmanager
    def tray(self, *arguments):
        log = self.data.parent / "tray.txt"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "scheduler_app", "tray", *arguments],
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def python(self, code):
        environment = {**self.environment, "DJANGO_SETTINGS_MODULE": "scheduler_app.settings"}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)

    def add_schedules(self, **schedules):
        self.python(MAKE_SCHEDULES.format(schedules=json.dumps(schedules)))

    def pages(self):
        return self.opened.read_text().splitlines() if self.opened.exists() else []

    def supervisor(self):
        """Return the process id of the supervisor; None when there is none."""
        try:
            pid = json.loads((self.data / "run" / "supervisor.json").read_text())["pid"]
        except (OSError, ValueError):
            return None
        return None if is_gone(pid) else pid

    def end(self):
        pid = self.supervisor()
        for process in [*family(pid), psutil.Process(pid)] if pid else []:
            process.kill()


@pytest.fixture
def desktop(tmp_path, environment, panel):
    desktop = Desktop(tmp_path, environment)
    yield desktop
    desktop.end()


def test_everything_is_started_watched_and_stopped_from_the_tray(desktop, panel, shown):
    with desktop.tray() as tray:
        icon = shown()
        icon.wait_for("State: stopped")
        stopped = icon.picture()

        icon.click("Start")
        wait_until(lambda: icon.find("State: ")["label"] == "State: running", TIMEOUT, "running")
        assert icon.picture() != stopped
        assert "Open admin" in icon.labels()
        assert {label.partition(":")[0] for label in icon.labels("Services")} == {"migrate", "web", "beat", "worker-1"}

        icon.click("Open admin")
        wait_until(desktop.pages, TIMEOUT, "a page")
        assert desktop.pages()[-1].startswith(f"http://127.0.0.1:{desktop.environment['SCHEDULER_WEB_PORT']}/login/#")

        desktop.add_schedules(Fails="sh -c 'echo broken >&2; exit 3'", Sleeps="sleep 600")
        icon.wait_for("Run now", "Fails")
        icon.click("Run now", "Fails")
        wait_until(lambda: "Fails failed" in titles(panel), TIMEOUT, "the news that it failed")
        number = titles(panel).index("Fails failed") + 1
        assert panel.notifications[number - 1][1] == "exit code 3"
        panel.click(number)
        wait_until(lambda: "next=/admin/jobs/run/" in desktop.pages()[-1], TIMEOUT, "the run's page")
        icon.wait_for("Recent failures", "Fails, at ")

        icon.click("Run now", "Sleeps")
        icon.wait_for("Running (1)", "Sleeps", "Cancel")
        assert "Sleeps" in icon.tooltip
        icon.click("Running (1)", "Sleeps", "Cancel")
        icon.wait_for("State: running")

        icon.click("Services", "worker-1", "Stop")
        icon.wait_for("Services", "worker-1: stopped")
        assert icon.find("State: ")["label"] == "State: degraded (worker-1)"
        icon.click("Services", "worker-1", "Start")
        wait_until(lambda: icon.find("State: ")["label"] == "State: running", TIMEOUT, "running again")

        supervisor = desktop.supervisor()
        icon.click("Quit", "Stop everything")
        assert tray.wait(TIMEOUT) == 0
        wait_until(lambda: is_gone(supervisor), TIMEOUT, "the supervisor has ended")


def test_when_the_tray_is_killed_what_runs_goes_on_and_a_new_tray_sees_it(desktop, panel, shown):
    with desktop.tray("--start") as tray:
        wait_until(lambda: shown().find("State: ")["label"] == "State: running", TIMEOUT, "running")
        supervisor = desktop.supervisor()
        tray.send_signal(signal.SIGKILL)
        tray.wait()
    assert not is_gone(supervisor)

    registered = len(panel.items)
    with desktop.tray() as tray:
        wait_until(lambda: len(panel.items) > registered, TIMEOUT, "the new icon")
        icon = shown()
        icon.wait_for("State: running")

        os.kill(supervisor, signal.SIGKILL)
        icon.wait_for("State: stopped")
        assert icon.find("Start")["enabled"]


def test_one_tray_shows_a_data_folder(desktop, shown):
    with desktop.tray():
        shown()
        done = subprocess.run(
            [sys.executable, "-m", "scheduler_app", "tray"],
            env=desktop.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    assert (done.returncode, done.stderr) == (1, "The tray icon is shown already.\n")


def test_start_at_login_writes_and_removes_the_systems_own_file(desktop, shown):
    folder = Path(desktop.environment["XDG_CONFIG_HOME"]) / "autostart"
    with desktop.tray():
        icon = shown()
        icon.wait_for("Start at login")
        icon.click("Start at login")
        wait_until(lambda: icon.find("Start at login")["checked"], TIMEOUT, "a check mark")
        (file,) = folder.iterdir()
        assert '"tray" "--start"' in file.read_text()
        assert f'"--data" "{desktop.data}"' in file.read_text()

        icon.click("Start at login")
        wait_until(lambda: not icon.find("Start at login")["checked"], TIMEOUT, "no check mark")
        assert list(folder.iterdir()) == []


def test_what_cannot_be_done_is_told(desktop, panel, shown):
    desktop.data.mkdir()
    (desktop.data / "scheduler.toml").write_text("")
    with desktop.tray():
        icon = shown()
        icon.wait_for("State: stopped")
        (desktop.data / "scheduler.toml").write_text("[web]\nport = 'many'\n")
        icon.click("Start")
        wait_until(lambda: panel.notifications, TIMEOUT, "a notification")

    title, text, _ = panel.notifications[0]
    assert title == "Scheduler: cannot start all"
    assert "cannot use web.port = 'many'" in text


def titles(panel):
    return [title for title, _, _ in panel.notifications]
