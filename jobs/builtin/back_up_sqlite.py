"""The built-in job that copies a SQLite database while others use it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated

from jobs import Check, JobFailed, Label, job
from jobs.builtin._files import existing_folder, say
from jobs.builtin._rotation import check_keep, check_name, new_file, prune

_PAGES = 1000  # copied at a time; between, others may write
_SUFFIX = ".sqlite3"


@job(title="Back up a SQLite database", group="Databases", permission="jobs.run_command")
def back_up_sqlite(
    database: Annotated[Path, Label("Database file")],
    target: Annotated[Path, Label("Folder for the copies")],
    name: Annotated[str, Check(check_name), Label("Beginning of their names")] = "database",
    keep: Annotated[int | None, Check(check_keep)] = 7,
) -> None:
    """Copy a SQLite database as it is at one moment, also while programs write to it, and check the copy.

    Args:
        database: The file of the database.
        target: It must exist: on a disk that is not mounted nothing is written.
        name: The time follows it.
        keep: How many copies of this name stay, the new one included. Empty: all.
    """
    folder = existing_folder(target, "write to")
    if not database.is_file():
        raise JobFailed(f"cannot back up {database}: there is no such file")
    with new_file(folder, name, _SUFFIX) as draft:
        try:
            with closing(_opened_to_read(database)) as source, closing(sqlite3.connect(draft)) as copy:
                source.backup(copy, pages=_PAGES, sleep=0.01)
                # The copy is a file of its own, without the log that a database in WAL mode has beside it.
                copy.execute("PRAGMA journal_mode=DELETE")
                problems = [row[0] for row in copy.execute("PRAGMA integrity_check(10)")]
                tables = copy.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
        except sqlite3.Error as error:
            raise JobFailed(f"cannot back up {database}: {error}") from error
        if problems != ["ok"]:
            listed = "\n".join(problems)
            raise JobFailed(f"the copy of {database} is damaged, as the database itself may be; not kept:\n{listed}")
    say(f"{tables} tables, checked")
    prune(folder, name, _SUFFIX, keep)


def _opened_to_read(database: Path) -> sqlite3.Connection:
    # as_uri() quotes what a URI cannot hold; mode=ro never makes a new, empty database.
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=60)
