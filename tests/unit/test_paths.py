"""Folders that only their owner reads, sentences where they cannot be made, and one secret key for all processes."""

import errno
import os
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scheduler_app import paths as paths_module
from scheduler_app.config import Config, Data, Jobs, Secret, Security
from scheduler_app.paths import FolderError, Paths, secret_key

posix_permissions = pytest.mark.skipif(os.name == "nt", reason="Windows has access lists instead of a mode")


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def config_in(folder, **sections):
    return Config(data=Data(folder=folder), **sections)


def paths_in(folder, **sections):
    return Paths.of(config_in(folder, **sections))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_lies_below_the_data_folder(data):
    paths = paths_in(data)
    assert (paths.logs, paths.run, paths.jobs, paths.rabbitmq) == (
        data / "logs",
        data / "run",
        data / "jobs",
        data / "rabbitmq",
    )
    assert paths.database == data / "scheduler.sqlite3"
    assert paths.embedded_broker == data / "broker.sqlite3"
    assert (paths.secret_key, paths.web_port) == (data / "secret.key", data / "run" / "web-port")


def test_a_configured_jobs_folder_is_used(data, tmp_path):
    assert paths_in(data, jobs=Jobs(folder=tmp_path / "mine")).jobs == tmp_path / "mine"


@posix_permissions
def test_prepare_makes_folders_for_their_owner_only_and_may_be_repeated(data):
    paths = paths_in(data)
    paths.prepare()
    paths.logs.chmod(0o755)

    paths.prepare()

    assert {folder.name: mode(folder) for folder in (data, *data.iterdir())} == {
        "data": 0o700,
        "logs": 0o700,
        "run": 0o700,
        "jobs": 0o700,
        "rabbitmq": 0o700,
    }
    assert [list(folder.iterdir()) for folder in data.iterdir()] == [[], [], [], []]


@posix_permissions
def test_a_jobs_folder_that_exists_elsewhere_keeps_its_permissions(data, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    mine.chmod(0o755)
    paths_in(data, jobs=Jobs(folder=mine)).prepare()
    assert mode(mine) == 0o755


def test_a_file_where_the_data_folder_should_be_is_named(data):
    data.write_text("")
    with pytest.raises(FolderError) as caught:
        paths_in(data).prepare()
    assert str(caught.value) == (
        f"cannot use the folder {data}: {data} is a file, not a folder; move it away, "
        "or choose another folder with --data or SCHEDULER_DATA_FOLDER"
    )


def test_a_file_above_the_data_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match=r"cannot use the folder .*file/a/b: .*file is a file, not a folder"):
        paths_in(tmp_path / "file" / "a" / "b").prepare()


@posix_permissions
def test_a_data_folder_without_permission_is_refused_in_a_sentence():
    """In a process without root's power to write everywhere."""
    script = (
        "import os, sys; from pathlib import Path\n"
        "from scheduler_app.config import Config, Data; from scheduler_app.paths import Paths, FolderError\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "try: Paths.of(Config(data=Data(folder=Path(sys.argv[1])))).prepare()\n"
        "except FolderError as error: print(error)"
    )
    # Not in tmp_path, which another user may not even look into.
    with tempfile.TemporaryDirectory() as closed:
        Path(closed).chmod(0o555)
        folder = Path(closed) / "data"
        done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        f"cannot use the folder {folder}: no permission; make it yours and writable, "
        "or choose another folder with --data or SCHEDULER_DATA_FOLDER"
    )


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EROFS, "the disk is read-only; mount it for writing, or choose"),
        (errno.ENOSPC, "the disk is full; make room, or choose"),
        (errno.EIO, "Input/output error, or choose"),
    ],
)
def test_a_folder_that_cannot_be_written_is_found_by_writing(data, monkeypatch, number, said):
    def refuse(folder):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(paths_module, "_try_to_write", refuse)
    with pytest.raises(FolderError) as caught:
        paths_in(data).prepare()
    assert f"cannot use the folder {data}: {said}" in str(caught.value)


@posix_permissions
class TestAFolderOfOthers:
    def test_is_refused_and_left_as_it_is(self, data):
        (data / "holiday").mkdir(parents=True)
        data.chmod(0o755)
        with pytest.raises(FolderError, match="it holds other things, such as holiday"):
            paths_in(data).prepare()
        assert [path.name for path in data.iterdir()] == ["holiday"]
        assert mode(data) == 0o755

    @pytest.mark.parametrize("content", ["scheduler.toml", "jobs", "lost+found", ".keep"])
    def test_is_not_one_that_is_ours_or_empty(self, data, content):
        (data / content).mkdir(parents=True)
        data.chmod(0o755)
        paths_in(data).prepare()
        assert mode(data) == 0o700


class TestSecretKey:
    def test_configured_key_is_used_and_nothing_written(self, data):
        config = config_in(data, security=Security(key=Secret("mine")))
        assert secret_key(config, Paths.of(config)) == "mine"
        assert not data.exists()

    def test_is_made_once_and_stays(self, data):
        config = config_in(data)
        paths = Paths.of(config)
        paths.prepare()

        made = secret_key(config, paths)

        assert len(made) >= 50
        assert secret_key(config, paths) == made
        assert [path.name for path in data.iterdir() if path.is_file()] == ["secret.key"]

    @posix_permissions
    def test_file_is_for_its_owner_only(self, data):
        config = config_in(data)
        data.mkdir()
        secret_key(config, Paths.of(config))
        assert mode(data / "secret.key") == 0o600

    def test_processes_that_make_it_at_once_get_the_same(self, data):
        data.mkdir()
        script = (
            "import sys; from pathlib import Path; from scheduler_app import config, paths\n"
            "c = config.Config(data=config.Data(folder=Path(sys.argv[1]))); p = paths.Paths.of(c)\n"
            "print('ready', flush=True); sys.stdin.readline(); print(paths.secret_key(c, p))"
        )
        children = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(6)
        ]
        assert [child.stdout.readline() for child in children] == ["ready\n"] * 6
        for child in children:
            child.stdin.write("\n")
            child.stdin.flush()
        keys = {child.communicate()[0] for child in children}
        assert len(keys) == 1
        assert len(keys.pop()) > 50

    def test_threads_that_all_find_no_key_agree_on_one(self, data, monkeypatch):
        """The race itself: every one of them sees that there is no file yet."""
        data.mkdir()
        monkeypatch.setattr(Path, "exists", lambda _: False)
        config = config_in(data)
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(lambda _: secret_key(config, Paths.of(config)), range(40)))
        assert len(keys) == 1

    def test_empty_file_is_an_error_that_says_what_to_do(self, data):
        data.mkdir()
        (data / "secret.key").touch()
        config = config_in(data)
        with pytest.raises(FolderError, match="the file is empty; delete it"):
            secret_key(config, Paths.of(config))

    def test_missing_data_folder_is_a_sentence(self, data):
        config = config_in(data)
        with pytest.raises(FolderError, match=r"cannot use the file .*secret\.key: No such file or directory"):
            secret_key(config, Paths.of(config))
