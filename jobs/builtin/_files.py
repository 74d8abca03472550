"""What the jobs about files and folders share: patterns, walking without following links, and words for sizes."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import NamedTuple

from jobs import JobFailed


def say(line: str) -> None:
    """Print a line; a name that is no text is shown as its bytes are written in Python."""
    sys.stdout.write(line.encode("utf-8", "backslashreplace").decode() + "\n")


def size_in_words(size: float) -> str:
    """Return a number of bytes as people read it: "1.2 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 - as disks and file managers count
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def matches(relative: PurePath, patterns: Iterable[str]) -> bool:
    """Tell whether one of *patterns* fits the name, or, when it holds a "/", the path, of what it stands for."""
    path = relative.as_posix()
    return any(fnmatch(path if "/" in pattern else relative.name, pattern.rstrip("/")) for pattern in patterns)


class Found(NamedTuple):
    """Something in a folder: *path* as it is opened, *relative* to the folder."""

    path: Path
    relative: PurePath
    entry: "os.DirEntry[str]"


def walk(
    folder: Path, leave_out: Callable[[Path, PurePath], bool], problem: Callable[[str], object]
) -> Iterator[Found]:
    """Yield everything below *folder*, sorted, a folder before its content; follows no link.

    *leave_out* gets the path of each, and the same from *folder* on. A folder that cannot be read is told to *problem*.
    """
    yield from _walk(folder, PurePath(), leave_out, problem)


def _walk(
    folder: Path, relative: PurePath, leave_out: Callable[[Path, PurePath], bool], problem: Callable[[str], object]
) -> Iterator[Found]:
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        problem(f"cannot read the folder {folder}: {error.strerror}")
        return
    for entry in entries:
        found = Found(Path(entry.path), relative / entry.name, entry)
        if leave_out(found.path, found.relative):
            continue
        yield found
        # A junction of Windows is no symbolic link, and leads out all the same.
        if entry.is_dir(follow_symlinks=False) and not _is_junction(entry):
            yield from _walk(found.path, found.relative, leave_out, problem)


def _is_junction(entry: "os.DirEntry[str]") -> bool:
    # st_reparse_tag: only on Windows; DirEntry.is_junction() came with Python 3.12.
    return getattr(entry.stat(follow_symlinks=False), "st_reparse_tag", 0) != 0


def existing_folder(folder: Path, what: str) -> Path:
    """Return *folder* without links in it; JobFailed when it is not there, as a disk that is not mounted would be."""
    if not folder.is_dir():
        raise JobFailed(
            f"cannot {what} {folder}: there is no such folder; create it, mount its disk, or choose another"
        )
    return folder.resolve()


def refuse_a_whole_disk(folder: Path, what: str) -> None:
    """Raise JobFailed when *folder* is the top of a disk or a home folder: nobody means that."""
    if folder in (Path(folder.anchor), Path.home().resolve(), Path.home().resolve().parent):
        raise JobFailed(f"cannot {what} {folder}: that is a whole disk or home folder; choose a folder in it")
