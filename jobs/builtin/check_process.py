"""The built-in job that fails when a program does not run, or runs too often."""

from fnmatch import fnmatch
from typing import Annotated

from jobs import Check, JobFailed, Label, job
from jobs.builtin._files import say

_SHOWN = 20


def _check_count(count: int | None) -> None:
    if count is not None and count < 0:
        raise ValueError("it cannot be negative")


@job(title="Check a process", group="Checks")
def check_process(
    name: Annotated[str, Label("Program")],
    arguments: str = "",
    at_least: Annotated[int, Check(_check_count)] = 1,
    at_most: Annotated[int | None, Check(_check_count)] = None,
) -> None:
    """Count the processes of a program, and fail when there are too few or too many.

    Args:
        name: Its name as the system lists it, such as postgres or nginx.exe; wildcards as in python* are possible.
        arguments: Only processes whose command line holds this text.
        at_least: 0 with "at most" 0: it must not run.
        at_most: Empty: any number.
    """
    import psutil  # noqa: PLC0415 - for those who use it

    found = []
    for process in psutil.process_iter(["pid", "name", "cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if _is_named(process.info["name"] or "", name) and arguments in line:
            found.append(f"process {process.info['pid']}: {process.info['name']}")
    for line in found[:_SHOWN]:
        say(line)
    what = f"{name} with {arguments!r}" if arguments else name
    if len(found) < at_least:
        raise JobFailed(f"{what} runs in {len(found)} processes; at least {at_least} must be there")
    if at_most is not None and len(found) > at_most:
        raise JobFailed(f"{what} runs in {len(found)} processes; at most {at_most} may be there")


def _is_named(shown: str, wanted: str) -> bool:
    # Windows shows "nginx.exe", and people write either.
    return fnmatch(shown.lower(), wanted.lower()) or fnmatch(shown.lower().removesuffix(".exe"), wanted.lower())
