"""Windows' Job Objects: everything that a process starts belongs to its job and ends with it."""

import ctypes
import subprocess
import sys
from ctypes import wintypes

assert sys.platform == "win32"  # noqa: S101 - mypy skips the rest elsewhere

JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE = 0x2000
JOB_OBJECT_LIMIT_JOB_MEMORY = 0x0200
JOB_OBJECT_EXTENDED_LIMIT_INFORMATION = 9
CREATE_SUSPENDED = 0x0004
"""For Popen's creationflags; `JobObject.take()` lets the process go on."""


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
    library.GetCurrentProcess.argtypes = ()
    library.GetCurrentProcess.restype = wintypes.HANDLE
    library.CloseHandle.argtypes = (wintypes.HANDLE,)
    library.CloseHandle.restype = wintypes.BOOL
    return library


def _load_ntdll() -> ctypes.WinDLL:
    library = ctypes.WinDLL("ntdll")
    library.NtResumeProcess.argtypes = (wintypes.HANDLE,)
    library.NtResumeProcess.restype = wintypes.LONG
    return library


_kernel32 = _load_kernel32()
_ntdll = _load_ntdll()


class JobObject:
    """A job that ends with the last handle to it, that is, with the process that made it. Raises OSError.

    *memory*: the bytes that all its processes may have together.
    """

    def __init__(self, memory: int | None = None) -> None:
        job: int | None = _kernel32.CreateJobObjectW(None, None)
        if job is None:
            raise ctypes.WinError(ctypes.get_last_error())
        self._job: int | None = job
        limits = _ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
        if memory is not None:
            limits.BasicLimitInformation.LimitFlags |= JOB_OBJECT_LIMIT_JOB_MEMORY
            limits.JobMemoryLimit = memory
        if not _kernel32.SetInformationJobObject(
            job, JOB_OBJECT_EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
        ):
            raise ctypes.WinError(ctypes.get_last_error())

    def take(self, popen: subprocess.Popen[bytes]) -> None:
        """Put a process that was started with CREATE_SUSPENDED into the job and let it go on."""
        handle = int(popen._handle)  # type: ignore[attr-defined]  # noqa: SLF001 - Popen keeps it open, and has no name for it
        if not _kernel32.AssignProcessToJobObject(self._job, handle):
            raise ctypes.WinError(ctypes.get_last_error())
        # ResumeThread wants the thread's handle, which Popen has closed; this one resumes all threads of a process.
        status = _ntdll.NtResumeProcess(handle)
        if status < 0:  # NT_SUCCESS: errors are negative
            raise OSError(f"cannot let process {popen.pid} go on: NTSTATUS {status & 0xFFFFFFFF:#x}")

    def take_this_process(self) -> None:
        """Put the calling process into the job for the rest of its life: nobody closes the handle before."""
        if not _kernel32.AssignProcessToJobObject(self._job, _kernel32.GetCurrentProcess()):
            raise ctypes.WinError(ctypes.get_last_error())

    def terminate(self, exit_code: int) -> None:
        """End all processes of the job."""
        if self._job is not None:
            _kernel32.TerminateJobObject(self._job, exit_code)

    def close(self) -> None:
        """Let go of the job; what still runs in it is ended."""
        job, self._job = self._job, None
        if job is not None:
            _kernel32.CloseHandle(job)
