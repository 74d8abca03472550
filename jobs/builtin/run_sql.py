"""The built-in job that runs a query and writes its result as CSV."""

import csv
import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from jobs import Check, Code, JobFailed, Label, SecretText, job
from jobs.builtin._files import say

_SCHEMES = ("postgresql", "postgres")


def _check_database(database: str) -> None:
    scheme, separator, _ = database.partition("://")
    if not separator:
        return
    if scheme not in _SCHEMES:
        raise ValueError("a SQLite file or an address such as postgresql://user@host/name is needed")
    try:
        parts = urlsplit(database)
        _ = parts.port
    except ValueError:
        raise ValueError("the address cannot be read; write it such as postgresql://user@host:5432/name") from None
    if parts.password:
        raise ValueError("it holds a password, which everybody would see; give that as the password below")


@job(title="Run SQL", group="Databases", permission="jobs.run_command")
def run_sql(
    database: Annotated[str, Check(_check_database)],
    query: Annotated[str, Code("sql"), Label("SQL")],
    password: SecretText | None = None,
    output: Annotated[Path | None, Label("CSV file")] = None,
    delimiter: Annotated[str, Label("Column separator")] = ",",
    read_only: bool = True,
    fail_when_empty: bool = False,
) -> None:
    """Run a statement on a SQLite or PostgreSQL database; its rows become the output of the run, or a CSV file.

    Args:
        database: A SQLite file, or an address such as postgresql://user@host/name
        query: One statement.
        password: For PostgreSQL. Empty: none, or what the file .pgpass says.
        output: Replaced when the result is complete. Empty: the rows are printed.
        delimiter: One character; ; is what spreadsheets in many countries expect.
        read_only: The database refuses every change.
        fail_when_empty: Fail when the statement gives no row.
    """
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise JobFailed(f"cannot separate columns by {delimiter!r}: one character is needed, such as , or ;")
    is_postgresql = "://" in database
    open_result = (
        _postgresql(database, query, password, read_only) if is_postgresql else _sqlite(database, query, read_only)
    )
    with open_result as result:
        if result.columns is None:
            count = result.changed
            say(f"{count} rows changed" if count >= 0 else "done")
        else:
            count = _write(result, output, delimiter)
            sys.stderr.write(f"{count} rows{f' written to {output}' if output else ''}\n")
    if fail_when_empty and count <= 0:
        raise JobFailed("the statement gave no row")


class _Result(NamedTuple):
    columns: Sequence[str] | None  # None: a statement without rows
    rows: Iterable[Sequence[Any]]
    changed: int  # -1: not known


@contextmanager
def _sqlite(database: str, query: str, read_only: bool) -> Iterator[_Result]:
    file = Path(database).expanduser()
    if not file.is_file():
        raise JobFailed(f"cannot open {file}: there is no such file; SQL never makes a new database")
    mode = "ro" if read_only else "rw"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode={mode}", uri=True, timeout=60)) as connection:
            if read_only:
                # mode=ro does not reach a database that the statement attaches.
                connection.execute("PRAGMA query_only = ON")
            cursor = connection.execute(query)
            columns = [column[0] for column in cursor.description] if cursor.description else None
            yield _Result(columns, cursor, cursor.rowcount)
            connection.commit()
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise JobFailed(f"{file}: {error}{_hint(str(error), read_only=read_only)}") from error


@contextmanager
def _postgresql(database: str, query: str, password: SecretText | None, read_only: bool) -> Iterator[_Result]:
    import psycopg  # noqa: PLC0415 - for those who use it

    given = password.get_secret_value() if password else None
    where = urlsplit(database)
    try:
        with psycopg.connect(
            database, password=given, connect_timeout=30, application_name="scheduler-app"
        ) as connection:
            connection.read_only = read_only
            # After the first statement nothing can make a read-only transaction writable any more, and a prepared one
            # is one statement: no COMMIT can come before a second.
            connection.execute("SELECT 1")
            with connection.cursor() as cursor:
                cursor.execute(query.encode(), prepare=True)
                columns = [column.name for column in cursor.description] if cursor.description else None
                yield _Result(columns, cursor if columns is not None else (), cursor.rowcount)
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        raise JobFailed(f"{where.hostname or 'PostgreSQL'}: {said}{_hint(said, read_only=read_only)}") from error


def _hint(said: str, *, read_only: bool) -> str:
    if read_only and ("readonly" in said or "read-only" in said):
        return '; switch off "Read only" if it is meant to change something'
    return ""


def _write(result: _Result, output: Path | None, delimiter: str) -> int:
    if output is None:
        return _write_rows(result, sys.stdout, delimiter)
    draft = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with draft.open("x", encoding="utf-8", newline="") as file:
            count = _write_rows(result, file, delimiter)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(output)
    except OSError as error:
        raise JobFailed(f"cannot write {output}: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    return count


def _write_rows(result: _Result, file: IO[str], delimiter: str) -> int:
    assert result.columns is not None  # noqa: S101 - asked for before
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(result.columns)
    count = 0
    for row in result.rows:
        writer.writerow(row)
        count += 1
    return count
