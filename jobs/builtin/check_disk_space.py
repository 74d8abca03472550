"""The built-in job that fails when a disk is nearly full."""

import shutil
from pathlib import Path
from typing import Annotated

from jobs import Check, JobFailed, Size, job
from jobs.builtin._files import say, size_in_words


def _check_percent(percent: int) -> None:
    if not 0 <= percent < 100:  # noqa: PLR2004 - per cent
        raise ValueError("a whole number from 0 to 99 is needed")


@job(title="Check disk space", group="Checks")
def check_disk_space(
    folders: list[Path],
    least_free: Annotated[int, Size()] = 1_000_000_000,
    least_free_percent: Annotated[int, Check(_check_percent)] = 5,
) -> None:
    """Fail when one of the disks has too little room left.

    Args:
        folders: A folder on each disk that is checked.
        least_free: So much must be free, such as 500MB or 20GB.
        least_free_percent: So many per cent of the disk must be free, too.
    """
    if not folders:
        raise JobFailed("cannot check no disk: name a folder on it")
    problems = []
    for folder in folders:
        try:
            usage = shutil.disk_usage(folder)
        except OSError as error:
            problems.append(f"cannot look at the disk of {folder}: {error.strerror}")
            continue
        percent = 100 * usage.free / usage.total if usage.total else 0
        line = f"{folder} has {size_in_words(usage.free)} free of {size_in_words(usage.total)} ({percent:.1f} %)"
        say(line)
        if usage.free < least_free:
            problems.append(f"{line}: less than {size_in_words(least_free)}")
        elif percent < least_free_percent:
            problems.append(f"{line}: less than {least_free_percent} %")
    if problems:
        raise JobFailed("\n".join(problems))
