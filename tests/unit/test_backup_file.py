"""The file of a backup: what was put in comes out, and nothing that somebody has changed."""

import json
import shutil
import stat
import zipfile

import pytest

from scheduler_app.commands.backup_file import BackupReader, BackupWriter
from scheduler_app.commands.problems import CommandProblem

PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    (folder / "database").write_bytes(b"rows" * 1000)
    (folder / "job").write_text("print('mine')")
    with (folder / "backup.zip").open("wb") as file:
        writer = BackupWriter(file)
        writer.add("database.sqlite3", folder / "database")
        writer.add("jobs/sub/mine.py", folder / "job")
        writer.finish({"migrations": []}, {"secrets": {"a": "b"}}, PASSPHRASE)
    return folder / "backup.zip"


def rewritten(made, tmp_path, change, extra=()):
    """Return a copy whose members *change* has seen, with *extra* ones."""
    copy = tmp_path / "changed.zip"
    with zipfile.ZipFile(made) as before, zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, change(name, before.read(name)))
        for info, content in extra:
            after.writestr(info, content)
    return copy


def restored(path, folder):
    with BackupReader(path) as backup:
        private = backup.private(PASSPHRASE)
        for name in backup.names:
            backup.extract(name, folder / name)
    return private


def test_what_was_put_in_comes_out(made, tmp_path):
    assert restored(made, tmp_path) == {"secrets": {"a": "b"}}
    assert (tmp_path / "jobs/sub/mine.py").read_text() == "print('mine')"
    assert (tmp_path / "database.sqlite3").read_bytes() == b"rows" * 1000


def test_another_passphrase_opens_nothing(made):
    with BackupReader(made) as backup, pytest.raises(CommandProblem, match="passphrase is another one"):
        backup.private("another passphrase")


def with_size(manifest, name, size):
    changed = json.loads(manifest)
    changed["files"][name]["size"] = size
    return json.dumps(changed).encode()


def changing(which, change):
    return lambda name, content: change(content) if name == which else content


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            changing("database.sqlite3", lambda content: content.replace(b"rows", b"rowz", 1)),
            "database.sqlite3 is not what",
            id="content",
        ),
        pytest.param(
            changing("jobs/sub/mine.py", lambda content: content + b"x" * 10**8), "mine.py is not what", id="bomb"
        ),
        pytest.param(
            changing("manifest.json", lambda content: with_size(content, "database.sqlite3", 10**12)),
            "somebody has changed the file",
            id="manifest",
        ),
        pytest.param(
            changing("private.bin", lambda content: content[:-1] + bytes([content[-1] ^ 1])),
            "somebody has changed the file",
            id="encrypted part",
        ),
        pytest.param(
            changing("manifest.json", lambda content: content.replace(b'"format": 1', b'"format": 2')),
            "a newer version",
            id="newer format",
        ),
        pytest.param(changing("manifest.json", lambda _: b"[" * 10**5), "no backup", id="deep manifest"),
        pytest.param(changing("manifest.json", lambda _: b" " * 10**8), "larger than", id="manifest bomb"),
    ],
)
def test_what_somebody_has_changed_is_refused(made, tmp_path, change, said):
    with pytest.raises(CommandProblem, match=said):
        restored(rewritten(made, tmp_path, change), tmp_path / "out")


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py",
        "jobs/../../evil.py",
        "/etc/evil",
        "jobs//evil",
        "jobs/a\\b",
        "C:/evil",
        "jobs/a:b",
        "jobs/evil/",
        "run/x",
        "jobs/x.",
    ],
)
def test_names_that_lead_elsewhere_are_refused(made, tmp_path, name):
    with pytest.raises(CommandProblem, match="which no backup has"):
        BackupReader(rewritten(made, tmp_path, lambda _, content: content, [(name, b"")]))


def test_links_and_files_that_no_manifest_names_are_refused(made, tmp_path):
    with pytest.raises(CommandProblem, match="which no backup has"):
        BackupReader(rewritten(made, tmp_path, lambda _, content: content, [(link("jobs/link"), b"/etc/passwd")]))
    with pytest.raises(CommandProblem, match="not those of its manifest"):
        BackupReader(rewritten(made, tmp_path, lambda _, content: content, [("jobs/more.py", b"")]))


def test_what_is_no_backup_is_a_sentence(made, tmp_path):
    cut = tmp_path / "cut.zip"
    shutil.copy(made, cut)
    with cut.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(CommandProblem, match="no backup of this program, or it is damaged"):
        BackupReader(cut)
    with pytest.raises(CommandProblem, match="cannot read"):
        BackupReader(tmp_path / "none.zip")
