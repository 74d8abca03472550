"""A child process together with everything it starts, and how all of it is found and killed."""

import contextlib
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import psutil

# Every process of a tree inherits it: the ids of all trees it belongs to. It finds the descendant that left the
# session and whose parent has gone, which neither the parents' chain nor the session leads to.
TREE_VARIABLE = "SCHEDULER_TREE"
SEPARATOR = "."

ROUNDS = 50  # a tree that forks faster than this many sweeps is not going to be caught by more
DEATH_LIMIT = 2.0  # seconds for the kernel to take back a killed process; longer only in uninterruptible sleep
ROUND_LIMIT = 0.1


# Two readings of when a process started may differ by this: Linux counts it from a boot time that the clock moves.
SAME_START = 2.0


class Root(NamedTuple):
    """What tells the root of a tree, and the tree, from all other processes of its machine; also after a restart."""

    pid: int
    started: float
    tree: str

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Root":
        return cls(int(stored["pid"]), float(stored["started"]), str(stored["tree"]))


class ProcessTree(ABC):
    """A child process and all its descendants; made by `platforms.spawn()`."""

    def __init__(self, popen: subprocess.Popen[bytes], root: Root) -> None:
        self.popen = popen
        self.pid = popen.pid
        self.root = root

    @abstractmethod
    def terminate(self) -> None:
        """Ask the whole process group to end; where a system cannot ask, kill the tree."""

    @abstractmethod
    def kill(self) -> None:
        """End the whole tree, also what left the group, and reap the child; nothing happens when all are gone."""

    @abstractmethod
    def close(self) -> None:
        """Release the system's handles; the pipes stay the caller's. On Windows what still runs is killed."""

    def _reap(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(DEATH_LIMIT)


def new_tree(env: Mapping[str, str] | None) -> tuple[str, dict[str, str]]:
    """Return a new tree's id, and *env* (default: this process's) with the mark of it and of all trees above."""
    tree = os.urandom(8).hex()
    above = os.environ.get(TREE_VARIABLE)
    mark = f"{above}{SEPARATOR}{tree}" if above else tree
    return tree, {**(os.environ if env is None else env), TREE_VARIABLE: mark}


def members(
    roots: Collection[int], *, tree: str | None, since: float, in_session: Callable[[int], bool]
) -> "list[psutil.Process]":
    """Return the living processes below the pids *roots*, in their session, or marked with *tree*; not the roots.

    No process of a tree is older than its root, which started at *since*: that spares reading the environment
    of all others.
    """
    import psutil  # noqa: PLC0415 - 20 ms that only those who kill have to pay for

    parents: dict[int, int] = {}
    processes: dict[int, psutil.Process] = {}
    found: set[int] = set(roots)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error), process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                continue  # dead; only its parent, which may not be us, can remove it
            parents[process.pid] = process.ppid()
            processes[process.pid] = process
            if in_session(process.pid) or (tree and process.create_time() >= since and _is_marked(process, tree)):
                found.add(process.pid)
    grown = True
    while grown:
        below = {pid for pid, parent in parents.items() if parent in found} - found
        found |= below
        grown = bool(below)
    return [processes[pid] for pid in found - set(roots) if pid in processes]


def end_left_behind(root: Root, session_of: "Callable[[int], int | None]") -> bool:
    """Kill what is left of a tree whose owner has gone; tell whether nothing of it lives any more."""

    def find() -> "list[psutil.Process]":
        import psutil  # noqa: PLC0415 - as above

        alive: list[psutil.Process] = []
        foreign = False
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(root.pid)
            foreign = abs(process.create_time() - root.started) > SAME_START
            if not foreign and process.status() != psutil.STATUS_ZOMBIE:
                alive = [process]
        # Whoever has the root's pid now has nothing to do with it, and its session is another one.
        return alive + members(
            [process.pid for process in alive],
            tree=root.tree,
            since=root.started - SAME_START,
            in_session=lambda pid: not foreign and pid != root.pid and session_of(pid) == root.pid,
        )

    kill_until_none_is_left(find)
    return not find()


def kill_all(processes: "list[psutil.Process]") -> None:
    """Kill *processes*, which must be no children of this one (waiting would take their exit code from Popen)."""
    import psutil  # noqa: PLC0415 - as above

    for process in processes:
        # kill() compares the time of creation: a pid that was given to another process is spared.
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=ROUND_LIMIT)


def kill_until_none_is_left(find: "Callable[[], list[psutil.Process]]") -> None:
    """Kill what *find* returns until it returns nothing: a process may fork between being found and killed."""
    for _ in range(ROUNDS):
        found = find()
        if not found:
            return
        kill_all(found)


def _is_marked(process: "psutil.Process", tree: str) -> bool:
    import psutil  # noqa: PLC0415 - as above

    try:
        return tree in process.environ().get(TREE_VARIABLE, "").split(SEPARATOR)
    except (psutil.Error, OSError):  # another user's process, or gone
        return False
