"""`scheduler-app job`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scheduler_app.commands.problems import PROBLEM
from scheduler_app.commands.verbs.job_words import OneVerbEach
from scheduler_app.commands.verbs.shared import Family, as_json, configuration, places, tell, tell_json
from scheduler_app.commands.verbs.waiting import tell_started, wait_options

if TYPE_CHECKING:
    from jobs.registry import Job
    from scheduler_app.config import Config


@click.group(cls=Family)
def job() -> None:
    """Make a job of your own, or show which jobs there are."""


class _Running(OneVerbEach):
    """`job run`: the options of a job are its parameters and those of `job run`."""

    def verb_of(self, context: click.Context, job: "Job") -> click.Command:
        from scheduler_app.commands import job_options

        outer = context.params

        def start(**values: Any) -> None:
            parameters = job_options.take(job, values)
            # What stands in front of the job's name is the verb's for certain; behind it a parameter may be called so.
            chosen: dict[str, Any] = {name: outer.get(name) or values.get(name) for name in RUN_OPTIONS}
            _start(configuration(None, None), job.name, parameters, **chosen)

        params = [*job_options.options(job), *job_options.beside(self.params, job)]
        return click.Command(job.name, callback=start, params=params, help=job.description, short_help=job.summary)


RUN_OPTIONS = ("at", "delay", "expires", "priority", "queue", "key", "wait", "follow", "timeout", "as_json")


@job.group(name="run", cls=_Running, subcommand_metavar="JOB [PARAMETERS]...")
@places
@click.option("--at", metavar="MOMENT", help="Not before then, such as 2026-12-24T18:00.")
@click.option("--delay", metavar="TIME", help="Not before so long from now, such as 10m.")
@click.option("--expires", metavar="TIME", help="Not at all when it has not started so long after that.")
@click.option("--priority", type=int, metavar="0-255", help="Of the runs that wait, the highest goes first.")
@click.option("--queue", metavar="QUEUE", help="Only workers of this queue run it.")
@click.option("--key", metavar="TEXT", help="A second run with this key is not made; the first one is told.")
@wait_options
@as_json
def run_job(**_options: Any) -> None:
    """Run JOB now, or later; its parameters are options: see scheduler-app job run JOB --help."""
    # The options are read by _Running.


def _start(
    config: "Config",
    name: str,
    parameters: dict[str, Any],
    *,
    wait: bool,
    follow: bool,
    timeout: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    from scheduler_app.commands.database import opened

    with opened(config):
        from scheduler_app.commands import handing_over, runs

        if wait or follow:
            runs.require_worker()
        started = handing_over.start(name, parameters, **options)
        tell_started(started, wait=wait, follow=follow, timeout=timeout, as_json=as_json)


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
@as_json
def list_jobs(config_file: Path | None, data_folder: Path | None, as_json: bool) -> None:
    """Show all jobs, built-in and your own. Exits with 1 when a file of yours cannot be used."""
    from jobs.discovery import discover
    from scheduler_app.commands.own_jobs import job_as_json, job_rows
    from scheduler_app.commands.tables import show_table
    from scheduler_app.paths import Paths

    registry = discover(Paths.of(configuration(config_file, data_folder)).jobs)
    if as_json:
        tell_json([job_as_json(each) for each in registry.values()])
    else:
        show_table(("job", "group", "title", "defined in"), job_rows(registry))
    for problem in registry.problems:
        click.echo(f"Problem: {problem}", err=True)
    sys.exit(PROBLEM if registry.problems else 0)


@job.command(name="show")
@places
@click.argument("name")
@as_json
def show_job(config_file: Path | None, data_folder: Path | None, name: str, as_json: bool) -> None:
    """Show what the job NAME does, its parameters, and where it is defined."""
    from scheduler_app.commands.own_jobs import describe, found, job_as_json
    from scheduler_app.paths import Paths

    job = found(name, Paths.of(configuration(config_file, data_folder)).jobs)
    if as_json:
        tell_json(job_as_json(job))
    else:
        tell("\n".join(describe(job)))
