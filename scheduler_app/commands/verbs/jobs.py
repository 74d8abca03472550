"""`scheduler-app job`."""

import sys
from pathlib import Path

import click

from scheduler_app.commands.verbs.shared import PROBLEM, configuration, places, tell


@click.group()
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
