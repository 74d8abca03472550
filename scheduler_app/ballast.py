"""A file that takes room on the disk so that it can be given up when there is none left.

Deleting history from a full disk needs a little room itself: SQLite writes down first what it is about to change.
"""

import os
import shutil
from pathlib import Path

BLOCK = 1 << 20
# Less than this is a full disk: a step of retention, and what runs print meanwhile, take about as much.
LITTLE = 4 << 20
# Taken again only when this many times its size is free, so that it is not given and taken by turns.
PLENTY = 2


def is_short(folder: Path) -> bool:
    """Tell whether the disk with *folder* is full, or as good as that."""
    return shutil.disk_usage(folder).free < LITTLE


def problem(file: Path, size: int) -> str:
    """Return what a person should know of the disk with *file*; empty when there is room for *size* and more."""
    try:
        usage = shutil.disk_usage(file.parent)
    except OSError as error:
        return f"Cannot look after the room on the disk of {file.parent}: {error.strerror or error}."
    if usage.free < LITTLE or (not file.exists() and usage.free < PLENTY * size + LITTLE):
        return (
            f"The disk of {file.parent} is full ({usage.free / 1e6:.0f} MB left): soon no run can be recorded any more."
            " Make room on it, or keep less history (retention in the configuration)."
        )
    return ""


def give_up(file: Path) -> bool:
    """Make room; False when it had been made before."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


def take(file: Path, size: int) -> bool:
    """Take *size* bytes if there is plenty of room; tell whether they are taken."""
    if file.exists() and file.stat().st_size == size:
        return True
    if shutil.disk_usage(file.parent).free < PLENTY * size + LITTLE:
        return False
    file.unlink(missing_ok=True)
    draft = file.with_name(f"{file.name}.new")
    try:
        with draft.open("wb") as stream:
            # Not zeros: a file system may keep those without taking room for them.
            for start in range(0, size, BLOCK):
                stream.write(os.urandom(min(BLOCK, size - start)))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        return False
    return True
