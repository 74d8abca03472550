"""One supervisor a data folder."""

import os

import pytest

from scheduler_app.config import load
from scheduler_app.paths import Paths
from scheduler_app.supervisor.instance import AlreadyRunningError, Instance


@pytest.fixture
def paths(tmp_path):
    paths = Paths.of(load(data_folder=tmp_path / "data", environ={}))
    paths.prepare()
    return paths


def test_a_second_one_is_told_who_holds_the_folder_and_where(paths):
    with Instance(paths) as first:
        first.announce("http://127.0.0.1:8765/")
        with pytest.raises(AlreadyRunningError) as refusal, Instance(paths):
            pass
    assert str(refusal.value) == f"The scheduler runs already at http://127.0.0.1:8765/ (process {os.getpid()})."


def test_the_folder_is_free_again_afterwards(paths):
    with Instance(paths):
        pass
    with Instance(paths) as second:
        assert second.holder()["url"] is None


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_note_about_the_holder_is_no_obstacle(paths, content):
    with Instance(paths):
        (paths.run / "supervisor.json").write_text(content)
        with pytest.raises(AlreadyRunningError, match=r"^The scheduler runs already\.$"), Instance(paths):
            pass


def test_two_data_folders_do_not_know_each_other(paths, tmp_path):
    other = Paths.of(load(data_folder=tmp_path / "other", environ={}))
    other.prepare()
    with Instance(paths), Instance(other):
        pass
