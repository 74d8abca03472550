"""How far a job has come: what it writes, and what is made of it."""

import pytest

from jobs import progress, progress_file
from jobs.progress_file import Progress, read


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"3 10 copying files\n", Progress(3, 10, "copying files")),
        (b"3 10\n", Progress(3, 10, "")),
        (b"7 rows\n", Progress(7, None, "rows")),
        (b"30% halfway\n", Progress(30, 100, "halfway")),
        (b"30%", Progress(30, 100, "")),
        (b"1.5 2.5", Progress(1.5, 2.5, "")),
        (b"3 0 nothing to do", Progress(3, 0, "nothing to do")),
        (b"", None),
        (b"soon", None),
        (b"-1 3", None),
        (b"\xff\xfe", None),
        (b"1 2 " + b"x" * 5000, Progress(1, 2, "x" * 200)),
    ],
)
def test_a_line_is_read_as_it_was_meant_or_not_at_all(line, told):
    assert read(line) == told


@pytest.mark.parametrize(
    ("told", "percent"), [(Progress(3, 10, ""), 30), (Progress(12, 10, ""), 100), (Progress(3, None, ""), None), (Progress(3, 0, ""), None)]
)  # fmt: skip
def test_percent(told, percent):
    assert told.percent == percent


def test_what_a_job_says_often_is_written_now_and_then_and_the_end_always(tmp_path, monkeypatch):
    file = tmp_path / "progress"
    monkeypatch.setenv("SCHEDULER_PROGRESS", str(file))
    monkeypatch.setattr(progress_file, "_said_at", float("-inf"))
    for done in range(1, 1001):
        progress(done, 1000, f"row\n{done}")
        if done == 1:
            assert read(file.read_bytes()) == Progress(1, 1000, "row 1")

    assert read(file.read_bytes()) == Progress(1000, 1000, "row 1000")
    assert [each.name for each in tmp_path.iterdir()] == ["progress"]


def test_outside_of_a_run_it_does_nothing(monkeypatch):
    monkeypatch.delenv("SCHEDULER_PROGRESS", raising=False)

    progress(1, 2, "x")
