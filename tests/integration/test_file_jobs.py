"""The built-in jobs that clean, copy and wait: real files, and links that lead out."""

import os
import threading
import time
from pathlib import Path

import pytest

from jobs.builtin import _files, clean_old_files
from jobs.discovery import find
from jobs.errors import ParameterError
from tests.children import call_job
from tests.waiting import wait_until

DAY = 86400


def make(path, days=0, size=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - days * DAY,) * 2)
    return path


def tree(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


# Clean old files


@pytest.fixture
def messy(tmp_path):
    folder = tmp_path / "messy"
    for name, days in (("a.log", 90), ("b.log", 60), ("c.log", 1), ("d.txt", 90), ("e.keep", 90), ("sub/f.log", 90)):
        make(folder / name, days)
    outside = make(tmp_path / "outside" / "g.log", 90).parent
    (folder / "way out").symlink_to(outside)
    (folder / "h.log").symlink_to(outside / "g.log")
    os.utime(folder / "h.log", (0, 0), follow_symlinks=False)
    return folder


def clean(folder, **parameters):
    return call_job("clean_old_files", folder=str(folder), **parameters)


def test_the_first_run_only_says_what_would_be_deleted(messy, capsys):
    before = tree(messy)
    assert clean(messy) == ""
    assert tree(messy) == before
    out = capsys.readouterr().out
    assert f"would delete {messy / 'a.log'} (1 bytes, 90d old)" in out
    assert out.endswith("4 would be deleted, 4 bytes; 1 files stay\n")


@pytest.mark.parametrize(
    ("parameters", "gone"),
    [
        pytest.param({}, {"a.log", "b.log", "d.txt", "e.keep"}, id="old"),
        pytest.param({"older_than": "75d"}, {"a.log", "d.txt", "e.keep"}, id="age"),
        pytest.param({"pattern": ["*.log", "d*"]}, {"a.log", "b.log", "d.txt"}, id="pattern"),
        pytest.param({"exclude": ["*.keep"]}, {"a.log", "b.log", "d.txt"}, id="exclude"),
        pytest.param({"pattern": ["*.log"], "keep": 2}, {"a.log"}, id="keep the newest"),
        pytest.param({"pattern": ["*.log"], "keep": 9}, set(), id="keep all"),
        pytest.param({"subfolders": True}, {"a.log", "b.log", "d.txt", "e.keep", "sub/f.log"}, id="subfolders"),
        pytest.param({"subfolders": True, "exclude": ["sub"]}, {"a.log", "b.log", "d.txt", "e.keep"}, id="exclude a folder"),
        pytest.param({"subfolders": True, "pattern": ["sub/*"], "empty_folders": True}, {"sub/f.log", "sub"}, id="empty folders"),
    ],
)  # fmt: skip
def test_only_what_is_meant_is_deleted_and_no_link_is_followed(messy, parameters, gone):
    before = tree(messy)
    assert clean(messy, dry_run=False, **parameters) == ""
    assert before - tree(messy) == gone
    assert tree(messy.parent / "outside") == {"g.log"}


def test_a_folder_that_becomes_a_link_while_it_is_cleaned_deletes_nothing_elsewhere(messy, monkeypatch):
    real = clean_old_files._age

    def swap(changed):
        if (messy / "sub").is_dir() and not (messy / "sub").is_symlink():
            (messy / "sub" / "f.log").unlink()
            (messy / "sub").rmdir()
            make(messy.parent / "outside" / "f.log", 90)
            (messy / "sub").symlink_to(messy.parent / "outside")
        return real(changed)

    monkeypatch.setattr(clean_old_files, "_age", swap)
    assert "has become a link that leads elsewhere" in clean(messy, dry_run=False, subfolders=True)
    assert tree(messy.parent / "outside") == {"g.log", "f.log"}


def test_a_whole_disk_a_home_folder_and_no_folder_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in ("/", str(tmp_path), "~"):
        assert "that is a whole disk or home folder" in clean(folder, dry_run=False)
    assert "there is no such folder" in clean(tmp_path / "absent")
    with pytest.raises(ParameterError):
        find("clean_old_files", None).validate({"folder": "/x", "older_than": "0s"})


# Copy a folder


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    make(folder / "a.txt", 10, 100)
    make(folder / "deep" / "b.txt", 20, 200)
    (folder / "link").symlink_to("a.txt")
    (folder / "empty").mkdir()
    (folder / "a.txt").chmod(0o640)
    return folder


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def copy(source, target, **parameters):
    return call_job("copy_folder", source=str(source), target=str(target), **parameters)


def test_a_copy_has_the_content_times_permissions_and_links_and_a_second_one_copies_nothing(source, target, capsys):
    assert copy(source, target) == ""
    assert tree(target) == tree(source)
    there, here = (target / "a.txt").stat(), (source / "a.txt").stat()
    assert (there.st_mode, there.st_mtime) == (here.st_mode, here.st_mtime)
    assert (target / "link").readlink() == Path("a.txt")
    capsys.readouterr()
    assert copy(source, target) == ""
    assert capsys.readouterr().out == "0 copied (0 bytes), 0 deleted\n"
    make(source / "a.txt", 9, 100)
    make(source / "new.tmp")
    assert copy(source, target, exclude=["*.tmp"]) == ""
    assert capsys.readouterr().out.startswith(f"copy {source / 'a.txt'}\n1 copied (100 bytes)")


def test_a_dry_run_changes_nothing(source, target, capsys):
    make(target / "surplus")
    assert copy(source, target, delete=True, dry_run=True) == ""
    assert tree(target) == {"surplus"}
    assert capsys.readouterr().out.endswith("3 would be copied (300 bytes), 1 would be deleted\n")


def test_what_is_no_longer_there_goes_only_when_asked_and_what_is_excluded_stays(source, target):
    for name in ("old/deep/file", "mine.keep", "surplus"):
        make(target / name)
    assert copy(source, target) == ""
    assert tree(target) >= {"old/deep/file", "surplus"}
    assert copy(source, target, delete=True, exclude=["*.keep"]) == ""
    assert tree(target) == tree(source) | {"mine.keep"}


@pytest.mark.parametrize(
    ("files", "at_most", "says"),
    [
        (5, 4, "5 files and folders of the target are not in the source (s0, s1, s2 …), and 4 may be deleted"),
        (1, 0, "1 files and folders of the target"),
    ],
)
def test_more_deletions_than_allowed_do_nothing_at_all(source, target, files, at_most, says):
    for number in range(files):
        make(target / f"s{number}")
    before = tree(target)
    assert says in copy(source, target, delete=True, delete_at_most=at_most)
    assert tree(target) == before


def test_an_empty_source_deletes_nothing(tmp_path, target):
    (tmp_path / "not mounted").mkdir()
    make(target / "precious")
    assert "the source is empty" in copy(tmp_path / "not mounted", target, delete=True)
    assert tree(target) == {"precious"}


def test_folders_in_each_other_are_refused_through_links_too(source, target, tmp_path):
    (source / "inner").mkdir()
    (tmp_path / "alias").symlink_to(source / "inner")
    for one, other in (
        (source, source / "inner"),
        (source / "inner", source),
        (source, source),
        (source, tmp_path / "alias"),
    ):
        assert "one is inside the other" in copy(one, other)
    assert "there is no such folder; create it, mount its disk" in copy(source, tmp_path / "absent")


def test_nothing_is_written_through_a_link_in_the_target(source, target, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (target / "deep").symlink_to(outside)
    (target / "a.txt").symlink_to(outside / "a.txt")
    failure = copy(source, target)
    assert "something of another kind has this name there" in failure
    assert "a link that leads elsewhere" in failure
    assert tree(outside) == set()
    assert (target / "a.txt").read_bytes() == b"x" * 100
    assert not (target / "a.txt").is_symlink()


def test_an_interrupted_copy_leaves_the_old_file(source, target, monkeypatch):
    make(target / "a.txt", 99, 5)

    def fail(_file, part, **_options):
        make(part, size=50)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", fail)
    assert "No space left on device" in copy(source, target)
    assert (target / "a.txt").read_bytes() == b"x" * 5
    assert not list(target.glob(".*"))


# Wait for a file


def wait(path, **parameters):
    return call_job(
        "wait_for_file", path=str(path), **({"unchanged_for": "300ms", "give_up_after": "20s"} | parameters)
    )


def test_a_file_that_still_grows_is_waited_for(tmp_path, capsys):
    file = tmp_path / "in-1.csv"
    done = threading.Event()

    def write():
        for _ in range(10):
            with file.open("ab") as opened:
                opened.write(b"x" * 10)
            time.sleep(0.08)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert wait(tmp_path / "in-*.csv") == ""
    assert done.is_set()
    thread.join()
    assert capsys.readouterr().out == f"{file} (100 bytes)\n"


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda _: None, "there was no file"),
        (Path.touch, "was still empty after 500ms"),
        (Path.mkdir, "there was no file"),
    ],
)
def test_waiting_ends_with_the_reason(tmp_path, prepare, says):
    prepare(tmp_path / "file")
    assert says in wait(tmp_path / "file", give_up_after="500ms")


def test_an_empty_file_may_be_enough_and_brackets_in_a_name_are_no_pattern(tmp_path):
    (tmp_path / "[1].csv").touch()
    assert wait(tmp_path / "[1].csv", may_be_empty=True) == ""


def test_a_file_that_never_rests_is_told(tmp_path):
    file, over = tmp_path / "busy", threading.Event()

    def write():
        while not over.wait(0.02):
            with file.open("ab") as opened:
                opened.write(b"x")

    thread = threading.Thread(target=write)
    thread.start()
    wait_until(file.exists, 10, "the file is there")
    assert "still changed after 1s" in wait(file, unchanged_for="900ms", give_up_after="1s")
    over.set()
    thread.join()


def test_sizes_are_told_in_words():
    assert [_files.size_in_words(size) for size in (0, 999, 1_000, 1_250_000, 3e12)] == [
        "0 bytes", "999 bytes", "1.0 kB", "1.2 MB", "3.0 TB",
    ]  # fmt: skip
