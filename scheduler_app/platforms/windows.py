"""Windows."""

import contextlib
import ctypes
import hashlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from ctypes import wintypes
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from scheduler_app.platforms.login_start import login_start_name
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

assert sys.platform == "win32"  # noqa: S101 - mypy skips the rest elsewhere

from scheduler_app.platforms.background_windows import LogonTask  # noqa: E402 - as the assertion says
from scheduler_app.platforms.job_objects import CREATE_SUSPENDED, JobObject  # noqa: E402 - as the assertion says
from scheduler_app.platforms.login_start_windows import RunKey  # noqa: E402 - as the assertion says

SE_FILE_OBJECT = 1
DACL_SECURITY_INFORMATION = 0x00000004
PROTECTED_DACL_SECURITY_INFORMATION = 0x80000000
SDDL_REVISION_1 = 1
NICEST = 15  # from here on a POSIX niceness means "only when nothing else wants the processor"
TOKEN_QUERY = 0x0008
TOKEN_USER = 1
KILLED = 1  # exit code of what is killed


def _load_kernel32() -> ctypes.WinDLL:
    library = ctypes.WinDLL("kernel32", use_last_error=True)
    # Without these a handle, which is a pointer, would be cut to 32 bits.
    library.CloseHandle.argtypes = (wintypes.HANDLE,)
    library.CloseHandle.restype = wintypes.BOOL
    library.GetCurrentProcess.argtypes = ()
    library.GetCurrentProcess.restype = wintypes.HANDLE
    library.ProcessIdToSessionId.argtypes = (wintypes.DWORD, ctypes.POINTER(wintypes.DWORD))
    library.ProcessIdToSessionId.restype = wintypes.BOOL
    library.LocalFree.argtypes = (wintypes.HLOCAL,)
    library.LocalFree.restype = wintypes.HLOCAL
    return library


def _load_advapi32() -> ctypes.WinDLL:
    library = ctypes.WinDLL("advapi32", use_last_error=True)
    library.OpenProcessToken.argtypes = (wintypes.HANDLE, wintypes.DWORD, ctypes.POINTER(wintypes.HANDLE))
    library.OpenProcessToken.restype = wintypes.BOOL
    library.GetTokenInformation.argtypes = (
        wintypes.HANDLE,
        ctypes.c_int,
        wintypes.LPVOID,
        wintypes.DWORD,
        ctypes.POINTER(wintypes.DWORD),
    )
    library.GetTokenInformation.restype = wintypes.BOOL
    library.ConvertSidToStringSidW.argtypes = (wintypes.LPVOID, ctypes.POINTER(wintypes.LPWSTR))
    library.ConvertSidToStringSidW.restype = wintypes.BOOL
    library.ConvertStringSecurityDescriptorToSecurityDescriptorW.argtypes = (
        wintypes.LPCWSTR,
        wintypes.DWORD,
        ctypes.POINTER(wintypes.LPVOID),
        wintypes.LPVOID,
    )
    library.ConvertStringSecurityDescriptorToSecurityDescriptorW.restype = wintypes.BOOL
    library.GetSecurityDescriptorDacl.argtypes = (
        wintypes.LPVOID,
        ctypes.POINTER(wintypes.BOOL),
        ctypes.POINTER(wintypes.LPVOID),
        ctypes.POINTER(wintypes.BOOL),
    )
    library.GetSecurityDescriptorDacl.restype = wintypes.BOOL
    library.SetNamedSecurityInfoW.argtypes = (
        wintypes.LPWSTR,
        ctypes.c_int,
        wintypes.DWORD,
        wintypes.LPVOID,
        wintypes.LPVOID,
        wintypes.LPVOID,
        wintypes.LPVOID,
    )
    library.SetNamedSecurityInfoW.restype = wintypes.DWORD
    return library


_kernel32 = _load_kernel32()
_advapi32 = _load_advapi32()


