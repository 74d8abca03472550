"""The built-in job that packs files and folders into an archive, and keeps the newest ones."""

import stat
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Annotated, Literal

from jobs import Check, JobFailed, Label, job
from jobs.builtin import _archive
from jobs.builtin._files import existing_folder, matches, say, walk
from jobs.builtin._rotation import check_keep, check_name, new_file, prune

_SHOWN = 20  # files that the sentence of a failure names


@job(title="Back up files", group="Files", permission="jobs.run_command")
def back_up_files(
    sources: Annotated[list[Path], Label("Files and folders")],
    target: Annotated[Path, Label("Folder for the archives")],
    name: Annotated[str, Check(check_name), Label("Beginning of their names")] = "backup",
    format: Literal["zip", "tar.zst"] = "zip",  # noqa: A002 - the word that people look for
    exclude: list[str] = [],  # noqa: B006 - only a form's default; every call passes its own
    keep: Annotated[int | None, Check(check_keep)] = 7,
) -> None:
    """Pack files and folders into one archive, read it back to compare, and delete the oldest archives.

    The archive has the time in its name, appears under it only when it is complete, and holds links as links. What
    cannot be read is named, fails the run, and then nothing old is deleted.

    Args:
        sources: What is backed up, with everything in it.
        target: It must exist: on a disk that is not mounted nothing is written.
        name: The time follows it.
        format: zip can be opened everywhere; tar.zst is smaller and quicker, and keeps owners and permissions.
        exclude: Patterns such as *.tmp or node_modules; one with a / is compared with the path in its folder.
        keep: How many archives of this name stay, the new one included. Empty: all.
    """
    folder = existing_folder(target, "write to")
    if not sources:
        raise JobFailed("cannot back up nothing: name at least one file or folder")
    suffix = f".{format}"
    manifest: _archive.Manifest = {}
    problems: list[str] = []
    with new_file(folder, name, suffix) as draft:
        with draft.open("wb") as file, _archive.FORMATS[format](file, manifest) as archive:
            packing = _Packing(archive, folder, exclude, problems.append)
            for source, top in _tops(sources):
                packing.add(source, top)
        _verify(draft, format, manifest)
    say(f"{len(manifest)} files, read back and compared")
    if problems:
        more = f"\n… and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        listed = "\n".join(problems[:_SHOWN])
        raise JobFailed(f"the back-up is written, but not complete, so nothing old is deleted:\n{listed}{more}")
    prune(folder, name, suffix, keep)


def _tops(sources: list[Path]) -> list[tuple[Path, PurePath]]:
    """Return each source with its name in the archive: its own, with a number where two have the same."""
    tops: dict[str, Path] = {}
    for source in sources:
        if not source.exists():
            raise JobFailed(f"cannot back up {source}: there is no such file or folder; correct it, or mount its disk")
        # "." and the top of a disk have no name.
        own = source.absolute().name or source.resolve().name or "disk"
        top, number = own, 1
        while top in tops:
            number += 1
            top = f"{own}-{number}"
        tops[top] = source
        if top != own:
            say(f"{source} is {top} in the archive")
    return [(source, PurePath(top)) for top, source in tops.items()]


class _Packing:
    def __init__(
        self, archive: _archive.Archive, target: Path, exclude: list[str], problem: Callable[[str], object]
    ) -> None:
        self._archive = archive
        self._target = target
        self._exclude = exclude
        self._problem = problem

    def add(self, source: Path, top: PurePath) -> None:
        # What was named is meant, be it a link; what is found in it is kept as it is.
        source = source.resolve()
        if not source.is_dir():
            self._add(source, top)
            return
        self._archive.add_folder(source, top.as_posix())
        if self._target == source:
            raise JobFailed(f"cannot back up {source} into itself: choose another folder for the archives")
        if self._target.is_relative_to(source):
            say(f"{self._target} is left out: the archives are there")
        for found in walk(source, self._is_left_out, self._problem):
            self._add(found.path, top / found.relative)

    def _is_left_out(self, path: Path, relative: PurePath) -> bool:
        return path == self._target or matches(relative, self._exclude)

    def _add(self, path: Path, name: PurePath) -> None:
        inside = name.as_posix()
        try:
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                self._archive.add_link(path, inside)
            elif stat.S_ISDIR(mode):
                self._archive.add_folder(path, inside)
            elif stat.S_ISREG(mode):
                self._archive.add_file(path, inside)
            else:
                say(f"{path} is left out: it is a socket, a pipe or a device")
        except _archive.Changed:
            self._problem(f"{path} became shorter while it was read")
        except UnicodeEncodeError:
            self._problem(f"{path!r} has a name that a zip cannot hold; choose tar.zst")
        except OSError as error:
            if error.filename is None:  # of writing, not of reading: a full disk, say
                raise
            self._problem(f"cannot read {path}: {error.strerror}")


def _verify(draft: Path, kind: str, written: _archive.Manifest) -> None:
    try:
        found = _archive.read_back(draft, kind)
    except Exception as error:  # each format has errors of its own for what is damaged
        raise JobFailed(
            f"the archive cannot be read back ({error}), so it was deleted; look after the disk of {draft.parent}"
        ) from error
    wrong = sorted(name for name in written.keys() | found.keys() if written.get(name) != found.get(name))
    if wrong:
        raise JobFailed(
            f"the archive does not hold what was written ({', '.join(wrong[:_SHOWN])}), so it was deleted; look after "
            f"the disk of {draft.parent}"
        )
