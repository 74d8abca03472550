"""The built-in jobs about databases: a real SQLite, a real PostgreSQL, and a stand-in for mariadb-dump."""

import gzip
import io
import re
import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path

import psycopg
import pytest

from jobs.discovery import find
from jobs.errors import ParameterError
from tests import servers
from tests.children import call_job

PASSWORD = "s3cret \\ of \"the' database"


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    return folder


@pytest.fixture
def database(tmp_path):
    """A SQLite database in WAL mode with 20,000 rows."""
    file = tmp_path / "it's 100% mine?.sqlite3"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT)")
        connection.executemany("INSERT INTO words (word) VALUES (?)", [(f"größe, {n}",) for n in range(20_000)])
        connection.commit()
    return file


# SQLite


def test_a_database_is_copied_whole_while_it_is_written_to(database, target, capsys):
    over = threading.Event()

    def write():
        with closing(sqlite3.connect(database, timeout=60)) as connection:
            while not over.wait(0.001):
                # Two rows at a time: a copy of one moment has an even number.
                connection.execute("INSERT INTO words (word) VALUES ('a'), ('b')")
                connection.commit()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert call_job("back_up_sqlite", database=str(database), target=str(target), name="mine") == ""
    finally:
        over.set()
        thread.join()
    (copy,) = target.iterdir()
    assert re.fullmatch(r"mine-\d{8}T\d{6}Z\.sqlite3", copy.name)
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM words").fetchone()
    assert count >= 20_000
    assert count % 2 == 0
    assert "1 tables, checked" in capsys.readouterr().out


def test_a_damaged_or_foreign_file_is_not_kept_as_a_copy(database, target, tmp_path):
    (tmp_path / "foreign").write_bytes(b"no database at all, but long enough to look at" * 100)
    assert "file is not a database" in call_job(
        "back_up_sqlite", database=str(tmp_path / "foreign"), target=str(target)
    )
    with database.open("r+b") as file:
        file.seek(4096 * 20 + 8)  # where the page of a table says where its rows are
        file.write(b"\x0f" * 8)
    assert "is damaged" in call_job("back_up_sqlite", database=str(database), target=str(target))
    assert "there is no such file" in call_job("back_up_sqlite", database=str(tmp_path / "absent"), target=str(target))
    assert list(target.iterdir()) == []
    assert not (tmp_path / "absent").exists()


def sql(database, query, **parameters):
    """Return (what it printed, the sentence of its failure)."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        failure = call_job("run_sql", database=str(database), query=query, **parameters)
    return out.getvalue(), failure


def test_rows_are_printed_as_csv_or_written_to_a_file(database, tmp_path):
    query = "SELECT id, word, NULL AS empty FROM words WHERE id <= 2"
    assert sql(database, query) == ('id,word,empty\n1,"größe, 0",\n2,"größe, 1",\n', "")
    out = tmp_path / "result.csv"
    out.write_text("old")
    assert sql(database, query, output=str(out), delimiter=";") == ("", "")
    assert out.read_text() == "id;word;empty\n1;größe, 0;\n2;größe, 1;\n"
    assert sql(database, "SELECT nonsense", output=str(out))[1].endswith("no such column: nonsense")
    assert out.read_text().startswith("id;word")
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_nothing_is_changed_unless_it_is_allowed(database, tmp_path):
    hint = 'switch off "Read only" if it is meant to change something'
    for change in ("DELETE FROM words", "DROP TABLE words", "CREATE TABLE more (x)"):
        assert hint in sql(database, change)[1]
    # What belongs to the file rather than to its tables, too.
    assert sql(database, "PRAGMA journal_mode = DELETE")[1] != ""
    assert sql(database, "PRAGMA journal_mode")[0] == "journal_mode\nwal\n"
    assert sql(database, "SELECT count(*) FROM words")[0] == "count(*)\n20000\n"
    assert sql(database, "DELETE FROM words WHERE id > 5", read_only=False) == ("19995 rows changed\n", "")
    assert sql(database, "SELECT count(*) FROM words")[0] == "count(*)\n5\n"
    assert "one statement at a time" in sql(database, "SELECT 1; DELETE FROM words", read_only=False)[1]
    assert "there is no such file" in sql(tmp_path / "absent", "SELECT 1", read_only=False)[1]
    assert not (tmp_path / "absent").exists()


def test_no_row_may_be_a_failure(database):
    assert sql(database, "SELECT 1 WHERE 0", fail_when_empty=True)[1] == "the statement gave no row"
    assert sql(database, "SELECT 1", fail_when_empty=True)[1] == ""


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"database": "mysql://h/x"}, "a SQLite file or an address such as postgresql://"),
        ({"database": "postgresql://u:hidden@h/x"}, "it holds a password"),
        ({"database": "postgresql://h:port/x"}, "the address cannot be read"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_when_it_is_saved(parameters, says):
    with pytest.raises(ParameterError, match=says) as refused:
        find("run_sql", None).validate({"query": "SELECT 1"} | parameters)
    assert "hidden" not in str(refused.value)


# PostgreSQL


@pytest.fixture(scope="module")
def postgresql():
    """A server with a database "shop" and a user whose password is no easy one."""
    with servers.postgresql() as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE shop")
        connection.execute("CREATE ROLE ada LOGIN SUPERUSER PASSWORD 's3cret \\ of \"the'' database'")
        port = connection.info.port
        with psycopg.connect(host="127.0.0.1", port=port, dbname="shop", user="ada", password=PASSWORD) as shop:
            shop.execute(
                "CREATE TABLE goods AS SELECT n AS id, 'größe ' || n AS name FROM generate_series(1, 1000) AS n"
            )
        yield {"host": "127.0.0.1", "port": port, "user": "ada", "password": PASSWORD}


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Put programs in front of the real ones that write down their arguments."""

    def record(*names):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in names:
            real = shutil.which(name)
            (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/calls\nexec {real} "$@"\n')
            (folder / name).chmod(0o700)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return tmp_path / "calls"

    return record


@pytest.mark.needs("postgresql")
def test_a_postgresql_dump_can_be_restored_and_its_password_is_nowhere_to_be_seen(
    postgresql, target, recorded, tmp_path
):
    calls = recorded("pg_dump", "pg_restore")
    for _ in range(2):
        assert call_job("back_up_postgresql", database="shop", target=str(target), keep=1, **postgresql) == ""
    (dump,) = target.iterdir()
    assert re.fullmatch(r"postgresql-\d{8}T\d{6}Z(-2)?\.dump", dump.name)
    assert "s3cret" not in calls.read_text()
    restored = subprocess.run(["pg_restore", "--file=-", str(dump)], capture_output=True, text=True, check=True).stdout
    assert "1000\tgröße 1000\n" in restored


@pytest.mark.needs("postgresql")
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"password": "wrong"}, "pg_dump ended with exit code 1; what it says is above, nothing was kept"),
        ({"database": "absent"}, "pg_dump ended with exit code 1"),
        ({"database": "--version"}, "a name cannot begin with -"),
        ({"database": "postgresql://elsewhere/x"}, "pg_dump ended with exit code 1"),
    ],
)
def test_a_dump_that_fails_keeps_nothing_and_deletes_nothing_old(postgresql, target, changes, says):
    (target / "postgresql-20200101T000000Z.dump").touch()
    failure = call_job(
        "back_up_postgresql", **({"database": "shop", "target": str(target), "keep": 1} | postgresql | changes)
    )
    assert says in failure
    assert [path.name for path in target.iterdir()] == ["postgresql-20200101T000000Z.dump"]


