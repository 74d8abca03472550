"""The pipe on stdin that a process of this program lives by.

Whoever starts the process holds the other end, and keeps it open as long as it wants the process:

- the line "stop" asks it to end: `ended` becomes "stop" and the main thread gets SIGTERM; the second "stop" asks it to
  hurry, where it has said how (`on_hurry`), and else, as each further one, sends SIGTERM again;
- the end of the file, also after a "stop", means that the other side is gone, however it ended: `ended` becomes
  "orphaned", the main thread gets SIGTERM unless it had it already, and after ORPHAN_LIMIT the
  process is ended together with all it started.

A signal to the process group would take Celery's pool processes down with their tasks, and Windows has none.
"""

import contextlib
import os
import signal
import stat
import threading
import traceback
from collections.abc import Callable
from typing import Literal

from scheduler_app import platforms

ORPHAN_LIMIT = 8.0  # seconds to stop cleanly once the parent is gone
STDIN = 0
LARGEST_READ = 4096

ended: Literal["stop", "orphaned"] | None = None

_callbacks: list[Callable[[], object]] = []
_hurry: Callable[[], object] | None = None
_changing = threading.Lock()


def on_end(callback: Callable[[], object]) -> None:
    """Call *callback* once when the end begins, in the lifeline's thread, before the signal; at once if it has begun.

    It must return soon and leave the work to others: set an event, close a socket.
    """
    with _changing:
        if ended is None:
            _callbacks.append(callback)
            return
    callback()


def on_hurry(callback: Callable[[], object]) -> None:
    """Call *callback*, in the lifeline's thread, when the process is asked to stop for the second time."""
    global _hurry  # noqa: PLW0603 - one process has one way to hurry
    _hurry = callback


def is_attached() -> bool:
    """Tell whether stdin is a pipe (or a socket): a terminal and the null device have nobody on the other side."""
    try:
        mode = os.fstat(STDIN).st_mode
    except OSError:  # closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def start() -> None:
    """Begin to read stdin in a thread of its own."""
    descriptor = _take_stdin()
    threading.Thread(target=_listen, args=(descriptor,), name="lifeline", daemon=True).start()


def _take_stdin() -> int:
    """Move the pipe away from stdin and put the null device there.

    A child that inherited it could read the line that is meant for this process; on Windows it would hang in
    its first look at stdin for as long as this process waits in a read of the same pipe.
    """
    descriptor = os.dup(STDIN)  # not inherited by children (PEP 446)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, STDIN)
    os.close(null)
    return descriptor


def _listen(descriptor: int) -> None:
    # os.read, not sys.stdin: a thread that waits inside sys.stdin holds its lock, and Python aborts at exit over it.
    unfinished, stops = b"", 0
    while received := _read(descriptor):
        *lines, unfinished = (unfinished + received).split(b"\n")
        for line in lines:
            if line.strip() != b"stop":
                continue
            stops += 1
            _begin("stop")
            if stops == 2 and _hurry is not None:  # noqa: PLR2004 - the second time
                _call(_hurry)
            else:
                platforms.signal_main_thread(signal.SIGTERM)
    was_asked = ended is not None
    _begin("orphaned")
    if not was_asked:
        platforms.signal_main_thread(signal.SIGTERM)
    threading.Event().wait(ORPHAN_LIMIT)  # nothing sets it: this thread ends with the process, or ends it
    platforms.kill_own_tree()


def _read(descriptor: int) -> bytes:
    with contextlib.suppress(OSError):  # Windows: the other side was killed
        return os.read(descriptor, LARGEST_READ)
    return b""


def _begin(reason: Literal["stop", "orphaned"]) -> None:
    global ended  # noqa: PLW0603 - one process has one end
    with _changing:
        ended = reason
        callbacks, _callbacks[:] = list(_callbacks), []
    for callback in callbacks:
        _call(callback)


def _call(callback: Callable[[], object]) -> None:
    try:
        callback()
    except Exception:  # noqa: BLE001 - whatever it does, this thread still has to end the process
        traceback.print_exc()