class WindowsTree(ProcessTree):
    """The child and its descendants are in a Job Object, which ends with the last handle to it: with its owner."""

    def __init__(self, popen: subprocess.Popen[bytes], tree: str) -> None:
        import psutil  # noqa: PLC0415 - a bare Python, which has no psutil yet, imports this module

        # The open process handle of Popen keeps the pid from being given to another process.
        try:
            started = psutil.Process(popen.pid).create_time()
        except psutil.Error:  # it has ended already
            started = 0.0
        super().__init__(popen, Root(popen.pid, started, tree))
        self._job = JobObject()
        self._job.take(popen)

    def terminate(self) -> None:
        self.kill()

    def kill(self) -> None:
        # The sweep is for what somebody else started on the tree's behalf, such as a service or WMI.
        found = self._descendants()
        self._job.terminate(KILLED)
        with contextlib.suppress(PermissionError):  # it is ending
            self.popen.kill()
        kill_all(found)
        self._reap()
        kill_until_none_is_left(self._descendants)

    def close(self) -> None:
        self._job.close()

    def _descendants(self) -> "list[psutil.Process]":
        return members([self.pid], tree=self.root.tree, since=self.root.started, in_session=lambda _: False)


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | IO[bytes] | None = subprocess.PIPE,
    stdout: int | IO[bytes] | None = subprocess.PIPE,
    stderr: int | IO[bytes] | None = subprocess.PIPE,
) -> ProcessTree:
    """Start *argv* without a window, in a Job Object of its own; raises OSError when it cannot be started."""
    tree, environment = new_tree(env)
    popen = subprocess.Popen(
        argv,
        env=environment,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        # Suspended until it is in its job: a virtual environment's python.exe starts another one at once.
        creationflags=subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP | CREATE_SUSPENDED,
    )
    try:
        return WindowsTree(popen, tree)
    except OSError:
        popen.kill()  # it has not run yet
        raise


