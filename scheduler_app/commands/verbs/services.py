"""Starting, stopping and looking at the services."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scheduler_app.commands.problems import NOT_RUNNING, PROBLEM
from scheduler_app.commands.verbs.shared import configuration, places, snapshot_of, tell

if TYPE_CHECKING:
    from scheduler_app.config import Config


def run_everything(config: "Config", *, headless: bool, no_browser: bool) -> None:
    """Run in the foreground until Ctrl-C; a second Ctrl-C does not wait for running jobs."""
    from scheduler_app.commands.starting import announce, follow_start
    from scheduler_app.commands.tray import launch_tray
    from scheduler_app.supervisor.main import Snapshot, supervise
    from scheduler_app.supervisor.service import SupervisorError
    from scheduler_app.supervisor.services import application_services

    ended = threading.Event()
    icons: list[subprocess.Popen[bytes] | None] = []

    def accompany(look: Snapshot) -> None:
        # A supervisor that has ended answers no more; why it ended is told below.
        with contextlib.suppress(SupervisorError):
            started = follow_start(look, tell, ended)
            if started is not None:
                announce(started, config, tell, browser=not (headless or no_browser))
                if not headless:
                    icons.append(launch_tray(config))

    def on_start(look: Snapshot) -> None:
        threading.Thread(target=accompany, args=(look,), name="progress", daemon=True).start()

    def on_stop(reason: str) -> None:
        tell("Stopping now …" if ended.is_set() else f"Stopping ({reason}) …")
        ended.set()

    try:
        supervise(config, os.environ, application_services, on_start=on_start, on_stop=on_stop)
    finally:
        for icon in icons:
            if icon is not None:
                icon.terminate()
    tell("Stopped.")


@click.command()
@places
@click.argument("service", required=False)
@click.option("--headless", is_flag=True, help="There is nobody in front of a screen.")
@click.option("--no-browser", is_flag=True, help="Do not open the admin in a browser.")
def start(
    config_file: Path | None, data_folder: Path | None, service: str | None, headless: bool, no_browser: bool
) -> None:
    """Start everything in the background and wait until it is ready; with SERVICE, start that one again."""
    config = configuration(config_file, data_folder)
    if service is not None:
        _command("start", service, config)
        return
    running = snapshot_of(config)
    if running is not None:
        tell(f"The scheduler runs already at {running['url']} (process {running['pid']}).")
        return
    from scheduler_app.supervisor.instance import AlreadyRunningError

    try:
        _start(config, browser=not (headless or no_browser), icon=not headless)
    except AlreadyRunningError as error:
        tell(str(error))  # somebody else's start was quicker: what was wanted is the case


def _start(config: "Config", *, browser: bool, icon: bool) -> None:
    from scheduler_app.commands.starting import announce, start_detached
    from scheduler_app.commands.tray import launch_tray

    snapshot = start_detached(config, tell)
    announce(snapshot, config, tell, browser=browser)
    if icon:
        launch_tray(config)
    if snapshot["state"] != "running":
        sys.exit(PROBLEM)


@click.command()
@places
@click.argument("service", required=False)
@click.option("--now", is_flag=True, help="Do not let running jobs finish; they count as interrupted.")
def stop(config_file: Path | None, data_folder: Path | None, service: str | None, now: bool) -> None:
    """Stop everything and wait until it has ended; with SERVICE, stop that one only."""
    config = configuration(config_file, data_folder)
    if service is not None:
        if now:
            raise click.UsageError("--now is for everything: leave SERVICE out")
        _command("stop", service, config)
        return
    from scheduler_app.commands.stopping import stop_all

    stop_all(config, tell, now=now)
    tell("Stopped.")


@click.command()
@places
@click.argument("service", required=False)
def restart(config_file: Path | None, data_folder: Path | None, service: str | None) -> None:
    """Stop everything, where it runs, and start it in the background; with SERVICE, that one only."""
    config = configuration(config_file, data_folder)
    if service is not None:
        _command("restart", service, config)
        return
    if snapshot_of(config) is not None:
        from scheduler_app.commands.stopping import stop_all

        stop_all(config, tell)
        tell("Stopped.")
    _start(config, browser=False, icon=False)


def _command(verb: str, service: str, config: "Config") -> None:
    from scheduler_app.paths import Paths
    from scheduler_app.supervisor.control import ask

    ask(Paths.of(config), {"do": verb, "service": service})
    tell(f"Asked {service} to {verb}; `scheduler-app status` shows its state.")


@click.command()
@places
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(config_file: Path | None, data_folder: Path | None, as_json: bool) -> None:
    """Show what runs. Exits with 1 when a service is not as it should be, with 3 when nothing runs."""
    from scheduler_app.commands.tables import failure_lines, service_rows, show_table, status_lines

    config = configuration(config_file, data_folder)
    snapshot = snapshot_of(config)
    if snapshot is None:
        data = str(config.data.folder)
        tell(
            json.dumps({"state": "stopped", "data_folder": data}) if as_json else f"The scheduler is stopped ({data})."
        )
        sys.exit(NOT_RUNNING)
    if as_json:
        tell(json.dumps(snapshot, indent=2))
    else:
        tell("\n".join([*status_lines(snapshot), ""]))
        show_table(("service", "state", "process", "for", "restarts"), service_rows(snapshot, time.time()))
        for line in failure_lines(snapshot):
            tell(line)
    sys.exit(PROBLEM if snapshot["state"] in ("failing", "degraded") else 0)


@click.command()
@places
@click.argument("service", required=False)
@click.option("-f", "--follow", is_flag=True, help="Show what comes, too, until Ctrl-C.")
@click.option("-n", "--lines", default=20, show_default=True, type=click.IntRange(0), help="Last lines to show.")
def logs(config_file: Path | None, data_folder: Path | None, service: str | None, follow: bool, lines: int) -> None:
    """Show the log of SERVICE (web, beat, worker-1, broker, supervisor, …), or of all."""
    from scheduler_app.commands.logs import log_files, show_logs
    from scheduler_app.paths import Paths

    folder = Paths.of(configuration(config_file, data_folder)).logs
    show_logs(log_files(folder, service), lines, click.echo, follow=follow)


@click.command(name="open")
@places
@click.option("--no-browser", is_flag=True, help="Print the link only.")
def open_admin(config_file: Path | None, data_folder: Path | None, no_browser: bool) -> None:
    """Make a new one-time login link and open it in the browser, where there is a display."""
    from scheduler_app.commands.starting import show_login_link
    from scheduler_app.paths import Paths
    from scheduler_app.supervisor.control import ask

    config = configuration(config_file, data_folder)
    snapshot = ask(Paths.of(config), {"do": "status"})
    show_login_link(snapshot, config, tell, browser=not no_browser)


@click.command()
@places
@click.option("--start", is_flag=True, help="Start everything, too, where it does not run.")
def tray(config_file: Path | None, data_folder: Path | None, start: bool) -> None:
    """Show the icon in the tray: it starts and stops everything and says how it is, until it is told to quit."""
    from scheduler_app.commands.tray import show_tray

    show_tray(configuration(config_file, data_folder), start=start)
