"""The built-in job that deletes the old files of a folder, and first only says which."""

import os
import stat
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Annotated, NamedTuple

from jobs import Check, JobFailed, Label, job
from jobs.builtin._files import existing_folder, matches, refuse_a_whole_disk, say, size_in_words, walk
from jobs.durations import format_duration


def _check_age(age: timedelta) -> None:
    if not age:
        raise ValueError("every file is that old; give an age such as 30d")


def _check_count(count: int) -> None:
    if count < 0:
        raise ValueError("it cannot be negative")


@job(title="Clean old files", group="Files", permission="jobs.run_command")
def clean_old_files(
    folder: Path,
    older_than: Annotated[timedelta, Check(_check_age)] = timedelta(days=30),
    pattern: list[str] = ["*"],  # noqa: B006 - only a form's default; every call passes its own
    exclude: list[str] = [],  # noqa: B006 - as above
    keep: Annotated[int, Check(_check_count), Label("Keep the newest")] = 0,
    subfolders: Annotated[bool, Label("Look into subfolders")] = False,
    empty_folders: Annotated[bool, Label("Delete subfolders that are empty")] = False,
    dry_run: Annotated[bool, Label("Only say what would be deleted")] = True,
) -> None:
    """Delete the files of a folder that have not changed for some time; until told otherwise, only say which.

    Links are neither followed nor deleted.

    Args:
        folder: Neither a whole disk nor a home folder is accepted.
        older_than: Since the last change of a file, such as 30d or 12h.
        pattern: Which files, such as *.log; one with a / is compared with the path in the folder.
        exclude: Which files and subfolders are left alone, such as *.keep
        keep: So many of the newest files stay, however old they are.
        subfolders: Files in subfolders, too.
        empty_folders: Those that this job has emptied, and those that were empty and old before.
        dry_run: Switch off once the list of a run is what you want.
    """
    folder = existing_folder(folder, "clean")
    refuse_a_whole_disk(folder, "clean")
    before = time.time() - older_than.total_seconds()
    cleaning = _Cleaning(folder, dry_run=dry_run)
    found = sorted(_files(folder, pattern, exclude, cleaning, subfolders=subfolders), key=lambda file: -file.changed)
    old = [file for file in found[keep:] if file.changed < before]
    for file in sorted(old, key=lambda file: file.path):
        cleaning.delete(file.path, f"{size_in_words(file.size)}, {_age(file.changed)} old", file.size)
    if empty_folders and subfolders:
        cleaning.delete_empty_folders(before, exclude)
    word = "would be deleted" if dry_run else "deleted"
    say(f"{cleaning.count} {word}, {size_in_words(cleaning.size)}; {len(found) - len(old)} files stay")
    if cleaning.problems:
        raise JobFailed("\n".join(cleaning.problems))


class _File(NamedTuple):
    path: Path
    changed: float
    size: int


class _Cleaning:
    """What is deleted, or would be, and what cannot be."""

    def __init__(self, folder: Path, *, dry_run: bool) -> None:
        self._folder = folder
        self._dry_run = dry_run
        self._gone: set[Path] = set()
        self.problems: list[str] = []
        self.count = 0
        self.size = 0

    def delete(self, path: Path, about: str, size: int = 0) -> None:
        if not self._dry_run:
            try:
                self._delete(path)
            except FileNotFoundError:
                return
            except OSError as error:
                self.problems.append(f"cannot delete {path}: {error.strerror}")
                return
        self._gone.add(path)
        self.count += 1
        self.size += size
        say(f"{'would delete' if self._dry_run else 'deleted'} {path} ({about})")

    def _delete(self, path: Path) -> None:
        # A folder on the way may have become a link since it was listed: it must still be the one below ours.
        if path.parent.resolve() != path.parent:
            raise OSError(None, "its folder has become a link that leads elsewhere")
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()

    def delete_empty_folders(self, before: float, exclude: list[str]) -> None:
        """Delete the folders that hold nothing any more, the deepest first."""

        def leave_out(_path: Path, relative: PurePath) -> bool:
            return matches(relative, exclude)

        for found in reversed(list(walk(self._folder, leave_out, self.problems.append))):
            if not found.entry.is_dir(follow_symlinks=False):
                continue
            try:
                content = {found.path / name for name in os.listdir(found.path)}  # noqa: PTH208 - names are enough
                touched = any(path.parent == found.path for path in self._gone)
                if content <= self._gone and (touched or found.path.stat().st_mtime < before):
                    self.delete(found.path, "empty folder")
            except OSError as error:
                self.problems.append(f"cannot look into {found.path}: {error.strerror}")


def _files(
    folder: Path, pattern: list[str], exclude: list[str], cleaning: _Cleaning, *, subfolders: bool
) -> Iterator[_File]:
    def leave_out(path: Path, relative: PurePath) -> bool:
        return matches(relative, exclude) or (not subfolders and path.is_dir())

    for found in walk(folder, leave_out, cleaning.problems.append):
        status = found.entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and matches(found.relative, pattern):
            yield _File(found.path, status.st_mtime, status.st_size)


def _age(changed: float) -> str:
    age = timedelta(seconds=max(0, int(time.time() - changed)))
    return format_duration(timedelta(days=age.days) if age.days else age)
