"""`scheduler-app backup` and `restore`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scheduler_app.commands.verbs.shared import configured, tell, with_database

if TYPE_CHECKING:
    from scheduler_app.config import Config

FILE = click.Path(dir_okay=False, path_type=Path)
passphrase_file = click.option(
    "--passphrase-file",
    type=FILE,
    metavar="FILE",
    help="Its first line; otherwise it is asked for, or read from a pipe.",
)


@click.command()
@with_database
@click.argument("file", type=FILE, metavar="FILE")
@passphrase_file
def backup(config: "Config", file: Path, passphrase_file: Path | None) -> None:
    """Write everything into FILE, also while it runs: database, secrets, configuration and your jobs.

    Secrets and configuration are encrypted with a passphrase. Exits with 1 when a secret cannot be read.
    """
    from scheduler_app.commands import passphrases
    from scheduler_app.commands.backing_up import back_up
    from scheduler_app.commands.problems import PROBLEM

    made = back_up(config, file, passphrases.read("Passphrase", passphrase_file, new=True))
    what = f"the database, {made.secrets} secrets, {made.job_files} files of jobs"
    tell(f"Wrote {file} ({made.size / 1e6:,.1f} MB): {what}.")
    for reason in made.left_out:
        click.echo(f"Left out: {reason}", err=True)
    sys.exit(PROBLEM if made.left_out else 0)


@click.command()
@configured
@click.argument("file", type=FILE, metavar="FILE")
@passphrase_file
def restore(config: "Config", file: Path, passphrase_file: Path | None) -> None:
    """Put the backup FILE in place of what is in the data folder, which is kept aside; nothing may run."""
    from django.utils import timezone

    from scheduler_app.commands import passphrases
    from scheduler_app.commands.database import use_django

    use_django(config)
    from scheduler_app.commands.restoring import restore as put_in_place

    passphrase = passphrases.read("Passphrase", passphrase_file, new=False)
    restored = put_in_place(config, file, passphrase, now=timezone.now())
    made_at = restored.made_at[:19].replace("T", " ")
    tell(f"Restored what was backed up at {made_at} UTC, {restored.secrets} secrets with it.")
    if restored.aside is not None:
        tell(f"What was there before is in {restored.aside}.")
    tell("scheduler-app start starts it.")
