"""Linux, macOS and other POSIX systems."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from scheduler_app.platforms.login_start import DesktopEntry, LaunchAgent, login_start_name
from scheduler_app.platforms.process_tree import (
    SEPARATOR,
    TREE_VARIABLE,
    ProcessTree,
    Root,
    end_left_behind,
    kill_all,
    kill_until_none_is_left,
    members,
    new_tree,
)

if TYPE_CHECKING:
    import psutil

assert sys.platform != "win32"  # noqa: S101 - mypy skips the rest there

from scheduler_app.platforms.background_posix import LaunchdAgent, SystemdUnit  # noqa: E402 - as the assertion says

# sockaddr_un.sun_path holds 104 bytes on macOS and the BSDs, 108 on Linux, the final zero included (unix(4), unix(7)).
LONGEST_SOCKET_PATH = 103
PR_SET_CHILD_SUBREAPER = 36  # prctl(2), linux/prctl.h
ORPHANS_PACE = 0.02


class PosixTree(ProcessTree):
    """The child leads a session of its own, in which its descendants are unless they leave it."""

    def __init__(self, popen: subprocess.Popen[bytes], tree: str) -> None:
        import psutil  # noqa: PLC0415 - a bare Python, which has no psutil yet, imports this module

        # Not reaped yet, so the pid is still the child's.
        super().__init__(popen, Root(popen.pid, psutil.Process(popen.pid).create_time(), tree))
        self._all_gone = False
        self._known: list[psutil.Process] = []

    def terminate(self) -> None:
        if self.popen.poll() is None:
            # Its death hands them to another parent; who has left the session and dropped the mark is then unknown.
            self._known = self._descendants()
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
                os.killpg(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self._all_gone:
            return
        # Looked up while the child lives: its death hands its children to another parent.
        alive = self.popen.poll() is None
        found = [*self._known, *(self._descendants() if alive else ())]
        self.popen.kill()
        kill_all(found)
        self._reap()
        kill_until_none_is_left(self._descendants)
        self._all_gone = self.popen.returncode is not None

    def close(self) -> None:
        """Do nothing: there is no handle beyond the pipes."""

    def _descendants(self) -> "list[psutil.Process]":
        roots = [self.pid] if self.popen.returncode is None else []
        return members(roots, tree=self.root.tree, since=self.root.started, in_session=self._in_session)

    def _in_session(self, pid: int) -> bool:
        if pid == self.pid or _session(pid) != self.pid:
            return False
        # The kernel gives no pid away that still names a session: a living process with the pid of the child, which
        # was reaped, means that the child's session is empty and this one belongs to somebody else.
        return self.popen.returncode is None or _session(self.pid) is None


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | IO[bytes] | None = subprocess.PIPE,
    stdout: int | IO[bytes] | None = subprocess.PIPE,
    stderr: int | IO[bytes] | None = subprocess.PIPE,
) -> ProcessTree:
    """Start *argv* in a session of its own; raises OSError when it cannot be started."""
    tree, environment = new_tree(env)
    popen = subprocess.Popen(
        argv, env=environment, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
    )
    return PosixTree(popen, tree)


def spawn_detached(argv: Sequence[str], *, env: Mapping[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start *argv* so that it outlives this process and its terminal; what it says goes to *output*."""
    return subprocess.Popen(
        argv,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def kill_own_tree() -> NoReturn:
    """End this process at once and everything it started: its parent is gone, nobody else will."""
    try:
        import psutil  # noqa: PLC0415 - as above

        own = os.getpid()
        # Session and mark speak of this process's descendants only when `spawn()` made it the root of a tree.
        is_root = os.getsid(0) == own
        tree = os.environ.get(TREE_VARIABLE, "").split(SEPARATOR)[-1] if is_root else None
        since = psutil.Process().create_time()

        def find() -> list[psutil.Process]:
            return members([own], tree=tree, since=since, in_session=lambda pid: is_root and _session(pid) == own)

        kill_until_none_is_left(find)
    finally:
        os._exit(1)


def end_tree(root: Root) -> bool:
    """Kill what is left of the tree of *root*, whose owner has gone; tell whether nothing of it lives any more."""
    return end_left_behind(root, _session)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, where the system can do that (Linux)."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - 2 ms that only a job's process has to pay for

        # One that refuses (a sandbox) leaves what finds them by their session and their mark.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants(patience: float) -> None:
    """Wait *patience* seconds for the descendants of this process to end, then kill them; without any, return."""
    deadline = time.monotonic() + patience
    while _has_children():
        if time.monotonic() >= deadline:
            import psutil  # noqa: PLC0415 - as above

            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    process.kill()
        time.sleep(ORPHANS_PACE)


def limit_this_process(*, memory: int | None, niceness: int | None) -> None:
    """Limit this process and what it starts, each to *memory* bytes of its own data; raises OSError or ValueError."""
    if memory is not None:
        import resource  # noqa: PLC0415 - for limited jobs only

        # Not the address space: runtimes such as Go's and Java's reserve far more of that than they use.
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    if niceness is not None:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


def _has_children() -> bool:
    """Tell whether a child of this process lives; those that have ended are taken off the system's list."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True


def signal_main_thread(signal_number: int) -> None:
    """Send a signal to the main thread, from any thread, so that it also ends a wait the main thread is in.

    signal.raise_signal() would be delivered to the calling thread, and the main thread would sleep on.
    """
    main_thread = threading.main_thread().ident
    assert main_thread is not None  # noqa: S101 - it is running
    signal.pthread_kill(main_thread, signal_number)


def write_any_character() -> None:
    """Let print() never fail on a character that the locale's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not pytest's, and not None
            stream.reconfigure(errors="backslashreplace")


def default_pool() -> str:
    """Return the worker pool for "auto"."""
    return "threads"


def has_display() -> bool:
    """Tell whether a browser that is opened would be seen by the person who started this program."""
    if sys.platform == "darwin":
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def pystray_backend() -> str:
    """Return pystray's name for what it shows icons with; "dummy" where ours do it."""
    return "darwin" if sys.platform == "darwin" else "dummy"


def login_start(data_folder: Path) -> DesktopEntry | LaunchAgent:
    """Return the system's own place for what starts at login, for the installation with this data folder."""
    name = login_start_name(data_folder)
    return LaunchAgent(name) if sys.platform == "darwin" else DesktopEntry(name)


def background_service(data_folder: Path, *, system: bool) -> SystemdUnit | LaunchdAgent:
    """Return the service manager's entry for the installation with this data folder; *system* is for all of it."""
    name = login_start_name(data_folder)
    return LaunchdAgent(name) if sys.platform == "darwin" else SystemdUnit(name, system=system)


def windowless_python() -> str:
    """Return the Python for a program without a console window."""
    return sys.executable


def run_hidden(argv: Sequence[str], *, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run *argv* to its end, without a window; return what it said, as UTF-8."""
    return subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", check=False
    )


def show_to_person(path: Path) -> None:
    """Open a file or folder with the program that the person uses for it; raises OSError where there is none."""
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    subprocess.Popen(
        [opener, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def is_restricted(path: Path) -> bool:
    """Tell whether *path* is this user's and nobody else may use it; raises OSError."""
    status = path.stat()
    return status.st_uid == os.getuid() and status.st_mode & 0o077 == 0


def restrict_to_owner(path: Path) -> None:
    """Let only the owner read and write *path*; raises OSError."""
    path.chmod(0o700 if path.is_dir() else 0o600)


def control_address(folder: Path) -> str:
    """Return the socket in *folder*, or one in a short folder when the path is too long for a socket."""
    address = str(folder / "control.sock")
    if len(os.fsencode(address)) <= LONGEST_SOCKET_PATH:
        return address
    import hashlib  # noqa: PLC0415 - for long paths only
    import tempfile  # noqa: PLC0415 - as above

    digest = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    short = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return str(Path(short) / f"scheduler-app-{os.getuid()}-{digest}.sock")


def venv_install_hint() -> str:
    """Return one line that says how to get Python's venv on this system."""
    return _install_hint(
        {
            "debian": "python3-venv",
            "fedora": "python3",
            "suse": "python3",
            "arch": "python",
            "alpine": "python3 py3-pip",
        },
        brew="python",
        otherwise="install Python 3.11 or newer with its modules venv and ensurepip",
    )


def rabbitmq_install_hint() -> str:
    """Return one line that says how to get RabbitMQ on this system."""
    return _install_hint(
        dict.fromkeys(("debian", "fedora", "suse"), "rabbitmq-server")
        | {"arch": "rabbitmq", "alpine": "rabbitmq-server"},
        brew="rabbitmq",
        otherwise="install RabbitMQ as https://www.rabbitmq.com/docs/download says",
    )


def _install_hint(packages: Mapping[str, str], *, brew: str, otherwise: str) -> str:
    if sys.platform == "darwin":
        return f"brew install {brew}"
    commands = {
        "debian": "sudo apt install",
        "fedora": "sudo dnf install",
        "suse": "sudo zypper install",
        "arch": "sudo pacman -S",
        "alpine": "sudo apk add",
    }
    family = next((name for name in _distribution() if name in packages), None)
    return f"{commands[family]} {packages[family]}" if family else otherwise


def _distribution() -> list[str]:
    """Return the names of this system and of those it derives from, nearest first (os-release(5))."""
    import platform  # noqa: PLC0415 - for hints only

    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return []
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    return ["suse" if "suse" in name else name for name in names]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:  # gone, or a foreign process on systems that do not tell
        return None
