"""What a click does. Each may take its time: it runs beside the icon, one after the other."""

import os
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path

from scheduler_app import login_token, platforms
from scheduler_app.config import Config
from scheduler_app.desktop.menu import Command, Verb
from scheduler_app.desktop.news import News
from scheduler_app.desktop.preferences import Preferences
from scheduler_app.desktop.web_service import WebService, WebServiceError
from scheduler_app.desktop.wording import NAME
from scheduler_app.paths import FolderError, Paths, secret_key
from scheduler_app.supervisor.control import NotRunningError, ask
from scheduler_app.supervisor.service import SupervisorError

STOP_LIMIT = 120.0
"""Seconds until a stop that was asked for is given up waiting for."""
LOOK_EVERY = 0.2
NEW_CONFIGURATION = "# See docs/configuration.md for every setting; `scheduler-app config check` checks this file.\n"


class CommandError(Exception):
    """A click that could not be carried out; str() says why."""


class Commands:
    def __init__(self, config: Config, preferences: Preferences, quit_tray: Callable[[], None]) -> None:
        self._config = config
        self._paths = Paths.of(config)
        self._preferences = preferences
        self._quit = quit_tray
        self.login_start = platforms.login_start(self._paths.data)
        self._actions: Mapping[Verb, Callable[[str], News | None]] = {
            Verb.OPEN_ADMIN: lambda _: self._open_page(""),
            Verb.OPEN_RUN: lambda run: self._open_page(f"admin/jobs/run/{run}/change/"),
            Verb.OPEN_SCHEDULE: lambda schedule: self._open_page(f"admin/beat_config/schedule/{schedule}/change/"),
            Verb.START_ALL: lambda _: self._program("start", "--headless"),
            Verb.STOP_ALL: lambda _: self._program("stop"),
            Verb.RESTART_ALL: lambda _: self._program("restart"),
            Verb.START: lambda service: self._of_service("start", service),
            Verb.STOP: lambda service: self._of_service("stop", service),
            Verb.RESTART: lambda service: self._of_service("restart", service),
            Verb.OPEN_LOG: lambda service: self._show(self._paths.logs / f"{service}.log"),
            Verb.OPEN_LOGS: lambda _: self._show(self._paths.logs),
            Verb.OPEN_DATA: lambda _: self._show(self._paths.data),
            Verb.OPEN_CONFIGURATION: lambda _: self._show(self._configuration_file()),
            Verb.RUN_NOW: lambda schedule: self._run_now(int(schedule)),
            Verb.CANCEL: lambda run: self._cancel(int(run)),
            Verb.PAUSE: lambda length: self.web_service(self._url()).pause(length),
            Verb.RESUME: lambda _: self.web_service(self._url()).resume(),
            Verb.START_AT_LOGIN: lambda _: self._switch_login_start(),
            Verb.NOTIFY: lambda _: self._switch_notifications(),
            Verb.CHECK_UP: lambda _: self._check_up(),
            Verb.CLOSE: lambda _: self._quit(),
            Verb.STOP_AND_QUIT: lambda _: self._stop_and_quit(times=1),
            Verb.KILL_AND_QUIT: lambda _: self._stop_and_quit(times=2),
        }

    def carry_out(self, command: Command) -> News | None:
        """Do what was clicked; return what the person should be told, if anything. Raises CommandError."""
        try:
            return self._actions[command.verb](command.subject)
        except (SupervisorError, WebServiceError, FolderError, OSError) as error:
            raise CommandError(str(error)) from error

    def web_service(self, url: str) -> WebService:
        return WebService(url, secret_key(self._config, self._paths))

    def _open_page(self, place: str) -> None:
        """Open a page of the admin, signed in by a link that works once."""
        token = login_token.mint(secret_key(self._config, self._paths), time.time())
        following = f"?next=/{place}" if place else ""
        if not webbrowser.open(f"{self._url()}login/{following}#{token}"):
            raise CommandError(f"cannot open a browser: there is none; the admin is at {self._url()}")

    def _url(self) -> str:
        return str(ask(self._paths, {"do": "status"})["url"])

    def _program(self, *arguments: str) -> None:
        """Run a verb of the command line, for this configuration; raise CommandError with what it says."""
        done = self._run(*arguments)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise CommandError(said or f"scheduler-app {arguments[0]} ended with exit code {done.returncode}")

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return platforms.run_hidden(
            [sys.executable, "-m", "scheduler_app", *arguments],
            env={**os.environ, **self._config.as_environment(), "PYTHONIOENCODING": "utf-8"},
        )

    def _of_service(self, verb: str, service: str) -> None:
        ask(self._paths, {"do": verb, "service": service})

    def _show(self, path: Path) -> None:
        if not path.exists():
            raise CommandError(f"cannot open {path}: it is not there yet")
        platforms.show_to_person(path)

    def _configuration_file(self) -> Path:
        file = self._config.source or self._paths.data / "scheduler.toml"
        if not file.exists():
            file.write_text(NEW_CONFIGURATION, encoding="utf-8")
        return file

    def _run_now(self, schedule: int) -> News:
        run = self.web_service(self._url()).run_now(schedule)
        return News(NAME, f"Run {run} is on its way.", Command(Verb.OPEN_RUN, str(run)))

    def _cancel(self, run: int) -> None:
        self.web_service(self._url()).cancel(run)

    def _switch_login_start(self) -> None:
        if self.login_start.is_on():
            self.login_start.switch_off()
            return
        places = ["--data", str(self._paths.data)]
        if self._config.source is not None:
            places += ["--config", str(self._config.source)]
        self.login_start.switch_on([platforms.windowless_python(), "-m", "scheduler_app", *places, "tray", "--start"])

    def _switch_notifications(self) -> None:
        self._preferences.notifies = not self._preferences.notifies

    def _check_up(self) -> News:
        """Write the check-up's findings down and show them."""
        report = self._paths.run / "check-up.txt"
        done = self._run("doctor")
        report.write_text(done.stdout + done.stderr, encoding="utf-8")
        platforms.show_to_person(report)
        return News(
            f"{NAME}: check-up", "All is well." if done.returncode == 0 else "There are problems: see the list."
        )

    def _stop_and_quit(self, *, times: int) -> None:
        deadline = time.monotonic() + STOP_LIMIT
        try:
            for _ in range(times):
                ask(self._paths, {"do": "stop"})
            while time.monotonic() < deadline:
                ask(self._paths, {"do": "status"})
                time.sleep(LOOK_EVERY)
        except NotRunningError:
            self._quit()
            return
        raise CommandError(f"the scheduler has not stopped within {STOP_LIMIT:g} s; its logs tell why")
