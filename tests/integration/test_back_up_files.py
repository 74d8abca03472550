"""The built-in job that packs files into archives: real files, unpacked again to compare."""

import os
import re
import resource
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
import zstandard

from jobs.builtin import _archive
from jobs.discovery import find
from jobs.errors import ParameterError
from tests.children import call_job

FORMATS = ["zip", "tar.zst"]


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "docs"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "größe.txt").write_text("Schöne Grüße")
    (folder / "deep" / "deeper" / "data.bin").write_bytes(os.urandom(3_000_000))
    (folder / "deep" / "nothing").touch()
    (folder / "link").symlink_to("deep/nothing")
    (folder / "out").symlink_to("/etc")
    (folder / "old").touch()
    os.utime(folder / "old", (0, 0))
    return folder


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "archives"
    folder.mkdir()
    return folder


def back_up(source, target, **parameters):
    return call_job("back_up_files", sources=[str(source)], target=str(target), **parameters)


def contents(archive):
    """Return what the archive holds: name → bytes of a file, or None."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as opened:
            return {
                info.filename.rstrip("/"): None if info.is_dir() else opened.read(info) for info in opened.infolist()
            }
    with (
        archive.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as stream,
        tarfile.open(fileobj=stream, mode="r|") as opened,
    ):
        return {each.name: opened.extractfile(each).read() if each.isreg() else None for each in opened}


def names(archive):
    return set(contents(archive))


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_packed_comes_out_byte_for_byte(source, target, kind, capsys):
    assert back_up(source, target, format=kind) == ""
    (archive,) = target.iterdir()
    assert re.fullmatch(rf"backup-\d{{8}}T\d{{6}}Z\.{re.escape(kind)}", archive.name)
    assert archive.stat().st_mode & 0o777 == 0o600
    packed = contents(archive)
    assert packed["docs/größe.txt"].decode() == "Schöne Grüße"
    assert packed["docs/deep/deeper/data.bin"] == (source / "deep/deeper/data.bin").read_bytes()
    assert (packed["docs/deep/nothing"], packed["docs/empty"]) == (b"", None)
    assert "files, read back and compared" in capsys.readouterr().out


@pytest.mark.parametrize("kind", FORMATS)
def test_links_are_kept_as_links_and_not_followed(source, target, kind):
    assert back_up(source, target, format=kind) == ""
    (archive,) = target.iterdir()
    assert {"docs/link", "docs/out"} <= names(archive)
    assert not any(name.startswith("docs/out/") for name in names(archive))
    if kind == "zip":
        with zipfile.ZipFile(archive) as opened:
            info = opened.getinfo("docs/out")
            assert (info.external_attr >> 28, opened.read(info)) == (0o12, b"/etc")


@pytest.mark.parametrize(
    ("exclude", "gone"),
    [
        (["*.txt"], {"docs/größe.txt"}),
        (["deeper"], {"docs/deep/deeper", "docs/deep/deeper/data.bin"}),
        (["deep/no*"], {"docs/deep/nothing"}),
        (["*.bin", "old"], {"docs/deep/deeper/data.bin", "docs/old"}),
        (["docs"], set()),
    ],
)
def test_patterns_leave_out_what_they_fit(source, target, exclude, gone):
    everything = {"docs", *(f"docs/{path.relative_to(source)}" for path in source.rglob("*"))}
    assert back_up(source, target, exclude=exclude) == ""
    (archive,) = target.iterdir()
    assert names(archive) == everything - gone


def test_the_newest_are_kept_and_no_file_of_others_is_touched(source, target):
    others = [
        "backup.zip",
        "backup-20200101T000000Z.zip.txt",
        "backup-more-20200101T000000Z.zip",
        "Backup-20200101T000000Z.zip",
    ]
    others += ["backup-20200101T000000Z.tar.zst", "backup-2020.zip"]
    for name in [
        *others,
        "backup-20200101T000000Z.zip",
        "backup-20200101T000000Z-2.zip",
        "backup-20200101T000000Z-10.zip",
    ]:
        (target / name).touch()
    (target / "backup-20190101T000000Z.zip").symlink_to(source / "old")
    assert back_up(source, target, keep=2) == ""
    left = {path.name for path in target.iterdir()}
    assert {*others, "backup-20190101T000000Z.zip", "backup-20200101T000000Z-10.zip"} < left
    assert len(left) == len(others) + 3
    assert (source / "old").exists()
    assert back_up(source, target, keep=None) == ""
    assert len(list(target.iterdir())) == len(left) + 1


def test_an_archive_that_was_damaged_while_it_was_written_is_noticed_and_not_kept(source, target, monkeypatch):
    (target / "backup-20200101T000000Z.zip").touch()
    real = _archive.read_back
    for kind in FORMATS:

        def damaged(path, kind):
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
            return real(path, kind)

        monkeypatch.setattr(_archive, "read_back", damaged)
        assert "so it was deleted; look after the disk" in back_up(source, target, format=kind, keep=1)
        assert [path.name for path in target.iterdir()] == ["backup-20200101T000000Z.zip"]


def test_a_file_that_is_missing_from_the_archive_is_noticed(source, target, monkeypatch):
    real = _archive.read_back
    monkeypatch.setattr(_archive, "read_back", lambda path, kind: dict(list(real(path, kind).items())[1:]))
    assert "does not hold what was written" in back_up(source, target)
    assert list(target.iterdir()) == []


def test_what_cannot_be_read_is_named_and_deletes_nothing_old(source, target, monkeypatch):
    (target / "backup-20200101T000000Z.zip").touch()
    opened = Path.open

    def refuse(self, *arguments, **options):
        if self.name == "old":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    failure = back_up(source, target, keep=1)
    assert failure.startswith("the back-up is written, but not complete, so nothing old is deleted:\n")
    assert f"cannot read {source / 'old'}: Permission denied" in failure
    assert len(list(target.iterdir())) == 2


def test_a_name_that_a_zip_cannot_hold_is_named_and_tar_holds_it(source, target, tmp_path):
    os.close(os.open(os.fsencode(source) + b"/b\xe4d", os.O_CREAT, 0o600))
    assert "has a name that a zip cannot hold; choose tar.zst" in back_up(source, target)
    assert back_up(source, target, format="tar.zst") == ""


def test_the_folder_of_the_archives_is_left_out_of_what_is_packed(source):
    inside = source / "deep" / "archives"
    inside.mkdir()
    assert back_up(source, inside) == ""
    assert back_up(source, inside, keep=1) == ""
    (archive,) = inside.iterdir()
    assert not any("archives" in name for name in names(archive))
    assert "into itself" in back_up(source, source)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_archive_that_the_disk_cannot_take_leaves_nothing_and_says_so(source, target, kind):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        failure = back_up(source, target, format=kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failure == f"cannot write the back-up to {target}: File too large"
    assert list(target.iterdir()) == []


def test_two_sources_of_one_name_are_both_packed(source, target, tmp_path):
    other = tmp_path / "other" / "docs"
    other.mkdir(parents=True)
    (other / "mine").touch()
    assert call_job("back_up_files", sources=[str(source), str(other), str(source / "old")], target=str(target)) == ""
    (archive,) = target.iterdir()
    assert {"docs/old", "docs-2/mine", "old"} <= names(archive)


def test_what_a_killed_run_left_is_cleared_away_when_it_is_old(source, target):
    for name, age in ((".backup-20200101T000000Z-77.zip.part", 90_000), (".backup-20200101T000000Z-78.zip.part", 60)):
        (target / name).touch()
        os.utime(target / name, (time.time() - age,) * 2)
    (target / ".other-20200101T000000Z-77.zip.part").touch()
    os.utime(target / ".other-20200101T000000Z-77.zip.part", (0, 0))
    assert back_up(source, target) == ""
    left = {path.name for path in target.iterdir() if path.name.endswith(".part")}
    assert left == {".backup-20200101T000000Z-78.zip.part", ".other-20200101T000000Z-77.zip.part"}


def test_a_missing_source_or_target_writes_nothing(source, target, tmp_path):
    assert "there is no such file or folder" in back_up(source / "absent", target)
    assert "there is no such folder; create it, mount its disk" in back_up(source, tmp_path / "absent")
    assert "cannot back up nothing" in call_job("back_up_files", sources=[], target=str(target))
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(
    "changes", [{"name": "../x"}, {"name": "a/b"}, {"name": ""}, {"name": ".x"}, {"keep": 0}, {"format": "rar"}]
)
def test_what_would_write_elsewhere_or_keep_nothing_is_refused_when_it_is_saved(changes):
    with pytest.raises(ParameterError) as refused:
        find("back_up_files", None).validate({"sources": ["/x"], "target": "/y"} | changes)
    assert list(refused.value.problems) == list(changes)
