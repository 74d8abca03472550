"""What all verbs share: where the program lives, what it says, and how it ends."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from scheduler_app.config import Config

PROBLEM = 1
NOT_RUNNING = 3

F = TypeVar("F", bound=Callable[..., Any])


def places(function: F) -> F:
    """Give a command --config and --data, which win over those in front of the verb."""
    file = click.Path(dir_okay=False, path_type=Path)
    folder = click.Path(file_okay=False, path_type=Path)
    add_config = click.option("--config", "config_file", type=file, metavar="FILE", help="Configuration file to read.")
    add_data = click.option("--data", "data_folder", type=folder, metavar="DIR", help="Data folder to use.")
    return add_config(add_data(function))


def configuration(config_file: Path | None, data_folder: Path | None) -> "Config":
    from scheduler_app.config import load

    return load(*given_places(config_file, data_folder))


def given_places(config_file: Path | None, data_folder: Path | None) -> tuple[Path | None, Path | None]:
    outer = click.get_current_context().find_root().params
    return config_file or outer.get("config_file"), data_folder or outer.get("data_folder")


def tell(line: str) -> None:
    """Print a line at once: whoever reads a pipe waits for it. A terminal that was closed is no reason to stop."""
    try:
        print(line, flush=True)  # noqa: T201
    except OSError:
        # What is left in the buffer would fail again at exit.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def snapshot_of(config: "Config") -> dict[str, Any] | None:
    from scheduler_app.paths import Paths
    from scheduler_app.supervisor.control import NotRunningError, ask

    try:
        return ask(Paths.of(config), {"do": "status"})
    except NotRunningError:
        return None
