"""`scheduler-app run`: everything in the foreground, or what has run and is running."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scheduler_app.commands.verbs.shared import Family, as_json, configuration, places, tell, tell_json, with_database
from scheduler_app.commands.verbs.waiting import Length, tell_end, tell_started, wait_options

if TYPE_CHECKING:
    from scheduler_app.config import Config

NUMBER = click.IntRange(1)
STATES = (
    "pending",
    "queued",
    "running",
    "succeeded",
    "failed",
    "timed_out",
    "cancelled",
    "interrupted",
    "skipped",
    "missed",
)


@click.group(cls=Family, invoke_without_command=True)
@places
@click.option("--headless", is_flag=True, help="There is nobody in front of a screen.")
@click.option("--no-browser", is_flag=True, help="Do not open the admin in a browser.")
@click.pass_context
def run(
    context: click.Context, config_file: Path | None, data_folder: Path | None, headless: bool, no_browser: bool
) -> None:
    """Run everything in the foreground until Ctrl-C; with a verb: show, follow, cancel and repeat runs.

    A second Ctrl-C does not wait for running jobs.
    """
    if context.invoked_subcommand is not None:
        if headless or no_browser:
            raise click.UsageError("--headless and --no-browser are for running everything: leave them out")
        return
    from scheduler_app.commands.verbs.services import run_everything

    run_everything(configuration(config_file, data_folder), headless=headless, no_browser=no_browser)


@run.command(name="list")
@with_database
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="Only in this state; may be repeated."
)
@click.option("--job", metavar="JOB", help="Only runs of this job.")
@click.option("--schedule", metavar="SCHEDULE", help="Only runs of this schedule: its name or number.")
@click.option(
    "-n", "--number", "count", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many."
)
@click.option("--before", type=NUMBER, metavar="RUN", help="Only older ones than this run.")
@as_json
def list_runs(
    _config: "Config",
    states: tuple[str, ...],
    job: str | None,
    schedule: str | None,
    count: int,
    before: int | None,
    as_json: bool,
) -> None:
    """Show the newest runs."""
    from scheduler_app.commands import runs, schedules
    from scheduler_app.commands.tables import show_table

    of = None if schedule is None else schedules.found(schedule).pk
    newest = runs.newest(count, states=states, schedule=of, job=job, before=before)
    if as_json:
        tell_json([runs.as_json(each) for each in newest])
    else:
        show_table(runs.HEADINGS, runs.rows(newest))


@run.command(name="show")
@with_database
@click.argument("number", type=NUMBER, metavar="RUN")
@as_json
def show_run(_config: "Config", number: int, as_json: bool) -> None:
    """Show all about RUN, and how it came to be as it is, step by step."""
    from scheduler_app.commands import runs

    found = runs.found(number)
    if as_json:
        tell_json(runs.as_json(found) | {"steps": runs.steps_as_json(found)})
    else:
        tell("\n".join(runs.lines(found)))


@run.command(name="logs")
@with_database
@click.argument("number", type=NUMBER, metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Show what comes, too, until the run has ended.")
@as_json
def show_output(_config: "Config", number: int, follow: bool, as_json: bool) -> None:
    """Show what RUN printed: its output on the standard output, its errors on the standard error output."""
    from scheduler_app.commands import following, runs, screens

    found, screen = runs.found(number), screens.screen(as_json=as_json)
    if follow:
        following.follow(found, screen)
    else:
        following.show(found, screen)


@run.command(name="cancel")
@with_database
@click.argument("numbers", type=NUMBER, metavar="RUN...", nargs=-1, required=True)
def cancel_runs(_config: "Config", numbers: tuple[int, ...]) -> None:
    """Cancel each RUN: it does not start, or its processes are ended. Exits with 1 when one had already ended."""
    from django.utils import timezone

    from jobs import cancelling
    from scheduler_app.commands import runs
    from scheduler_app.commands.problems import PROBLEM

    late = False
    for number in numbers:
        runs.found(number)
        if cancelling.cancel(number, by=runs.by(), now=timezone.now()):
            tell(f"Run {number} is being cancelled.")
        else:
            late = True
            click.echo(f"cannot cancel run {number}: it had already ended", err=True)
    sys.exit(PROBLEM if late else 0)


@run.command(name="retry")
@with_database
@click.argument("number", type=NUMBER, metavar="RUN")
@wait_options
@as_json
def retry_run(_config: "Config", number: int, wait: bool, follow: bool, timeout: float | None, as_json: bool) -> None:
    """Run RUN again, with the same job and parameters, as a new run."""
    from jobs import starting
    from scheduler_app.commands import runs

    found = runs.found(number)
    if wait or follow:
        runs.require_worker()
    tell_started(starting.start_again(found, by=runs.by()), wait=wait, follow=follow, timeout=timeout, as_json=as_json)


@run.command(name="wait")
@with_database
@click.argument("number", type=NUMBER, metavar="RUN")
@click.option("--timeout", metavar="TIME", type=Length(), help="Wait so long at most, such as 10m.")
@as_json
def wait_for_run(_config: "Config", number: int, timeout: float | None, as_json: bool) -> None:
    """Wait until RUN and its further attempts have ended, and exit with the exit code of the last one."""
    from jobs.states import ACTIVE
    from scheduler_app.commands import runs

    found = runs.found(number)
    if found.state in ACTIVE:
        runs.require_worker()
    tell_end(found, follow=False, timeout=timeout, as_json=as_json)
