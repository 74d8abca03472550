"""The verbs about jobs: a file for a new one, the list of all, and what one of them asks for."""

import builtins
import contextlib
import keyword
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.discovery import discover
from jobs.durations import format_duration
from jobs.errors import UnknownJob
from jobs.parameters import Parameter, in_words
from jobs.registry import NAME, Job, Registry
from scheduler_app import platforms
from scheduler_app.commands.problems import CommandProblem

_LONGEST_NAME = 60
# What Windows takes for a device whatever its extension ("Naming Files, Paths, and Namespaces", learn.microsoft.com).
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
_MASK = "********"
_TEMPLATE = '''\
"""{title}: a job of one's own. Files of this folder are read again when they change; nothing needs a restart."""

from pathlib import Path

from jobs import JobFailed, job


# Options of @job: title and group (in the picker), timeout ("10m"), name, permission ("app.codename").
# The parameters become the form, the docstring's first line is shown in the picker, its `Args:` become the help texts.
# Types: str, int, float, bool, Path, timedelta, Literal["a", "b"], Enum, list[str], dict[str, str]; each with "| None".
@job(title="{title}", timeout="10m")
def {name}(folder: Path, keep_days: int = 30, dry_run: bool = True) -> None:
    """Tell which files in a folder are old, and delete them when told so.

    Args:
        folder: Only what is directly in it is looked at.
        keep_days: Files that changed within so many days stay.
        dry_run: Only say what would be deleted.
    """
    # Imports that only this job needs are cheapest in here.
    import time

    # JobFailed ends the run as failed with this sentence; any other exception does, too, with its traceback.
    if not folder.is_dir():
        raise JobFailed(f"cannot look into {{folder}}: there is no such folder; create it, or choose another one")
    oldest = time.time() - keep_days * 86400
    old = [file for file in sorted(folder.iterdir()) if file.is_file() and file.stat().st_mtime < oldest]
    for file in old:
        # What is printed is in the history of the run, at once.
        print("would delete" if dry_run else "deleting", file)
        if not dry_run:
            file.unlink()
    print(f"{{len(old)}} old files")
'''


class OwnJobError(CommandProblem):
    """A job file that cannot be written; str() says why and what to do."""


def write_template(name: str, folder: Path) -> Path:
    """Write a working job called *name* into *folder* and return its file; OwnJobError when the name cannot be used."""
    _check_name(name)
    file = folder / f"{name}.py"
    registry = discover(folder)
    if name in registry:
        raise OwnJobError(f"cannot make the job {name!r}: {registry[name].source} has one of this name; choose another")
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(_TEMPLATE.format(name=name, title=in_words(name)))
    except FileExistsError:
        raise OwnJobError(f"cannot make the job {name!r}: the file {file} is there already; choose another") from None
    except OSError as error:
        raise OwnJobError(f"cannot write {file}: {error.strerror}; make the jobs folder yours and writable") from error
    with contextlib.suppress(OSError):  # a jobs folder on a disk without permissions is still a jobs folder
        platforms.restrict_to_owner(file)
    return file


def _check_name(name: str) -> None:
    proposal = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
    hint = f", such as {proposal}" if NAME.fullmatch(proposal) and proposal != name else ""
    if not NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        allowed = f"a-z, 0-9 and _, a letter first, {_LONGEST_NAME} characters at most"
        raise OwnJobError(f"cannot make the job {name!r}: a name is needed of {allowed}{hint}")
    if keyword.iskeyword(name) or hasattr(builtins, name):
        raise OwnJobError(f"cannot make the job {name!r}: the word has a meaning in Python; choose another")
    if name in _DEVICES:
        raise OwnJobError(f"cannot make the job {name!r}: Windows keeps the name for a device; choose another")


def job_rows(registry: Registry) -> list[tuple[str, str, str, str]]:
    """Return (name, group, title, where it is defined) of every job, own ones last."""
    own = sorted(registry.values(), key=lambda job: (not job.is_builtin, job.group, job.name))
    return [(job.name, job.group, job.title, _where(job)) for job in own]


def found(name: str, folder: Path) -> Job:
    """Return the job called *name*; UnknownJob when there is none, with the files that could not be read."""
    registry = discover(folder)
    try:
        return registry[name]
    except UnknownJob as error:
        raise UnknownJob(name, error.near, map(str, registry.problems)) from None


def job_as_json(job: Job) -> dict[str, Any]:
    """Return what programs get of *job*."""
    return {
        "job": job.name,
        "title": job.title,
        "group": job.group,
        "description": job.description,
        "defined_in": None if job.is_builtin else {"file": job.source, "line": job.line},
        "permission": job.permission,
        "parameters": [
            {
                "name": each.name,
                "kind": each.kind,
                "required": each.required,
                "default": _MASK if each.secret and each.default else each.default,
                "help": each.help,
                "choices": [value for value, _ in each.choices],
            }
            for each in job.parameters
        ],
    }


def describe(job: Job) -> Iterator[str]:
    """Yield the lines about *job*."""
    yield f"{job.title} ({job.name})"
    if job.description:
        yield ""
        yield job.description
    yield ""
    yield f"Group:      {job.group}"
    yield f"Defined in: {_where(job)}"
    if job.options.timeout:
        yield f"Time limit: {format_duration(job.options.timeout)}"
    if job.permission:
        yield f"Needs:      the permission {job.permission}"
    yield ""
    yield "Parameters:" if job.parameters else "No parameters."
    for parameter in job.parameters:
        yield from _parameter_lines(parameter)


def _where(job: Job) -> str:
    return "built in" if job.is_builtin else f"{job.source}, line {job.line}"


def _parameter_lines(parameter: Parameter) -> Iterator[str]:
    kind = " or ".join(value for value, _ in parameter.choices) or parameter.kind
    yield f"  {parameter.name} ({kind}, {need(parameter)})"
    if parameter.help:
        yield f"      {parameter.help}"


def need(parameter: Parameter) -> str:
    """Return whether *parameter* has to be given, or what it is without: "required", "default 7"."""
    if parameter.required:
        return "required"
    if parameter.default in (None, "", [], {}):
        return "optional"
    return f"default {_shown(parameter.default) if not parameter.secret else _MASK}"


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, list):
        return ", ".join(map(str, default))
    return str(default)
