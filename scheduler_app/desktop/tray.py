"""The tray's process: one thread looks, one carries out, one changes the icon; the main thread is the icon's."""

import logging
import queue
import shutil
import threading
import time
from datetime import datetime

from filelock import FileLock, Timeout

from scheduler_app.config import Config
from scheduler_app.desktop.commands import CommandError, Commands
from scheduler_app.desktop.icons import TrayIcon
from scheduler_app.desktop.menu import Command, Settings, Verb, menu
from scheduler_app.desktop.news import News, Newspaper
from scheduler_app.desktop.observation import Activity, Observation
from scheduler_app.desktop.preferences import Preferences
from scheduler_app.desktop.web_service import WebServiceError
from scheduler_app.desktop.wording import NAME, tooltip
from scheduler_app.paths import Paths
from scheduler_app.supervisor.control import NotRunningError, ask
from scheduler_app.supervisor.main import program_version
from scheduler_app.supervisor.service import SupervisorError

logger = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the supervisor; asking costs it less than a millisecond."""
ACTIVITY_EVERY = 3.0
"""Seconds between two questions to the web service."""
LITTLE_ROOM = 200_000_000
"""Bytes: a log rotates at a few MB, a database grows by some a day; below this there is no day left to react."""
NO_HOST_AFTER = 5.0
"""Seconds after which a missing panel is told: at login the tray may be there before it."""


class TrayRunningError(Exception):
    """Another tray shows this data folder."""


class Tray:
    def __init__(self, config: Config, *, start: bool) -> None:
        """*start* has everything started that is not running yet."""
        self._paths = Paths.of(config)
        self._start = start
        self._clicks: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._preferences = Preferences(self._paths.data / "tray.json")
        self._ended = threading.Event()
        self._look_now = threading.Event()
        self._newspaper = Newspaper()
        self._commands = Commands(config, self._preferences, self.quit)
        self._activity: Activity | None = None
        self._ask_at = 0.0
        self._host_missing_since: float | None = None
        self._icon = TrayIcon(self._clicks.put, self._on_host, self.quit)

    def run(self) -> None:
        """Show the icon until the person quits or the session ends; raise TrayRunningError when another one does."""
        lock = FileLock(self._paths.run / "tray.lock", timeout=0, is_singleton=False)
        try:
            with lock:
                self._icon.run(self._begin)
        except Timeout:
            raise TrayRunningError("The tray icon is shown already.") from None
        finally:
            self._ended.set()
            self._look_now.set()

    def quit(self) -> None:
        """Take the icon away; what runs goes on."""
        self._ended.set()
        self._look_now.set()
        self._icon.stop()

    def _begin(self) -> None:
        if self._start:
            self._clicks.put(Command(Verb.START_ALL))
        threading.Thread(target=self._keep_looking, name="look", daemon=True).start()
        threading.Thread(target=self._keep_carrying_out, name="commands", daemon=True).start()

    def _keep_looking(self) -> None:
        while not self._ended.is_set():
            try:
                self._show(self._look())
            except Exception:
                # A tray without a picture of what is going on is worse than one that misses a look.
                logger.exception("cannot show what is going on")
            self._look_now.wait(LOOK_EVERY)
            self._look_now.clear()

    def _look(self) -> Observation:
        try:
            snapshot = ask(self._paths, {"do": "status"})
        except NotRunningError:
            self._activity = None
            return Observation()
        except SupervisorError as error:
            return Observation(state="failing", problem=str(error))
        if time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + ACTIVITY_EVERY
            self._activity = self._ask_web_service(snapshot["url"])
        return Observation.of_snapshot(snapshot, self._activity, self._disk_is_low())

    def _disk_is_low(self) -> str:
        free = shutil.disk_usage(self._paths.data).free
        return f"{free // 1_000_000:,} MB are left where {self._paths.data} is." if free < LITTLE_ROOM else ""

    def _ask_web_service(self, url: str) -> Activity | None:
        try:
            return self._commands.web_service(url).activity()
        except WebServiceError as error:
            logger.debug("%s", error)  # the state of the service is in the snapshot
            return None

    def _show(self, seen: Observation) -> None:
        now = datetime.now().astimezone()
        settings = Settings(self._commands.login_start.is_on(), self._preferences.notifies)
        self._icon.show(seen.look, tooltip(seen, now), menu(seen, settings, program_version(), now))
        for news in self._newspaper.issue(seen):
            if settings.notifies:
                self._icon.notify(news)
        if self._host_missing_since is not None and time.monotonic() - self._host_missing_since >= NO_HOST_AFTER:
            self._host_missing_since = None
            self._icon.notify(NO_HOST)

    def _keep_carrying_out(self) -> None:
        while True:
            command = self._clicks.get()
            try:
                news = self._commands.carry_out(command)
            except CommandError as error:
                news = News(f"{NAME}: cannot {command.verb}", str(error)).clipped()
            if news is not None and not self._ended.is_set():
                self._icon.notify(news)
            self._ask_at = 0.0
            self._look_now.set()

    def _on_host(self, there: bool) -> None:
        self._host_missing_since = None if there else time.monotonic()
        if not there:
            logger.warning("%s: %s", NO_HOST.title, NO_HOST.text)


NO_HOST = News(
    "The tray icon cannot be seen",
    "No panel here shows tray icons. On GNOME, install the extension AppIndicator and KStatusNotifierItem Support"
    " (Debian, Ubuntu: gnome-shell-extension-appindicator). Click to open the admin.",
    Command(Verb.OPEN_ADMIN),
)
