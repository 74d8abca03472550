"""`scheduler-app export`, `plan`, `apply`, `schema` and `import`: schedules in files, and other programs' schedules."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scheduler_app.commands.problems import PROBLEM
from scheduler_app.commands.verbs.shared import as_json, tell, tell_json, with_database

if TYPE_CHECKING:
    from scheduler_app.config import Config

CHANGES = 2
# As `scheduler_app.commands.schedule_files.READERS` has them; its import takes Django.
KINDS = ("crontab", "cronicle")

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_adopt = click.option(
    "--adopt", is_flag=True, help="Take over schedules of the same names that the file does not own yet."
)


@click.command(name="export")
@with_database
@click.argument("names", nargs=-1, metavar="[SCHEDULE]...")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only schedules with this tag; may be repeated.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
@as_json
def export_schedules(
    _config: "Config", names: tuple[str, ...], tags: tuple[str, ...], output: Path | None, as_json: bool
) -> None:
    """Write schedules as schedules.toml: these, or all. Secrets are in it by name only."""
    from scheduler_app.commands.schedule_files import exported

    text = exported(names, tags, as_json=as_json)
    if output is None:
        tell(text.removesuffix("\n"))
        return
    try:
        output.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise click.FileError(str(output), error.strerror) from error


@click.command()
@with_database
@_file
@_adopt
@as_json
def plan(_config: "Config", file: Path, adopt: bool, as_json: bool) -> None:
    """Show what applying FILE would change; nothing is changed. Exits with 2 when that is something."""
    sys.exit(CHANGES if _change(file, adopt=adopt, as_json=as_json, only_tell=True) else 0)


@click.command()
@with_database
@_file
@_adopt
@as_json
def apply(_config: "Config", file: Path, adopt: bool, as_json: bool) -> None:
    """Make the schedules what FILE says, all or none: those that it owns, and new ones."""
    _change(file, adopt=adopt, as_json=as_json, only_tell=False)


def _change(file: Path, *, adopt: bool, as_json: bool, only_tell: bool) -> bool:
    from dataclasses import asdict

    from scheduler_app.commands.schedule_files import changes, lines_of

    found = changes(file, adopt=adopt, only_tell=only_tell)
    if as_json:
        tell_json({"changes": [asdict(change) for change in found]})
    else:
        tell("\n".join(lines_of(found)))
    return bool(found)


@click.command()
@with_database
def schema(_config: "Config") -> None:
    """Show the JSON Schema of files of schedules, for editors."""
    from beat_config.schedule_files import json_schema

    tell_json(json_schema())


@click.command(name="import")
@with_database
@click.argument("kind", type=click.Choice(KINDS), metavar="KIND")
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.option("--dry-run", is_flag=True, help="Only show what would be imported.")
@click.option("--enable", is_flag=True, help="Enable what was enabled there: else all arrive disabled.")
@click.option("--system", is_flag=True, help="The crontab names a user in each line, as /etc/crontab does.")
@as_json
def import_schedules(
    _config: "Config",
    kind: str,
    sources: tuple[str, ...],
    dry_run: bool,
    enable: bool,
    system: bool,
    as_json: bool,
) -> None:
    """Take over schedules of another program, and tell what could not be carried over: exits with 1 if anything was.

    KIND is one of: crontab, cronicle.
    """
    from dataclasses import asdict

    from scheduler_app.commands.schedule_files import bring, read_other

    found = [each for source in sources for each in read_other(kind, source, system=system)]
    results = bring(found, enable=enable, only_tell=dry_run)
    if as_json:
        tell_json({"schedules": [asdict(result) for result in results]})
    for result in () if as_json else results:
        tell(f"{'+' if result.done else '!'} {result.name} ({result.place})")
        for note in result.notes:
            tell(f"    {note}")
    done = sum(result.done for result in results)
    if not as_json:
        would = "would be " if dry_run else ""
        state = "" if enable else ", disabled"
        tell(f"{done} {would}imported{state}; {len(results) - done} not.")
    sys.exit(0 if done == len(results) else PROBLEM)
