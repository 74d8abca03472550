"""Which SQLite is in use."""

import subprocess
import sys

import pytest

from scheduler_app import sqlite


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        pytest.param((3, 6, 23), False, id="before WAL"),
        pytest.param((3, 7, 0), True, id="first with WAL"),
        pytest.param((3, 40, 1), True, id="Debian 12"),
        pytest.param((3, 44, 5), True, id="before the fix of 3.44"),
        pytest.param((3, 44, 6), False, id="fix of 3.44"),
        pytest.param((3, 45, 0), True, id="after 3.44, without its fix"),
        pytest.param((3, 50, 6), True, id="before the fix of 3.50"),
        pytest.param((3, 50, 7), False, id="fix of 3.50"),
        pytest.param((3, 51, 2), True, id="last with the bug"),
        pytest.param((3, 51, 3), False, id="fixed"),
        pytest.param((3, 53, 0), False, id="later"),
    ],
)
def test_versions_with_the_wal_reset_bug(version, affected):
    assert sqlite.is_affected(version) is affected


def run(script):
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_after_use_safe_sqlite_every_import_gives_one_without_the_bug():
    pytest.importorskip("pysqlite3")
    script = (
        "from scheduler_app import sqlite; sqlite.use_safe_sqlite()\n"
        "import sqlite3; from sqlite3 import dbapi2\n"
        "print(sqlite.is_affected(sqlite3.sqlite_version_info), dbapi2.sqlite_version == sqlite3.sqlite_version)"
    )
    assert run(script) == ["False", "True"]


def test_an_affected_sqlite_is_replaced_and_described():
    pysqlite3 = pytest.importorskip("pysqlite3")
    script = (
        "import sqlite3; sqlite3.sqlite_version_info = (3, 40, 1)\n"
        "from scheduler_app import sqlite; sqlite.use_safe_sqlite(); print(sqlite.describe())"
    )
    assert run(script) == [pysqlite3.sqlite_version, "(pysqlite3)"]


@pytest.mark.parametrize(
    "circumstance",
    [
        pytest.param("sqlite3.sqlite_version_info = (3, 51, 3)", id="the system's is good"),
        pytest.param("sys.modules['pysqlite3'] = None; sqlite3.sqlite_version_info = (3, 40, 1)", id="nothing better"),
    ],
)
def test_sqlite_stays_when_there_is_no_reason_or_no_way_to_replace_it(circumstance):
    script = (
        f"import sys, sqlite3; {circumstance}; original = sqlite3\n"
        "from scheduler_app import sqlite; sqlite.use_safe_sqlite()\n"
        "import sqlite3; print(sqlite3 is original, sqlite.describe())"
    )
    kept, _, name = run(script)
    assert (kept, name) == ("True", "(sqlite3)")
