"""Back-up files with the time in their names: written under a temporary name first, and the oldest of them deleted."""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from jobs import JobFailed
from jobs.builtin._files import say, size_in_words

_STAMP = r"\d{8}T\d{6}Z(-\d+)?"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
# What a run left that was killed; one that is younger may still be written by another run.
_LEFT_BEHIND = 86400.0


def check_name(name: str) -> None:
    """Raise ValueError unless *name* can be the beginning of a file's name on every system."""
    if not _NAME.fullmatch(name):
        raise ValueError("letters, digits, '.', '-' and '_' are allowed, a letter or digit first, 100 at most")


def check_keep(keep: int | None) -> None:
    """Raise ValueError for a number that would delete what was just written."""
    if keep is not None and keep < 1:
        raise ValueError("at least 1 must be kept; leave it empty to keep all")


@contextlib.contextmanager
def new_file(folder: Path, name: str, suffix: str) -> Iterator[Path]:
    """Yield the temporary file to write, readable by its owner only; it gets its name when the block succeeds.

    Whatever the block raises, nothing is left of it. An OSError of the block's becomes a JobFailed.
    """
    _forget_unfinished(folder, name, suffix)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    draft = folder / f".{name}-{stamp}-{os.getpid()}{suffix}.part"
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            yield draft
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
            final = _given_a_name(draft, folder, f"{name}-{stamp}", suffix)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        where = f": {error.filename}" if error.filename and error.filename != str(draft) else ""
        raise JobFailed(f"cannot write the back-up to {folder}: {error.strerror or error}{where}") from error
    say(f"wrote {final} ({size_in_words(final.stat().st_size)})")


def prune(folder: Path, name: str, suffix: str, keep: int | None) -> None:
    """Delete all but the newest *keep* files that `new_file` made of this name; no file of another name is touched."""
    made = re.compile(rf"{re.escape(name)}-{_STAMP}{re.escape(suffix)}")
    own = [path for path in folder.iterdir() if made.fullmatch(path.name) and path.is_file() and not path.is_symlink()]
    for path in sorted(own, key=_age_of)[: -keep if keep else 0]:
        try:
            path.unlink()
        except OSError as error:
            raise JobFailed(
                f"the back-up is written, but the old {path} cannot be deleted: {error.strerror}"
            ) from error
        say(f"deleted the old {path.name}")


def _age_of(path: Path) -> tuple[str, int]:
    found = re.search(r"(\d{8}T\d{6}Z)(?:-(\d+))?", path.name)
    assert found is not None  # noqa: S101 - the names that prune looks at have it
    return found[1], int(found[2] or 1)


def _given_a_name(draft: Path, folder: Path, stem: str, suffix: str) -> Path:
    """Give *draft* its name, another one than any file has that is there."""
    number = 1
    while True:
        final = folder / f"{stem}{f'-{number}' if number > 1 else ''}{suffix}"
        if not os.path.lexists(final):
            return draft.rename(final)
        number += 1


def _forget_unfinished(folder: Path, name: str, suffix: str) -> None:
    unfinished = re.compile(rf"\.{re.escape(name)}-\d{{8}}T\d{{6}}Z-\d+{re.escape(suffix)}\.part")
    with contextlib.suppress(OSError):  # whoever writes next says what is wrong with the folder
        for path in folder.iterdir():
            if unfinished.fullmatch(path.name) and path.lstat().st_mtime < time.time() - _LEFT_BEHIND:
                path.unlink()
