"""A job of one's own, from `job new` to its first run."""

import os
import subprocess
import sys
import time

import pytest

from tests.children import run_job

WEEK = 7 * 86400


def command(data, *arguments, code=0):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    done = subprocess.run(
        [sys.executable, "-m", "scheduler_app", "--data", data, "job", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_new_job_is_a_file_that_runs_as_it_is(tmp_path):
    data, looked_at = tmp_path / "data", tmp_path / "looked at"
    looked_at.mkdir()
    for name, age in (("old.txt", 5 * WEEK), ("new.txt", 0)):
        (looked_at / name).touch()
        os.utime(looked_at / name, (time.time() - age,) * 2)
    assert str(data / "jobs" / "tidy_downloads.py") in command(data, "new", "tidy_downloads")

    def run(**parameters):
        return run_job("tidy_downloads", {"folder": str(looked_at)} | parameters, folder=data / "jobs")

    assert run() == (0, f"would delete {looked_at / 'old.txt'}\n1 old files\n".encode(), "")
    assert run(dry_run=False)[0] == 0
    assert [file.name for file in looked_at.iterdir()] == ["new.txt"]
    code, _, error = run(folder=str(tmp_path / "absent"))
    assert (code, "there is no such folder" in error, "Traceback" in error) == (1, True, False)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Tidy-Up!", "such as tidy_up"),
        ("9lives", "such as lives"),
        ("../evil", "such as evil"),
        ("import", "has a meaning in Python"),
        ("print", "has a meaning in Python"),
        ("nul", "Windows keeps the name"),
        ("run_command", "jobs/builtin/run_command.py has one of this name"),
        ("taken", "taken.py is there already"),
        ("other", "has one of this name"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_with_a_sentence_and_writes_nothing(tmp_path, name, says):
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "taken.py").write_text("# no job in it\n")
    (folder / "file.py").write_text("from jobs import job\n@job\ndef other() -> None: ...\n")
    said = command(tmp_path, "new", name, code=1)
    assert says in said
    assert "Traceback" not in said
    assert {file.name for file in folder.glob("*.py")} == {"taken.py", "file.py"}


def test_a_job_is_shown_with_its_parameters_and_the_place_it_is_defined(tmp_path):
    command(tmp_path, "new", "mine")
    shown = command(tmp_path, "show", "mine")
    assert f"Defined in: {tmp_path / 'jobs' / 'mine.py'}, line 11\n" in shown
    assert "  keep_days (number, default 30)\n      Files that changed within so many days stay.\n" in shown
    assert "did you mean mine?" in command(tmp_path, "show", "min", code=1)


def test_the_list_names_every_job_and_the_file_that_is_broken(tmp_path):
    command(tmp_path, "new", "mine")
    (tmp_path / "jobs" / "broken.py").write_text("from jobs import nothing_like_it\n")
    listed = command(tmp_path, "list", code=1)
    lines = {line.split()[0]: line for line in listed.splitlines()}
    assert lines["run_command"].endswith("built in")
    assert lines["mine"].endswith(f"{tmp_path / 'jobs' / 'mine.py'}, line 11")
    assert "broken.py" in lines["Problem:"]
    assert "broken.py" in command(tmp_path, "show", "no_such_job", code=1)
