"""`scheduler-app secret`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scheduler_app.commands.verbs.shared import Family, as_json, tell, tell_json, with_database

if TYPE_CHECKING:
    from scheduler_app.config import Config


@click.group(cls=Family)
def secret() -> None:
    """Store passwords and the like, encrypted; their values are never shown."""


@secret.command(name="list")
@with_database
@as_json
def list_secrets(_config: "Config", as_json: bool) -> None:
    """Show the names of all secrets, which schedules use them, and whether they can be read."""
    from scheduler_app.commands import secrets
    from scheduler_app.commands.tables import show_table

    if as_json:
        tell_json(secrets.all_as_json())
    else:
        show_table(secrets.HEADINGS, secrets.rows())


@secret.command(name="set")
@with_database
@click.argument("name")
@click.option(
    "--value-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Its first line; otherwise it is asked for, or read from a pipe.",
)
def set_secret(_config: "Config", name: str, value_file: Path | None) -> None:
    """Store the secret NAME, or give it another value; never on the command line, which others can read."""
    from scheduler_app.commands import passphrases, secrets

    secrets.store(name, passphrases.read("Value", value_file, new=True))
    tell(f"Stored the secret {name!r}.")


@secret.command(name="delete")
@with_database
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask, also when schedules use it.")
def delete_secret(_config: "Config", name: str, yes: bool) -> None:
    """Delete the secret NAME. Asks first at a terminal."""
    from scheduler_app.commands import secrets

    users = secrets.users_of(name)
    if not yes:
        used = f"; it is used by {', '.join(users)}" if users else ""
        click.confirm(f"Delete the secret {name!r}{used}?", abort=True, err=True)
    secrets.delete(name)
    tell(f"Deleted the secret {name!r}.")
