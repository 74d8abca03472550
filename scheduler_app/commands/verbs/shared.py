"""What all verbs share: where the program lives, what it says, and how it ends."""

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from scheduler_app.config import Config

F = TypeVar("F", bound=Callable[..., Any])


class Family(click.Group):
    """A verb with verbs of its own; it says which may have been meant."""

    def resolve_command(self, context: click.Context, words: list[str]) -> Any:
        try:
            return super().resolve_command(context, words)
        except click.UsageError as error:
            from jobs.errors import near_names

            near = near_names(words[0], self.list_commands(context)) if words else []
            if not near:
                raise
            meant = f"{error.message.rstrip('.')}: did you mean {' or '.join(near)}?"
            raise click.UsageError(meant, ctx=error.ctx) from None


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


def configured(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the Config, out of --config and --data, as its first argument."""

    @places
    @functools.wraps(function)
    def with_config(config_file: Path | None, data_folder: Path | None, **others: Any) -> Any:
        return function(configuration(config_file, data_folder), **others)

    return with_config


def with_database(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the Config, as `configured`, and Django with the database."""

    @configured
    @functools.wraps(function)
    def with_django(config: "Config", **others: Any) -> Any:
        from scheduler_app.commands.database import opened

        with opened(config):
            return function(config, **others)

    return with_django


as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


def tell_json(value: Any) -> None:
    tell(json.dumps(value, indent=2, ensure_ascii=False))


def given_places(config_file: Path | None, data_folder: Path | None) -> tuple[Path | None, Path | None]:
    """Return the places given with the verb, or else with what stands in front of it, nearest first."""
    context: click.Context | None = click.get_current_context()
    while context is not None:
        config_file = config_file or context.params.get("config_file")
        data_folder = data_folder or context.params.get("data_folder")
        context = context.parent
    return config_file, data_folder


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