def spawn_detached(argv: Sequence[str], *, env: Mapping[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start *argv* so that it outlives this process and its console; what it says goes to *output*."""
    return subprocess.Popen(
        argv,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        creationflags=subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP,
    )


def kill_own_tree() -> NoReturn:
    """End this process at once and everything it started: its parent is gone, nobody else will."""
    try:
        import psutil  # noqa: PLC0415 - as above

        own = os.getpid()
        tree = os.environ.get(TREE_VARIABLE, "").split(SEPARATOR)[-1]
        since = psutil.Process().create_time()
        kill_until_none_is_left(lambda: members([own], tree=tree, since=since, in_session=lambda _: False))
    finally:
        os._exit(KILLED)


def end_tree(root: Root) -> bool:
    """Kill what is left of the tree of *root*, whose owner has gone; tell whether nothing of it lives any more."""
    return end_left_behind(root, lambda _: None)


def adopt_orphans() -> None:
    """Do nothing: whoever is in the Job Object stays in it, whatever becomes of its parent."""


def end_descendants(patience: float) -> None:
    """Do nothing: the owner of the Job Object waits for them, and ends them."""


def limit_this_process(*, memory: int | None, niceness: int | None) -> None:
    """Limit this process and what it starts to *memory* bytes together; raises OSError."""
    if memory is not None:
        JobObject(memory).take_this_process()
    if niceness is not None:
        import psutil  # noqa: PLC0415 - as above

        classes = (psutil.HIGH_PRIORITY_CLASS, psutil.NORMAL_PRIORITY_CLASS, psutil.BELOW_NORMAL_PRIORITY_CLASS)
        nicest = psutil.IDLE_PRIORITY_CLASS
        psutil.Process().nice(nicest if niceness >= NICEST else classes[(niceness > 0) - (niceness < 0) + 1])


def signal_main_thread(signal_number: int) -> None:
    """Raise a signal in this process, from any thread; Python runs its handler in the main thread."""
    signal.raise_signal(signal.Signals(signal_number))


def write_any_character() -> None:
    """Write UTF-8 to pipes and files: the ANSI code page lacks most characters, and print() would fail on them."""
    for stream in (sys.stdout, sys.stderr):
        # A console takes every character; pythonw has none, and no streams.
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def default_pool() -> str:
    """Return the worker pool for "auto": Celery supports no other on Windows."""
    return "solo"


def has_display() -> bool:
    """Tell whether a browser that is opened would be seen: services live in session 0, which has no desktop."""
    session = wintypes.DWORD()
    return bool(_kernel32.ProcessIdToSessionId(os.getpid(), ctypes.byref(session))) and session.value != 0


def pystray_backend() -> str:
    """Return pystray's name for what it shows icons with."""
    return "win32"


def login_start(data_folder: Path) -> RunKey:
    """Return the system's own place for what starts at login, for the installation with this data folder."""
    return RunKey(login_start_name(data_folder))


def background_service(data_folder: Path, *, system: bool) -> LogonTask:  # noqa: ARG001 - a task is a user's
    """Return the task of the installation with this data folder."""
    return LogonTask(login_start_name(data_folder), _current_user())


def windowless_python() -> str:
    """Return the Python for a program without a console window; the same one where its twin is missing."""
    twin = Path(sys.executable).with_name("pythonw.exe")
    return str(twin) if twin.exists() else sys.executable


def run_hidden(argv: Sequence[str], *, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run *argv* to its end, without a window; return what it said, as UTF-8."""
    return subprocess.run(
        argv,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        creationflags=subprocess.CREATE_NO_WINDOW,
    )


def show_to_person(path: Path) -> None:
    """Open a file or folder with the program that the person uses for it; raises OSError where there is none."""
    os.startfile(path)  # noqa: S606 - the person's own program for it


def is_restricted(path: Path) -> bool:  # noqa: ARG001 - the POSIX module's signature
    """Return False: an access list does not say it as simply, and restricting twice does no harm."""
    return False


def restrict_to_owner(path: Path) -> None:
    """Let only the current user read and write *path*, and what is in it or will be; raises OSError."""
    inherited = "OICI" if path.is_dir() else ""
    descriptor = wintypes.LPVOID()
    # A protected list, which takes nothing over from the folder above, with all rights for one user.
    if not _advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW(
        f"D:P(A;{inherited};FA;;;{_current_user()})", SDDL_REVISION_1, ctypes.byref(descriptor), None
    ):
        raise ctypes.WinError(ctypes.get_last_error())
    try:
        present, by_default, rights = wintypes.BOOL(), wintypes.BOOL(), wintypes.LPVOID()
        if not _advapi32.GetSecurityDescriptorDacl(
            descriptor, ctypes.byref(present), ctypes.byref(rights), ctypes.byref(by_default)
        ):
            raise ctypes.WinError(ctypes.get_last_error())
        which = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION
        error = _advapi32.SetNamedSecurityInfoW(str(path), SE_FILE_OBJECT, which, None, None, rights, None)
        if error:
            raise OSError(None, f"cannot restrict it to its owner: {ctypes.FormatError(error)}", str(path), error)
    finally:
        _kernel32.LocalFree(descriptor)


def _current_user() -> str:
    """Return the security identifier of the user; a name would depend on language and domain."""
    token = wintypes.HANDLE()
    if not _advapi32.OpenProcessToken(_kernel32.GetCurrentProcess(), TOKEN_QUERY, ctypes.byref(token)):
        raise ctypes.WinError(ctypes.get_last_error())
    try:
        size = wintypes.DWORD()
        _advapi32.GetTokenInformation(token, TOKEN_USER, None, 0, ctypes.byref(size))
        user = ctypes.create_string_buffer(size.value)
        if not _advapi32.GetTokenInformation(token, TOKEN_USER, user, size, ctypes.byref(size)):
            raise ctypes.WinError(ctypes.get_last_error())
        # TOKEN_USER begins with the pointer to the identifier.
        identifier = ctypes.cast(user, ctypes.POINTER(wintypes.LPVOID)).contents
        text = wintypes.LPWSTR()
        if not _advapi32.ConvertSidToStringSidW(identifier, ctypes.byref(text)):
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            return str(text.value)
        finally:
            _kernel32.LocalFree(ctypes.cast(text, wintypes.HLOCAL))
    finally:
        _kernel32.CloseHandle(token)


def control_address(folder: Path) -> str:
    """Return the named pipe that belongs to *folder*; Windows' names ignore case."""
    digest = hashlib.sha256(os.fsencode(str(folder.absolute()).lower())).hexdigest()[:16]
    return rf"\\.\pipe\scheduler-app-{digest}"


def venv_install_hint() -> str:
    """Return one line that says how to get Python's venv on this system."""
    return "install Python 3.11 or newer from https://www.python.org/downloads/windows/, which contains venv"


def rabbitmq_install_hint() -> str:
    """Return one line that says how to get RabbitMQ on this system."""
    return "install Erlang and RabbitMQ as https://www.rabbitmq.com/docs/install-windows says"
