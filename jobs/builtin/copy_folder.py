"""The built-in job that copies what is new or changed in a folder to another one, and can make the two alike."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from jobs import Check, JobFailed, Label, job
from jobs.builtin._files import Found, existing_folder, matches, refuse_a_whole_disk, say, size_in_words, walk

_TOLERANCE = 2.0  # seconds: FAT keeps times no finer
_PART = ".scheduler-part"


def _check_most(count: int) -> None:
    if count < 0:
        raise ValueError("it cannot be negative; 0 means that nothing may be deleted")


@job(title="Copy a folder", group="Files", permission="jobs.run_command")
def copy_folder(
    source: Annotated[Path, Label("From")],
    target: Annotated[Path, Label("To")],
    exclude: list[str] = [],  # noqa: B006 - only a form's default; every call passes its own
    delete: Annotated[bool, Label("Delete what is no longer there")] = False,
    delete_at_most: Annotated[int, Check(_check_most)] = 100,
    dry_run: Annotated[bool, Label("Only say what would be done")] = False,
) -> None:
    """Copy the files of a folder that are new or have changed, with their times and permissions.

    A file is the same when size and time of change are. Each appears complete or not at all; links are copied as links.

    Args:
        source: The folder whose content is copied.
        target: The folder that gets it. It must exist: on a disk that is not mounted nothing is written.
        exclude: Patterns such as *.tmp or node_modules; one with a / is compared with the path in the folder. What they
            fit is neither copied nor deleted.
        delete: Delete in the target what is not in the source, so that both are alike.
        delete_at_most: When more files and folders would be deleted than this, nothing is done at all.
        dry_run: Neither copy nor delete.
    """
    source, target = existing_folder(source, "copy from"), existing_folder(target, "copy to")
    if source.is_relative_to(target) or target.is_relative_to(source):
        raise JobFailed(f"cannot copy {source} to {target}: one is inside the other; choose a folder elsewhere")
    copying = _Copying(source, target, exclude, dry_run=dry_run)
    wanted = list(copying.found_in(source))
    surplus: list[Found] = []
    if delete:
        refuse_a_whole_disk(target, "delete in")
        surplus = _surplus(wanted, list(copying.found_in(target)), delete_at_most, copying)
    for found in reversed(surplus):
        copying.delete(found)
    for found in wanted:
        copying.copy(found)
    would = "would be " if dry_run else ""
    say(f"{copying.copied} {would}copied ({size_in_words(copying.size)}), {copying.deleted} {would}deleted")
    if copying.problems:
        raise JobFailed("\n".join(copying.problems))


class _Copying:
    def __init__(self, source: Path, target: Path, exclude: list[str], *, dry_run: bool) -> None:
        self._source = source
        self._target = target
        self._exclude = exclude
        self._dry_run = dry_run
        self.problems: list[str] = []
        self.copied = self.deleted = self.size = 0

    def found_in(self, folder: Path) -> Iterator[Found]:
        return walk(folder, lambda _path, relative: matches(relative, self._exclude), self.problems.append)

    def delete(self, found: Found) -> None:
        self._say("delete", found.path)
        self.deleted += 1
        if self._dry_run:
            return
        try:
            self._check_inside(found.path.parent)
            if found.entry.is_dir(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    found.path.rmdir()
            else:
                found.path.unlink(missing_ok=True)
        except OSError as error:
            self.problems.append(f"cannot delete {found.path}: {error.strerror}")

    def copy(self, found: Found) -> None:
        to = self._target / found.relative
        try:
            status = found.path.lstat()
            if stat.S_ISDIR(status.st_mode):
                self._make_folder(found.path, to)
            elif stat.S_ISLNK(status.st_mode):
                self._copy_link(found.path, to)
            elif not stat.S_ISREG(status.st_mode):
                say(f"{found.path} is left out: it is a socket, a pipe or a device")
            elif _differs(status, to):
                self._copy_file(found.path, to, status.st_size)
        except OSError as error:
            self.problems.append(f"cannot copy {found.path} to {to}: {error.strerror}")

    def _make_folder(self, folder: Path, to: Path) -> None:
        if to.is_dir() and not to.is_symlink():
            return
        self._refuse_other_kind(to)
        if not self._dry_run:
            self._check_inside(to.parent)
            to.mkdir()
            shutil.copymode(folder, to)

    def _copy_link(self, link: Path, to: Path) -> None:
        leads = link.readlink()
        if to.is_symlink() and to.readlink() == leads:
            return
        if not to.is_symlink():
            self._refuse_other_kind(to)
        self._say("copy", link)
        self.copied += 1
        if not self._dry_run:
            self._check_inside(to.parent)
            part = to.with_name(f".{to.name}{_PART}")
            part.unlink(missing_ok=True)
            part.symlink_to(leads)
            part.replace(to)

    def _copy_file(self, file: Path, to: Path, size: int) -> None:
        if to.is_dir() and not to.is_symlink():
            self._refuse_other_kind(to)
        self._say("copy", file)
        self.copied += 1
        self.size += size
        if self._dry_run:
            return
        self._check_inside(to.parent)
        part = to.with_name(f".{to.name}{_PART}")
        try:
            # A part that a killed run left is overwritten, a link of that name is not followed.
            part.unlink(missing_ok=True)
            shutil.copy2(file, part, follow_symlinks=False)
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)

    def _refuse_other_kind(self, to: Path) -> None:
        if os.path.lexists(to):
            raise OSError(None, "something of another kind has this name there; remove it")

    def _check_inside(self, folder: Path) -> None:
        """Refuse to write through a link in the target, which would be somewhere else."""
        if folder.resolve() != folder:
            raise OSError(None, f"{folder} is, or is in, a link that leads elsewhere")

    def _say(self, what: str, path: Path) -> None:
        say(f"{'would ' if self._dry_run else ''}{what} {path}")


def _differs(status: os.stat_result, to: Path) -> bool:
    try:
        there = to.lstat()
    except FileNotFoundError:
        return True
    same_time = abs(there.st_mtime - status.st_mtime) < _TOLERANCE
    return not (stat.S_ISREG(there.st_mode) and there.st_size == status.st_size and same_time)


def _surplus(wanted: list[Found], there: list[Found], at_most: int, copying: _Copying) -> list[Found]:
    """Return what of the target is not in the source; JobFailed when that looks like a mistake."""
    names = {found.relative for found in wanted}
    surplus = [found for found in there if found.relative not in names]
    if copying.problems:  # what could not be read may well be there
        raise JobFailed("nothing was copied or deleted:\n" + "\n".join(copying.problems))
    if surplus and not wanted:
        raise JobFailed("nothing was deleted: the source is empty, which it is, too, when its disk is not mounted")
    if len(surplus) > at_most:
        some = ", ".join(str(found.relative) for found in surplus[:3])
        raise JobFailed(
            f"nothing was copied or deleted: {len(surplus)} files and folders of the target are not in the source "
            f"({some} …), and {at_most} may be deleted; raise that number if they are to go"
        )
    return surplus
