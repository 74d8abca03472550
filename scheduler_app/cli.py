"""Every command a person or a service manager types. What they do is in scheduler_app.commands.

Each verb imports what it needs when it is called: `status` answers before Django would have been found.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scheduler_app import platforms

if TYPE_CHECKING:
    from scheduler_app.config import Config

PROBLEM = 1
NOT_RUNNING = 3

F = TypeVar("F", bound=Callable[..., Any])


class Verbs(click.Group):
    """Turns what the program knows to be wrong into a sentence on stderr and an exit code."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        platforms.write_any_character()
        return super().main(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            code = _exit_code(error)
            if code is None:
                raise
            click.echo(str(error), err=True)
            context.exit(code)


def _exit_code(error: Exception) -> int | None:
    """Return the exit code for an error that explains itself, None for a defect of the program."""
    from jobs.errors import JobError
    from scheduler_app.broker import BrokerError
    from scheduler_app.commands.own_jobs import OwnJobError
    from scheduler_app.commands.tray import TrayError
    from scheduler_app.config import ConfigError
    from scheduler_app.paths import FolderError
    from scheduler_app.platforms import ServiceManagerError
    from scheduler_app.supervisor.control import NotRunningError
    from scheduler_app.supervisor.service import SupervisorError

    if isinstance(error, NotRunningError):
        return NOT_RUNNING
    known = (
        ConfigError
        | FolderError
        | BrokerError
        | SupervisorError
        | OwnJobError
        | JobError
        | TrayError
        | ServiceManagerError
    )
    return PROBLEM if isinstance(error, known) else None


def places(function: F) -> F:
    """Give a command --config and --data, which win over those in front of the verb."""
    file = click.Path(dir_okay=False, path_type=Path)
    folder = click.Path(file_okay=False, path_type=Path)
    add_config = click.option("--config", "config_file", type=file, metavar="FILE", help="Configuration file to read.")
    add_data = click.option("--data", "data_folder", type=folder, metavar="DIR", help="Data folder to use.")
    return add_config(add_data(function))


def configuration(config_file: Path | None, data_folder: Path | None) -> "Config":
    from scheduler_app.config import load

    return load(*_places(config_file, data_folder))


def _places(config_file: Path | None, data_folder: Path | None) -> tuple[Path | None, Path | None]:
    outer = click.get_current_context().find_root().params
    return config_file or outer.get("config_file"), data_folder or outer.get("data_folder")


def tell(line: str) -> None:
    """Print a line at once: whoever reads a pipe waits for it. A terminal that was closed is no reason to stop."""
    try:
        print(line, flush=True)  # noqa: T201
    except OSError:
        # What is left in the buffer would fail again at exit.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from scheduler_app.supervisor.main import program_version

        click.echo(f"scheduler-app {program_version()}")
        context.exit()


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 fine, 1 a problem, 2 wrong usage, 3 not running.",
)
@places
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Say which.")
def main(config_file: Path | None, data_folder: Path | None) -> None:
    """Run commands, scripts, web requests and Python functions on a schedule."""
    # The places are read from the context, by _places().


@main.command()
@places
@click.option("--headless", is_flag=True, help="There is nobody in front of a screen.")
@click.option("--no-browser", is_flag=True, help="Do not open the admin in a browser.")
def run(config_file: Path | None, data_folder: Path | None, headless: bool, no_browser: bool) -> None:
    """Run everything in the foreground until Ctrl-C; a second Ctrl-C does not wait for running jobs."""
    from scheduler_app.commands.starting import announce, follow_start
    from scheduler_app.commands.tray import launch_tray
    from scheduler_app.supervisor.main import Snapshot, supervise
    from scheduler_app.supervisor.service import SupervisorError
    from scheduler_app.supervisor.services import application_services

    config = configuration(config_file, data_folder)
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


@main.command()
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
    running = _snapshot(config)
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


@main.command()
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


@main.command()
@places
@click.argument("service", required=False)
def restart(config_file: Path | None, data_folder: Path | None, service: str | None) -> None:
    """Stop everything, where it runs, and start it in the background; with SERVICE, that one only."""
    config = configuration(config_file, data_folder)
    if service is not None:
        _command("restart", service, config)
        return
    if _snapshot(config) is not None:
        from scheduler_app.commands.stopping import stop_all

        stop_all(config, tell)
        tell("Stopped.")
    _start(config, browser=False, icon=False)


def _command(verb: str, service: str, config: "Config") -> None:
    from scheduler_app.paths import Paths
    from scheduler_app.supervisor.control import ask

    ask(Paths.of(config), {"do": verb, "service": service})
    tell(f"Asked {service} to {verb}; `scheduler-app status` shows its state.")


def _snapshot(config: "Config") -> dict[str, Any] | None:
    from scheduler_app.paths import Paths
    from scheduler_app.supervisor.control import NotRunningError, ask

    try:
        return ask(Paths.of(config), {"do": "status"})
    except NotRunningError:
        return None