def address(server):
    return f"postgresql://{server['user']}@{server['host']}:{server['port']}/shop"


@pytest.mark.needs("postgresql")
def test_a_query_on_postgresql_is_read_only_until_told_otherwise(postgresql):
    where, secret = address(postgresql), {"password": PASSWORD}
    assert sql(where, "SELECT id, name FROM goods WHERE id < 3 ORDER BY id", **secret) == (
        "id,name\n1,größe 1\n2,größe 2\n",
        "",
    )
    for change in (
        "DELETE FROM goods",
        "SET TRANSACTION READ WRITE",
        "COMMIT; DELETE FROM goods",
        "SELECT nextval('x'); COMMIT; DELETE FROM goods",
    ):
        assert sql(where, change, **secret)[1] != "", change
    assert sql(where, "SELECT count(*) FROM goods", **secret)[0] == "count\n1000\n"
    assert 'switch off "Read only"' in sql(where, "DELETE FROM goods", **secret)[1]
    assert sql(where, "DELETE FROM goods WHERE id > 990", read_only=False, **secret) == ("10 rows changed\n", "")
    assert sql(where, "SELECT count(*) FROM goods", **secret)[0] == "count\n990\n"
    _, failure = sql(where, "SELECT 1", password="wrong")
    assert "password authentication failed" in failure


# MySQL

STAND_IN = r"""#!/bin/sh
printf '%s\n' "$@" > "$CALLS"
for argument; do case $argument in --defaults-extra-file=*) cp "${argument#*=}" "$CALLS.options"; stat -c %a "${argument#*=}" >> "$CALLS";; esac; done
echo "CREATE TABLE x (y int);"
[ "$FAIL" = half ] || echo "-- Dump completed on 2026-11-25"
[ "$FAIL" != code ] || { echo "access denied" >&2; exit 2; }
"""


@pytest.fixture
def mysqldump(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mariadb-dump").write_text(STAND_IN)
    (folder / "mariadb-dump").chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def test_a_mysql_dump_is_compressed_and_its_password_is_in_a_file_that_goes(mysqldump, target):
    given = {"database": "shop", "host": "db", "port": 3307, "user": "ada", "password": PASSWORD}
    assert call_job("back_up_mysql", target=str(target), **given) == ""
    (dump,) = target.iterdir()
    assert gzip.decompress(dump.read_bytes()).decode().startswith("CREATE TABLE x")
    first, *others, name, mode = mysqldump.read_text().splitlines()
    assert first.startswith("--defaults-extra-file=")  # anywhere else it is refused
    assert {"--host=db", "--port=3307", "--user=ada", "--single-transaction"} <= set(others)
    assert (name, mode) == ("shop", "600")
    assert "s3cret" not in mysqldump.read_text()
    assert mysqldump.with_suffix(".options").read_text() == '[client]\npassword="s3cret \\\\ of \\"the\' database"\n'
    assert not Path(first.partition("=")[2]).exists()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("half", "has no end, so it is not whole"),
        ("code", "mariadb-dump ended with exit code 2; what it says is above"),
    ],
)
def test_a_mysql_dump_that_is_not_whole_is_not_kept(mysqldump, target, monkeypatch, how, says):
    monkeypatch.setenv("FAIL", how)
    assert says in call_job("back_up_mysql", database="shop", target=str(target))
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(
    ("job", "program"), [("back_up_mysql", "mariadb-dump or mysqldump"), ("back_up_postgresql", "pg_dump")]
)
def test_a_missing_program_is_named_with_what_to_install(target, monkeypatch, job, program):
    monkeypatch.setenv("PATH", "/nowhere")
    failure = call_job(job, database="shop", target=str(target))
    assert failure.startswith(f"cannot back up the database: there is no {program} on this machine; install ")
