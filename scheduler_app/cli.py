"""Every command a person or a service manager types: where each is found, and how a problem is told.

A verb's module is imported when the verb is typed: `status` answers before Django would have been found.
"""

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from scheduler_app import platforms
from scheduler_app.commands.problems import NOT_RUNNING, PROBLEM, CommandProblem
from scheduler_app.commands.verbs.shared import Family, places

# Set by the scripts of `scheduler-app completion`, whatever the program is called.
COMPLETE = "_SCHEDULER_APP_COMPLETE"
# Where the verbs are, in the order of the help.
VERBS = {
    "run": "runs:run",
    "start": "services:start",
    "stop": "services:stop",
    "restart": "services:restart",
    "status": "services:status",
    "logs": "services:logs",
    "open": "services:open_admin",
    "tray": "services:tray",
    "job": "jobs:job",
    "export": "files:export_schedules",
    "plan": "files:plan",
    "apply": "files:apply",
    "schema": "files:schema",
    "import": "files:import_schedules",
    "schedule": "schedules:schedule",
    "config": "checking:config_group",
    "doctor": "checking:doctor",
    "service": "background:service_group",
    "secret": "secrets:secret",
    "backup": "backups:backup",
    "restore": "backups:restore",
    "completion": "completing:completion",
}


class Verbs(Family):
    """Finds verbs, and turns what the program knows to be wrong into a sentence on stderr and an exit code."""

    def __init__(self, *arguments: Any, verbs: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._verbs = verbs

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self._verbs)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in self._verbs:
            return None
        module, _, attribute = self._verbs[name].partition(":")
        command = getattr(importlib.import_module(f"scheduler_app.commands.verbs.{module}"), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is ours
        return command

    def main(self, *arguments: Any, **options: Any) -> Any:
        platforms.write_any_character()
        if COMPLETE in os.environ:
            from scheduler_app.commands.completion import register

            register()
        options.setdefault("complete_var", COMPLETE)
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
    from scheduler_app.config import ConfigError
    from scheduler_app.paths import FolderError
    from scheduler_app.platforms import ServiceManagerError
    from scheduler_app.supervisor.control import NotRunningError
    from scheduler_app.supervisor.service import SupervisorError

    if isinstance(error, CommandProblem):
        return error.code
    if isinstance(error, NotRunningError):
        return NOT_RUNNING
    known = ConfigError | FolderError | BrokerError | SupervisorError | JobError | ServiceManagerError
    return PROBLEM if isinstance(error, known) else None


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from scheduler_app.supervisor.main import program_version

        click.echo(f"scheduler-app {program_version()}")
        context.exit()


@click.group(
    cls=Verbs,
    verbs=VERBS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 fine, 1 a problem, 2 wrong usage, 3 not running.",
)
@places
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Say which.")
def main(config_file: Path | None, data_folder: Path | None) -> None:
    """Run commands, scripts, web requests and Python functions on a schedule."""
    # The places are read from the context, by given_places().
