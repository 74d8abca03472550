"""The built-in job that dumps a PostgreSQL database by pg_dump."""

from pathlib import Path
from typing import Annotated

from jobs import Check, JobFailed, Label, SecretText, job
from jobs.builtin import _dumps
from jobs.builtin._files import existing_folder
from jobs.builtin._rotation import check_keep, check_name, new_file, prune

_SUFFIX = ".dump"


@job(title="Back up a PostgreSQL database", group="Databases", permission="jobs.run_command")
def back_up_postgresql(
    database: str,
    target: Annotated[Path, Label("Folder for the dumps")],
    host: str = "",
    port: int | None = None,
    user: str = "",
    password: SecretText | None = None,
    name: Annotated[str, Check(check_name), Label("Beginning of their names")] = "postgresql",
    keep: Annotated[int | None, Check(check_keep)] = 7,
) -> None:
    """Dump a PostgreSQL database in pg_dump's own compressed format, and read its table of contents back.

    It is restored by pg_restore. Needs PostgreSQL's client programs, of the server's version or newer.

    Args:
        database: The database's name.
        target: It must exist: on a disk that is not mounted nothing is written.
        host: Name or address of the server. Empty: this machine, or what PGHOST says.
        port: Empty: 5432, or what PGPORT says.
        user: Empty: the user the scheduler runs as, or what PGUSER says.
        password: Empty: none, or what the file .pgpass says.
        name: The time follows it.
        keep: How many dumps of this name stay, the new one included. Empty: all.
    """
    folder = existing_folder(target, "write to")
    if database.startswith("-"):
        raise JobFailed(f"cannot back up the database {database!r}: a name cannot begin with -")
    pg_dump = _dumps.program(("pg_dump",), "PostgreSQL's client programs (Debian: postgresql-client)")
    pg_restore = _dumps.program(("pg_restore",), "PostgreSQL's client programs (Debian: postgresql-client)")
    given = {"PGHOST": host, "PGPORT": str(port or ""), "PGUSER": user, "PGDATABASE": database}
    environment = {variable: value for variable, value in given.items() if value}
    if password is not None:
        environment["PGPASSWORD"] = password.get_secret_value()
    with new_file(folder, name, _SUFFIX) as draft:
        # In the environment a text with a "=" or "://" is a name, where -d would read it as a whole connection.
        _dumps.run([pg_dump, "--format=custom", "--no-password", f"--file={draft}"], environment)
        _dumps.run([pg_restore, "--list", str(draft)], {})
    prune(folder, name, _SUFFIX, keep)
