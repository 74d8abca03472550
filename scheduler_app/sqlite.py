"""Which SQLite is used: the one of Python, or pysqlite3's where Python's can damage a database.

SQLite 3.7.0 to 3.51.2 can corrupt a WAL database that several connections write and reset
(https://sqlite.org/wal.html, "the WAL-reset bug"); fixed in 3.51.3, and in 3.50.7 and 3.44.6.
"""

import importlib
import sys
from typing import Any

FIRST_AFFECTED = (3, 7, 0)
FIXED = (3, 51, 3)
# Older series that got the fix as well, from this release on.
FIXED_SERIES = {(3, 50): (3, 50, 7), (3, 44): (3, 44, 6)}


def is_affected(version: tuple[int, ...]) -> bool:
    """Tell whether SQLite *version* has the WAL-reset bug."""
    if not FIRST_AFFECTED <= version < FIXED:
        return False
    fixed = FIXED_SERIES.get((version[0], version[1]))
    return fixed is None or version < fixed


def use_safe_sqlite() -> None:
    """Let `import sqlite3` give pysqlite3 from now on, when it is installed and better than an affected sqlite3.

    To be called before anything else imports sqlite3. Nothing changes where there is nothing better:
    `describe()` tells what is in use.
    """
    if not is_affected(_current().sqlite_version_info):
        return
    try:
        better = importlib.import_module("pysqlite3")
        dbapi2 = importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        return
    if not is_affected(better.sqlite_version_info):
        sys.modules["sqlite3"] = better
        sys.modules["sqlite3.dbapi2"] = dbapi2


def describe() -> str:
    """Return the SQLite that `import sqlite3` gives, such as "3.53.0 (pysqlite3)"."""
    current = _current()
    return f"{current.sqlite_version} ({current.__name__})"


def _current() -> Any:
    return importlib.import_module("sqlite3")
