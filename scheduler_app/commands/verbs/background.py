"""`scheduler-app service`: have the system start everything."""

import sys
from pathlib import Path

import click

from scheduler_app.commands.problems import NOT_RUNNING, PROBLEM
from scheduler_app.commands.verbs.shared import (
    F,
    Family,
    configuration,
    places,
    snapshot_of,
    tell,
)


@click.group(cls=Family, name="service")
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
    running = snapshot_of(config)
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
