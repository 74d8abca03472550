"""Whether everything is as it should be: `config`, `doctor`."""

import json
import sys
from pathlib import Path

import click

from scheduler_app.commands.problems import PROBLEM
from scheduler_app.commands.verbs.shared import Family, configuration, given_places, places, tell


@click.group(cls=Family, name="config")
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


@click.command()
@places
def doctor(config_file: Path | None, data_folder: Path | None) -> None:
    """Check Python, SQLite, folders, configuration, broker, job files and services; say what to do."""
    from scheduler_app.commands.doctor import check_up

    levels = set()
    for result in check_up(*given_places(config_file, data_folder)):
        tell(str(result))
        levels.add(result.level)
    sys.exit(PROBLEM if "problem" in levels else 0)
