"""What verbs that start a run or wait for one have in common."""

import sys
from typing import TYPE_CHECKING, Any

import click

from scheduler_app.commands.verbs.shared import tell, tell_json

if TYPE_CHECKING:
    from jobs.models import Run


def wait_options(function: Any) -> Any:
    """Give a verb what is asked about waiting."""
    timeout = click.option("--timeout", metavar="TIME", type=Length(), help="Wait so long at most, such as 10m.")
    wait = click.option("--wait", is_flag=True, help="Wait until it has ended, and exit with its own exit code.")
    follow = click.option("-f", "--follow", is_flag=True, help="As --wait, and show what it prints meanwhile.")
    return wait(follow(timeout(function)))


class Length(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.4 on
    name = "time"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        from jobs.durations import parse_duration

        try:
            return parse_duration(value).total_seconds()
        except ValueError as error:
            self.fail(f"{value!r}: {error}", parameter, context)


def tell_started(started: "Run", *, wait: bool, follow: bool, timeout: float | None, as_json: bool) -> None:
    """Say that a run was recorded; where it is waited for, how it ends, and exit as it does."""
    from scheduler_app.commands import runs

    if wait or follow:
        if not as_json:
            click.echo(f"Run {started.pk}.", err=True)
        tell_end(started, follow=follow, timeout=timeout, as_json=as_json)
        return
    if as_json:
        tell_json(runs.as_json(started))
    else:
        tell(f"Run {started.pk}.")
    if not runs.is_anybody_working():
        click.echo("Nothing runs at present: it starts when the scheduler does (scheduler-app start).", err=True)


def tell_end(waited_for: "Run", *, follow: bool, timeout: float | None, as_json: bool) -> None:
    from scheduler_app.commands import following, runs, screens

    screen = screens.screen() if follow and not as_json else screens.silent()
    ended = following.follow(waited_for, screen, longest=timeout)
    if as_json:
        tell_json(runs.as_json(ended))
    else:
        click.echo(f"Run {ended.pk} {following.wording_of(ended)}.", err=True)
    sys.exit(runs.exit_code(ended))
