"""The process of one run: `python -m jobs.child`.

Its stdin brings one line of JSON, `{"job": name, "parameters": {…}, "folder": the user's jobs folder or null, "lent":
what `jobs.lending` gives a built-in job, {} when it is left out}`, and then stays open as long as the run is wanted: at
its end the process kills itself and all it has started. End of file before the line means: do not start. The run's exit
code is the process's: 0 for a job that returned, what JobFailed or SystemExit say, 1 for any other exception, and
NOT_STARTED when the job was never called.

Every millisecond here is one of every run: look at `python -X importtime -m jobs.child` before importing more.
"""

import io
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from jobs import lent
from jobs.discovery import find
from jobs.errors import NOT_STARTED, JobError, JobFailed
from jobs.registry import Job
from scheduler_app import platforms

_BLOCK = 65536
_LARGEST_SIGNED = 0x7FFFFFFF
PATIENCE = 1.0


class Request(NamedTuple):
    job: str
    parameters: dict[str, Any]
    folder: Path | None
    lent: dict[str, Any]


class RequestError(JobError):
    """A line on stdin that asks for nothing; the parent and this process are of different versions."""


def main() -> int:
    """Run the job that stdin names; return its exit code."""
    _use_default_signals()
    _write_at_once()
    lifeline = _take_over_stdin()
    line = _first_line(lifeline)
    if line is None:
        return NOT_STARTED
    threading.Thread(target=_watch, args=(lifeline,), name="lifeline", daemon=True).start()
    platforms.adopt_orphans()
    try:
        request = read_request(line)
        job = find(request.job, request.folder)
        arguments = job.arguments(request.parameters)
        lent.settings.update(request.lent)
        _settle_down(job)
    except JobError as error:
        _say(f"cannot start the job: {error}")
        return NOT_STARTED
    code = _call(job, arguments)
    # What it has left running in the background has a moment to end by itself.
    platforms.end_descendants(PATIENCE)
    return code


def _call(job: Job, arguments: dict[str, Any]) -> int:
    """Call the job's function; return the exit code."""
    try:
        job.function(**arguments)
    except JobFailed as failure:
        _say(failure.message)
        return status(failure.exit_code)
    except SystemExit as leaving:
        return status(leaving.code)
    except Exception as error:  # noqa: BLE001 - whatever a job raises is its outcome
        _print_traceback(error)
        return 1
    return 0


def _settle_down(job: Job) -> None:
    """Put the limits of the job, its folder and its environment in force; JobError says what cannot be."""
    options = job.options
    os.environ.update(options.environment)
    try:
        platforms.limit_this_process(memory=options.memory, niceness=options.nice)
    except (OSError, ValueError) as error:
        raise JobError(
            f"its limits (memory={options.memory}, nice={options.nice}) are not possible: {error}"
        ) from error
    if options.folder is not None:
        try:
            os.chdir(options.folder)
        except OSError as error:
            raise JobError(f"its folder {options.folder} cannot be used: {error.strerror}") from error


def read_request(line: bytes) -> Request:
    """Return what *line* asks for; RequestError when it is not a request."""
    try:
        message = json.loads(line)
        folder = message["folder"]
        request = Request(
            message["job"], message["parameters"], None if folder is None else Path(folder), message.get("lent", {})
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(f"the line on stdin is no request ({type(error).__name__}: {error})") from error
    if not isinstance(request.job, str):
        raise RequestError(f"the job's name in the line on stdin is no text: {request.job!r}")
    return request


def status(code: object) -> int:
    """Return the process's exit code for what SystemExit carries; what is no number is said on stderr, and means 1."""
    if code is None:
        return 0
    if not isinstance(code, int):
        _say(str(code))
        return 1
    if code and code % 256 == 0:  # POSIX keeps eight bits: 256 would be a success
        return 1
    # Windows' codes are unsigned (0xC0000005, access violation), sys.exit() takes signed ones.
    return code - 2**32 if _LARGEST_SIGNED < code < 2**32 else code


def _use_default_signals() -> None:
    # What a parent ignores, its children ignore, too: a prefork worker's SIGINT, for one.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _write_at_once() -> None:
    """Make what the job prints visible at once, in UTF-8 whatever the locale, and never fail on a character."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        try:
            raw = io.FileIO(descriptor, "w", closefd=False)
        except OSError:  # started without it
            continue
        setattr(sys, name, io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True))


def _take_over_stdin() -> int:
    """Return a descriptor of stdin that no child inherits, and give the job an empty stdin in its place."""
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return lifeline


def _first_line(lifeline: int) -> bytes | None:
    """Return the first line; None when stdin ends before it is complete."""
    line = bytearray()
    while b"\n" not in line:
        block = os.read(lifeline, _BLOCK)
        if not block:
            return None
        line += block
    return bytes(line)


def _watch(lifeline: int) -> None:
    """Wait for the end of *lifeline*, which means that nobody wants this run any more, and end everything."""
    try:
        while os.read(lifeline, _BLOCK):
            pass
    except OSError:
        pass
    try:
        platforms.kill_own_tree()
    finally:  # the installation may be gone by now, this process must be, too
        os._exit(NOT_STARTED)


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")


def _print_traceback(error: Exception) -> None:
    import traceback  # noqa: PLC0415 - only after an error

    traceback.print_exception(type(error), error, _without_our_frames(error.__traceback__))


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return *trace* from the job's function on; all of it when there is nothing but ours."""
    here = main.__code__.co_filename
    below = trace
    while below is not None and below.tb_frame.f_code.co_filename == here:
        below = below.tb_next
    return below or trace


if __name__ == "__main__":
    sys.exit(main())
