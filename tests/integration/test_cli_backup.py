"""A backup of a scheduler that runs, restored into another data folder; and secrets at the command line."""

import os
import stat
import subprocess
import sys

import pytest

from tests.command_line import CommandLine

PASSPHRASE = "correct horse battery\n"


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    cli = CommandLine(tmp_path_factory.mktemp("installation"))
    cli("secret", "set", "mail password", given="s3cret\n")
    with cli.started():
        yield cli


@pytest.fixture(scope="module")
def backup(cli, tmp_path_factory):
    cli("job", "new", "mine")
    given = ("run_command", "--shell", "--command", "echo kept", "--secret", "PASSWORD=mail password")
    cli("schedule", "add", "Nightly", "--cron", "30 2 * * *", *given)
    cli("schedule", "run", "Nightly", "--wait")
    (cli.data / "scheduler.toml").write_text("[retention]\ndays = 17\n")
    file = tmp_path_factory.mktemp("backup") / "backup.zip"
    assert "1 secrets, 1 files of jobs" in cli("backup", str(file), given=PASSPHRASE).stdout
    return file


def value_of(cli, name):
    code = f"import django; django.setup(); from jobs import vault; print(vault.read({name!r}))"
    environment = cli.environment | {"DJANGO_SETTINGS_MODULE": "scheduler_app.settings"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_was_backed_up_while_it_ran_is_there_in_another_data_folder(backup, tmp_path):
    assert os.name == "nt" or stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert b"s3cret" not in backup.read_bytes()
    other = CommandLine(tmp_path)
    assert "1 secrets with it" in other("restore", str(backup), given=PASSPHRASE).stdout
    assert other.json("schedule", "show", "Nightly")["cron"] == "30 2 * * *"
    run = other.json("schedule", "history", "Nightly")[0]
    assert run["state"] == "succeeded"
    assert other("run", "logs", str(run["run"])).stdout == "kept\n"
    assert other.json("secret", "list")[0]["used_by"] == ["Nightly"]
    assert value_of(other, "mail password") == "s3cret"
    assert (other.data / "jobs/mine.py").exists()
    assert "17" in other("config", "show").stdout


def test_a_refused_restore_changes_nothing_and_one_that_is_done_keeps_what_was_there(cli, backup, tmp_path):
    other = CommandLine(tmp_path)
    other("schedule", "add", "Former", "--every", "1h", "run_command", "--command", "true")
    assert "passphrase is another one" in other("restore", str(backup), code=1, given="another one\n").stderr
    assert "runs already" in cli("restore", str(backup), code=1, given=PASSPHRASE).stderr
    assert [each["name"] for each in other.json("schedule", "list")] == ["Former"]
    assert list(other.data.glob("*restore*")) == []

    other("restore", str(backup), given=PASSPHRASE)
    assert [each["name"] for each in other.json("schedule", "list")] == ["Nightly"]
    (aside,) = other.data.glob("before-restore-*")
    assert b"Former" in b"".join(path.read_bytes() for path in aside.glob("scheduler.sqlite3*"))


def test_a_backup_replaces_no_file_and_needs_a_passphrase(cli, backup, tmp_path):
    assert "is there already" in cli("backup", str(backup), code=1, given=PASSPHRASE).stderr
    assert "less than 8 characters" in cli("backup", str(tmp_path / "b"), code=1, given="short\n").stderr
    assert "without a passphrase" in cli("backup", str(tmp_path / "b"), code=1, given="").stderr
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_deleted_only_after_a_yes(cli, backup):
    assert "used by Nightly" in cli("secret", "delete", "mail password", code=1, given="n\n").stderr
    assert "did you mean 'mail password'?" in cli("secret", "delete", "mail pasword", "--yes", code=1).stderr
    cli("secret", "set", "other", given="x\n")
    cli("secret", "delete", "other", "--yes")
    assert [each["secret"] for each in cli.json("secret", "list")] == ["mail password"]
