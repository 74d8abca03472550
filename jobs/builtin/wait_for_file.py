"""The built-in job that waits until a file is there and has stopped growing."""

import glob
import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from jobs import Check, JobFailed, Label, job
from jobs.builtin._files import say, size_in_words
from jobs.durations import format_duration

_LOOK_EVERY = 1.0  # seconds

# path → (size, time of change, inode): what stays the same when nobody writes
_Look = dict[str, tuple[int, int, int]]


def _check_some(duration: timedelta) -> None:
    if not duration:
        raise ValueError("some time is needed, such as 10s")


@job(title="Wait for a file", group="Checks")
def wait_for_file(
    path: Annotated[Path, Label("File")],
    unchanged_for: timedelta = timedelta(seconds=10),
    give_up_after: Annotated[timedelta, Check(_check_some)] = timedelta(hours=1),
    may_be_empty: bool = False,
) -> None:
    """Wait until a file is there and nobody writes to it any more; fail when that takes too long.

    What a schedule runs when this one has succeeded then finds the whole file.

    Args:
        path: With wildcards, such as /in/orders-*.csv, one file that fits is enough.
        unchanged_for: So long must size and time of change have stayed the same.
        give_up_after: Then the run fails.
        may_be_empty: Be content with a file without content.
    """
    end = time.monotonic() + give_up_after.total_seconds()
    pace = min(_LOOK_EVERY, max(0.05, unchanged_for.total_seconds() / 4))
    since: dict[str, tuple[tuple[int, int, int], float]] = {}
    while True:
        now = time.monotonic()
        looks = _look(path, may_be_empty=may_be_empty)
        since = {
            name: (look, since[name][1] if name in since and since[name][0] == look else now)
            for name, look in looks.items()
        }
        ready = [name for name, (_, began) in since.items() if now - began >= unchanged_for.total_seconds()]
        if ready:
            for name in sorted(ready):
                say(f"{name} ({size_in_words(looks[name][0])})")
            return
        if now >= end:
            raise JobFailed(_why(path, looks, give_up_after))
        time.sleep(pace)


def _look(path: Path, *, may_be_empty: bool) -> _Look:
    found = glob.glob(str(path)) if glob.has_magic(str(path)) and not path.exists() else [str(path)]  # noqa: PTH207 - takes a pattern with a root
    looks: _Look = {}
    for name in found:
        file = Path(name)
        try:
            status = file.stat()
        except OSError:
            continue
        if file.is_file() and (status.st_size or may_be_empty):
            looks[name] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return looks


def _why(path: Path, looks: _Look, limit: timedelta) -> str:
    waited = format_duration(limit)
    if looks:
        return f"{', '.join(sorted(looks))} still changed after {waited}"
    if path.is_file():
        return f"{path} was still empty after {waited}"
    return f"there was no file {path} within {waited}"
