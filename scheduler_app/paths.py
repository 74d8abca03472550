"""Where everything lives below the data folder, and the folders made so that only their owner reads them."""

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scheduler_app import platforms
from scheduler_app.config import Config

# What tells a data folder from a folder with other things in it.
OWN_NAMES = frozenset({"scheduler.toml", "scheduler.sqlite3", "secret.key", "secrets.key", "logs", "run", "jobs"})


class FolderError(Exception):
    """A folder or file of the program's own cannot be made, read or written; str() says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Paths:
    data: Path
    jobs: Path

    @classmethod
    def of(cls, config: Config) -> Self:
        return cls(data=config.data.folder, jobs=config.jobs.folder or config.data.folder / "jobs")

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def run(self) -> Path:
        """Lock and control socket: what makes sense only while the program runs."""
        return self.data / "run"

    @property
    def progress(self) -> Path:
        """Where running jobs say how far they have come."""
        return self.run / "progress"

    @property
    def rabbitmq(self) -> Path:
        return self.data / "rabbitmq"

    @property
    def database(self) -> Path:
        return self.data / "scheduler.sqlite3"

    @property
    def embedded_broker(self) -> Path:
        return self.data / "broker.sqlite3"

    @property
    def secret_key(self) -> Path:
        return self.data / "secret.key"

    @property
    def secrets_key(self) -> Path:
        """The key that secrets are encrypted with, or the name of the keyring's entry that holds it."""
        return self.data / "secrets.key"

    @property
    def secrets_looked_up_to(self) -> Path:
        """The number of the last run that was looked at for values that should be secrets."""
        return self.data / "secrets.looked-up-to"

    @property
    def ballast(self) -> Path:
        """Room that is given up when the disk is full."""
        return self.data / "ballast"

    @property
    def web_port(self) -> Path:
        return self.run / "web-port"

    def prepare(self) -> None:
        """Make the folders, for their owner only; raise FolderError where one cannot be made or written.

        A jobs folder that is configured and exists outside the data folder keeps its permissions and is not written.
        """
        self._refuse_a_folder_of_others()
        for folder in (self.data, self.logs, self.run, self.rabbitmq, self.jobs):
            own = folder.is_relative_to(self.data)
            try:
                existed = folder.is_dir()
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if (own or not existed) and not platforms.is_restricted(folder):
                    platforms.restrict_to_owner(folder)
                if own:
                    _try_to_write(folder)
            except OSError as error:
                where = "--data or SCHEDULER_DATA_FOLDER" if own else "jobs.folder or SCHEDULER_JOBS_FOLDER"
                raise FolderError(_sentence(f"cannot use the folder {folder}", folder, error, where)) from error

    def _refuse_a_folder_of_others(self) -> None:
        """Refuse, say, /tmp or a home folder as data folder: taking it for its owner only would lock others out."""
        try:
            if not self.data.is_dir() or platforms.is_restricted(self.data):
                return
            found = {path.name for path in self.data.iterdir() if not path.name.startswith(".")} - {"lost+found"}
        except OSError:
            return  # prepare() says what is wrong
        if found and not found & OWN_NAMES:
            raise FolderError(
                f"cannot use the folder {self.data} for data: it holds other things, such as {min(found)}, and "
                "would be closed to everybody but you; choose a folder of its own with --data or SCHEDULER_DATA_FOLDER"
            )


def secret_key(config: Config, paths: Paths) -> str:
    """Return the configured key, or the one in secret.key, which is made on first use.

    Several processes may do so at once: all return the same key. Raises FolderError.
    """
    if config.security.key is not None:
        return config.security.key.reveal()
    try:
        return _read_or_make_key(paths.secret_key)
    except OSError as error:
        cannot, where = f"cannot use the file {paths.secret_key}", "--data or SCHEDULER_DATA_FOLDER"
        raise FolderError(_sentence(cannot, paths.data, error, where)) from error


def make_once(path: Path, content: Callable[[], str]) -> None:
    """Make the file *path*, for its owner only, unless it is there; of several processes at once, one makes it.

    A complete file appears under the name or none: a reader never sees half of it. Raises OSError.
    """
    if path.exists():
        return
    import tempfile  # noqa: PLC0415 - 5 ms, paid once in a lifetime

    descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)
    draft = Path(name)
    try:
        with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(content())
            file.flush()
            os.fsync(file.fileno())
        platforms.restrict_to_owner(draft)
        with contextlib.suppress(FileExistsError):  # another process was faster: its file counts
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _read_or_make_key(path: Path) -> str:
    make_once(path, _new_key)
    key = path.read_text(encoding="ascii").strip()
    if not key:
        raise FolderError(f"cannot use the secret key in {path}: the file is empty; delete it, a new one is made")
    return key


def _new_key() -> str:
    import secrets  # noqa: PLC0415 - only the first start has to pay for it

    return f"{secrets.token_urlsafe(50)}\n"


def _try_to_write(folder: Path) -> None:
    # Asking for permissions is not enough: a full or read-only disk, or a network share, says no only when written to.
    import tempfile  # noqa: PLC0415 - only prepare() has to pay for it

    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"x")


def _sentence(cannot: str, path: Path, error: OSError, where: str) -> str:
    """Say what stands in the way, and what to do about it; *where* another folder is chosen."""
    choose = f"or choose another folder with {where}"
    obstacle = _file_instead_of_folder(path)
    if isinstance(error, FileExistsError | NotADirectoryError) and obstacle is not None:
        return f"{cannot}: {obstacle} is a file, not a folder; move it away, {choose}"
    reasons = {
        errno.EACCES: "no permission; make it yours and writable",
        errno.EPERM: "no permission; make it yours and writable",
        errno.ENOENT: "No such file or directory, and it cannot be made there",
        errno.EROFS: "the disk is read-only; mount it for writing",
        errno.ENOSPC: "the disk is full; make room",
        errno.EDQUOT: "your quota of the disk is used up; make room",
    }
    return f"{cannot}: {reasons.get(error.errno or 0, error.strerror or str(error))}, {choose}"


def _file_instead_of_folder(path: Path) -> Path | None:
    for each in (path, *path.parents):
        with contextlib.suppress(OSError):
            if each.exists():
                return None if each.is_dir() else each
    return None
