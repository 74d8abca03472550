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

from scheduler_app.platforms.process_tree import (
    SEPARATOR,
    TREE_VARIABLE,
    ProcessTree,
    kill_all,
    kill_until_none_is_left,
    members,
    new_tree,
)

if TYPE_CHECKING:
    import psutil

assert sys.platform == "win32"  # noqa: S101 - mypy skips the rest elsewhere

JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE = 0x2000
JOB_OBJECT_EXTENDED_LIMIT_INFORMATION = 9
TOKEN_QUERY = 0x0008
TOKEN_USER = 1
KILLED = 1  # exit code of what is killed


class _BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION."""

    _fields_ = (
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", wintypes.DWORD),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", wintypes.DWORD),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", wintypes.DWORD),
        ("SchedulingClass", wintypes.DWORD),
    )


class _ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("BasicLimitInformation", _BasicLimits),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


def _load_kernel32() -> ctypes.WinDLL:
    library = ctypes.WinDLL("kernel32", use_last_error=True)
    # Without these a handle, which is a pointer, would be cut to 32 bits.
    library.CreateJobObjectW.argtypes = (wintypes.LPVOID, wintypes.LPCWSTR)
    library.CreateJobObjectW.restype = wintypes.HANDLE
    library.SetInformationJobObject.argtypes = (wintypes.HANDLE, ctypes.c_int, wintypes.LPVOID, wintypes.DWORD)
    library.SetInformationJobObject.restype = wintypes.BOOL
    library.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
    library.AssignProcessToJobObject.restype = wintypes.BOOL
    library.TerminateJobObject.argtypes = (wintypes.HANDLE, wintypes.UINT)
    library.TerminateJobObject.restype = wintypes.BOOL
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
    return library


_kernel32 = _load_kernel32()


class WindowsTree(ProcessTree):
    """The child and its descendants are in a Job Object, which ends with the last handle to it: with its owner."""

    def __init__(self, popen: subprocess.Popen[bytes], tree: str) -> None:
        import psutil  # noqa: PLC0415 - a bare Python, which has no psutil yet, imports this module

        super().__init__(popen)
        self._tree = tree
        # The open process handle of Popen keeps the pid from being given to another process.
        try:
            self._started = psutil.Process(popen.pid).create_time()
        except psutil.Error:  # it has ended already
            self._started = 0.0
        self._job = _new_job()
        # Started just now and waiting for its first line on stdin, the child has no descendants yet. A child that
        # has ended cannot be assigned; the sweep in kill() finds what it may have left.
        _kernel32.AssignProcessToJobObject(self._job, int(popen._handle))  # type: ignore[attr-defined]  # noqa: SLF001

    def terminate(self) -> None:
        self.kill()

    def kill(self) -> None:
        # The sweep is for what started between the child's first instruction and its assignment to the job.
        found = self._descendants()
        if self._job is not None:
            _kernel32.TerminateJobObject(self._job, KILLED)
        with contextlib.suppress(PermissionError):  # it is ending
            self.popen.kill()
        kill_all(found)
        self._reap()
        kill_until_none_is_left(self._descendants)

    def close(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            _kernel32.CloseHandle(job)

    def _descendants(self) -> "list[psutil.Process]":
        return members([self.pid], tree=self._tree, since=self._started, in_session=lambda _: False)


def _new_job() -> int | None:
    job: int | None = _kernel32.CreateJobObjectW(None, None)
    if job is None:
        raise ctypes.WinError(ctypes.get_last_error())
    limits = _ExtendedLimits()
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
    if not _kernel32.SetInformationJobObject(
        job, JOB_OBJECT_EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
    ):
        raise ctypes.WinError(ctypes.get_last_error())
    return job


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
        creationflags=subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP,
    )
    try:
        return WindowsTree(popen, tree)
    except OSError:
        popen.kill()  # without a job nobody could end what it is going to start
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


def is_restricted(path: Path) -> bool:  # noqa: ARG001 - the POSIX module's signature
    """Return False: an access list does not say it as simply, and restricting twice does no harm."""
    return False


def restrict_to_owner(path: Path) -> None:
    """Let only the current user read and write *path*, and what is made in it; raises OSError."""
    rights = "(OI)(CI)F" if path.is_dir() else "F"
    icacls = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "icacls.exe"
    done = subprocess.run(
        [str(icacls), str(path), "/inheritance:r", "/grant:r", f"*{_current_user()}:{rights}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        creationflags=subprocess.CREATE_NO_WINDOW,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise PermissionError(f"icacls cannot restrict {path} to its owner: {said}")


def _current_user() -> str:
    """Return the security identifier of the user; a name would depend on language and domain."""
    advapi32 = _load_advapi32()
    token = wintypes.HANDLE()
    if not advapi32.OpenProcessToken(_kernel32.GetCurrentProcess(), TOKEN_QUERY, ctypes.byref(token)):
        raise ctypes.WinError(ctypes.get_last_error())
    try:
        size = wintypes.DWORD()
        advapi32.GetTokenInformation(token, TOKEN_USER, None, 0, ctypes.byref(size))
        user = ctypes.create_string_buffer(size.value)
        if not advapi32.GetTokenInformation(token, TOKEN_USER, user, size, ctypes.byref(size)):
            raise ctypes.WinError(ctypes.get_last_error())
        # TOKEN_USER begins with the pointer to the identifier.
        identifier = ctypes.cast(user, ctypes.POINTER(wintypes.LPVOID)).contents
        text = wintypes.LPWSTR()
        if not advapi32.ConvertSidToStringSidW(identifier, ctypes.byref(text)):
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