@main.command()
@places
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(config_file: Path | None, data_folder: Path | None, as_json: bool) -> None:
    """Show what runs. Exits with 1 when a service is not as it should be, with 3 when nothing runs."""
    from scheduler_app.commands.tables import failure_lines, service_rows, show_table, status_lines

    config = configuration(config_file, data_folder)
    snapshot = _snapshot(config)
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


@main.command()
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


@main.command(name="open")
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


@main.command()
@places
@click.option("--start", is_flag=True, help="Start everything, too, where it does not run.")
def tray(config_file: Path | None, data_folder: Path | None, start: bool) -> None:
    """Show the icon in the tray: it starts and stops everything and says how it is, until it is told to quit."""
    from scheduler_app.commands.tray import show_tray

    show_tray(configuration(config_file, data_folder), start=start)


@main.group(name="service")
def service_group() -> None:
    """Have the system start everything and keep it running: systemd, launchd, Windows' Task Scheduler."""


def service_options(function: F) -> F:
    system = click.option("--system", is_flag=True, help="From boot on, without anybody signed in (systemd, as root).")
    return places(system(function))


@service_group.command(name="install")
@service_options
def install_service(config_file: Path | None, data_folder: Path | None, system: bool) -> None:
    """Start everything now, and from now on whenever you sign in (or, with --system, at boot)."""
    from scheduler_app.commands import background

    config = configuration(config_file, data_folder)
    running = _snapshot(config)
    if running is not None:
        tell(f"The scheduler runs already (process {running['pid']}): stop it first, with scheduler-app stop.")
        sys.exit(PROBLEM)
    tell(background.install(config, system=system))


@service_group.command(name="remove")
@service_options
def remove_service(config_file: Path | None, data_folder: Path | None, system: bool) -> None:
    """Stop everything and have the system forget it; nothing of the data is touched."""
    from scheduler_app.commands import background

    tell(background.remove(configuration(config_file, data_folder), system=system))


@service_group.command(name="status")
@service_options
def service_status(config_file: Path | None, data_folder: Path | None, system: bool) -> None:
    """Say what the system's service manager says. Exits with 3 when nothing is installed or it does not run."""
    from scheduler_app.commands import background

    said = background.status(configuration(config_file, data_folder), system=system)
    tell(said)
    sys.exit(0 if said in {"active", "running"} else NOT_RUNNING)


@main.group(name="config")
def config_group() -> None:
    """Check or show the configuration."""


@config_group.command()
@places
def check(config_file: Path | None, data_folder: Path | None) -> None:
    """Say whether the configuration can be used, and all that is wrong with it."""
    config = configuration(config_file, data_folder)
    tell(f"The configuration is fine ({config.source or 'defaults, no scheduler.toml'}).")


@config_group.command()
@places
def show(config_file: Path | None, data_folder: Path | None) -> None:
    """Show every setting and where it was set; secrets are masked."""
    from scheduler_app.commands.tables import show_table
    from scheduler_app.config import masked

    settings = masked(configuration(config_file, data_folder))
    rows = [(name, json.dumps(shown.value, ensure_ascii=False), shown.origin) for name, shown in settings.items()]
    show_table(("setting", "value", "set by"), rows)


@main.group()
def job() -> None:
    """Make a job of your own, or show which jobs there are."""


@job.command(name="new")
@places
@click.argument("name")
def new_job(config_file: Path | None, data_folder: Path | None, name: str) -> None:
    """Write a working, commented file for a job called NAME into your jobs folder."""
    from scheduler_app.commands.own_jobs import write_template
    from scheduler_app.paths import Paths

    paths = Paths.of(configuration(config_file, data_folder))
    paths.prepare()
    file = write_template(name, paths.jobs)
    tell(f"Wrote {file}. Change it as you like: the admin offers it at once, and each run reads it anew.")


@job.command(name="list")
@places
def list_jobs(config_file: Path | None, data_folder: Path | None) -> None:
    """Show all jobs, built-in and your own. Exits with 1 when a file of yours cannot be used."""
    from jobs.discovery import discover
    from scheduler_app.commands.own_jobs import job_rows
    from scheduler_app.commands.tables import show_table
    from scheduler_app.paths import Paths

    registry = discover(Paths.of(configuration(config_file, data_folder)).jobs)
    show_table(("job", "group", "title", "defined in"), job_rows(registry))
    for problem in registry.problems:
        click.echo(f"Problem: {problem}", err=True)
    sys.exit(PROBLEM if registry.problems else 0)


@job.command(name="show")
@places
@click.argument("name")
def show_job(config_file: Path | None, data_folder: Path | None, name: str) -> None:
    """Show what the job NAME does, its parameters, and where it is defined."""
    from scheduler_app.commands.own_jobs import describe
    from scheduler_app.paths import Paths

    for line in describe(name, Paths.of(configuration(config_file, data_folder)).jobs):
        tell(line)


@main.command()
@places
def doctor(config_file: Path | None, data_folder: Path | None) -> None:
    """Check Python, SQLite, folders, configuration, broker, job files and services; say what to do."""
    from scheduler_app.commands.doctor import check_up

    levels = set()
    for result in check_up(*_places(config_file, data_folder)):
        tell(str(result))
        levels.add(result.level)
    sys.exit(PROBLEM if "problem" in levels else 0)
