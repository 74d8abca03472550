"""From "start" to "ready" in front of a person: progress, the admin's address, the one-time login link, the browser."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from scheduler_app import platforms
from scheduler_app.commands.tables import failure_lines
from scheduler_app.config import Config
from scheduler_app.login_token import mint
from scheduler_app.paths import Paths, secret_key
from scheduler_app.supervisor.control import NotRunningError, ask
from scheduler_app.supervisor.instance import ALREADY_RUNNING, Instance
from scheduler_app.supervisor.service import SupervisorError

Snapshot = dict[str, Any]
Tell = Callable[[str], None]

SLOW_STEP = 1.0
"""Seconds after which a step is worth a line."""
LOOK_INTERVAL = 0.1
MOVING = frozenset({"waiting", "starting", "stopping", "insisting", "killing", "backoff"})
"""States of a service that will still change without anybody's help."""


class Progress:
    """Tells each slow step once, from snapshots."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told: set[str] = set()
        self._broker: Mapping[str, str] | None = None

    def show(self, snapshot: Snapshot, now: float) -> None:
        if self._broker is not None and self._broker != snapshot["broker"]:
            self._tell(f"Broker: {snapshot['broker']['kind']}; {snapshot['broker']['reason']}")
        self._broker = snapshot["broker"]
        for service in snapshot["services"]:
            if service["state"] == "starting" and now - service["since"] >= SLOW_STEP:
                self._tell_once(f"{service['step']} …")
            if service["state"] == "backoff":
                self._tell_once(f"{service['name']}: {service['reason']}; trying again …")

    def _tell_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._tell(line)


def follow_start(look: Callable[[], Snapshot | None], tell: Tell, given_up: threading.Event) -> Snapshot | None:
    """Show progress until nothing moves any more and return the last snapshot; None when *given_up* or stopping.

    *look* returns None while there is nothing to see yet.
    """
    progress = Progress(tell)
    while not given_up.wait(LOOK_INTERVAL):
        snapshot = look()
        if snapshot is None:
            continue
        if snapshot["state"] == "stopping":
            return None
        progress.show(snapshot, time.time())
        if not any(service["state"] in MOVING for service in snapshot["services"]):
            return snapshot
    return None


def announce(snapshot: Snapshot, config: Config, tell: Tell, *, browser: bool) -> None:
    """Tell where the admin is and how to sign in; what failed comes first."""
    for line in failure_lines(snapshot):
        tell(line)
    # packaging/run.py and people's scripts wait for this line.
    tell(f"{'Ready' if snapshot['state'] == 'running' else 'Running with problems'}: {snapshot['url']}")
    show_login_link(snapshot, config, tell, browser=browser)


def show_login_link(snapshot: Snapshot, config: Config, tell: Tell, *, browser: bool) -> None:
    """Tell a new one-time link and, where there is a display, open it."""
    link = f"{snapshot['url']}login/#{mint(secret_key(config, Paths.of(config)), time.time())}"
    tell(f"Sign in: {link}")
    if browser and platforms.has_display():
        import webbrowser  # noqa: PLC0415  # `run` stays in memory, mostly where there is no browser

        webbrowser.open(link)


def start_detached(config: Config, tell: Tell) -> Snapshot:
    """Start a supervisor that outlives this process and return its snapshot when it has started.

    Raises AlreadyRunningError when another one was quicker, SupervisorError with what it said when it ended.
    """
    paths = Paths.of(config)
    paths.prepare()
    said = paths.run / "start-output.txt"
    with said.open("wb") as output:
        process = _spawn_detached(config, output)
    ended = threading.Event()

    def look() -> Snapshot | None:
        try:
            snapshot = ask(paths, {"do": "status"})
        except NotRunningError:
            snapshot = None
        if process.poll() is not None and (snapshot is None or snapshot["pid"] != process.pid):
            ended.set()
        return snapshot

    snapshot = follow_start(look, tell, ended)
    if snapshot is None:
        if process.wait() == ALREADY_RUNNING:
            raise Instance(paths).refusal()
        raise SupervisorError(_what_it_said(said, paths))
    return snapshot


def _spawn_detached(config: Config, output: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **config.as_environment()}
    return platforms.spawn_detached([sys.executable, "-m", "scheduler_app.supervisor"], env=environment, output=output)


def _what_it_said(said: Path, paths: Paths) -> str:
    text = said.read_text(encoding="utf-8", errors="replace").strip()
    return text or f"cannot start: the supervisor ended without a word; see {paths.logs / 'supervisor.log'}"
