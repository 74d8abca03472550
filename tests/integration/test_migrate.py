"""Bringing the database to this version's tables, and the sentences when that cannot be."""

import os
import sqlite3
import stat
import subprocess
import sys

from tests import servers


def migrate(data, **variables):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    return subprocess.run(
        [sys.executable, "-m", "scheduler_app.migrate"],
        env=clean | {"SCHEDULER_DATA_FOLDER": str(data)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_empty_folder_gets_a_database_that_only_its_owner_reads(tmp_path):
    done = migrate(tmp_path)

    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((tmp_path / "scheduler.sqlite3").stat().st_mode) == 0o600


def test_a_second_time_changes_nothing_and_says_nothing(tmp_path):
    migrate(tmp_path)

    again = migrate(tmp_path)

    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_a_database_from_a_newer_version_is_refused_by_name_and_left_as_it_is(tmp_path):
    migrate(tmp_path)
    file = tmp_path / "scheduler.sqlite3"
    with sqlite3.connect(file) as connection:
        connection.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('jobs', '9999_later', '2030-01-01')"
        )
    connection.close()

    refused = migrate(tmp_path)

    assert refused.returncode == 3
    assert "a newer version of this program has changed it (jobs.9999_later)" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_database_server_that_does_not_answer_is_one_sentence(tmp_path):
    url = f"postgresql://ada:secret@127.0.0.1:{servers.free_port()}/scheduler"

    refused = migrate(tmp_path, SCHEDULER_DATABASE_URL=url)

    assert refused.returncode == 1
    assert "cannot use the database 127.0.0.1:" in refused.stderr
    assert "check database.url" in refused.stderr
    assert "secret" not in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_file_that_is_no_database_is_one_sentence(tmp_path):
    (tmp_path / "scheduler.sqlite3").write_text("this is no database, but it is long enough to be looked at\n" * 20)

    refused = migrate(tmp_path)

    assert refused.returncode == 1
    assert "not a database" in refused.stderr
    assert "Traceback" not in refused.stderr
