"""Finds the jobs: the built-in ones, and those of the user's jobs folder.

Every *.py of the folder whose name does not begin with "_" or "." is imported, under a private name, so that a
`calendar.py` of the user's hides nobody's; files that begin with "_" are helpers for the others to import. What a
file does while it is imported is the user's affair; that it fails is a problem of that file and of no other.
"""

import binascii
import contextlib
import importlib.util
import io
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import jobs.builtin
from jobs.errors import JobDefinitionError, UnknownJob, near_names
from jobs.registry import DECLARATIONS, NAME, Declaration, Job, JobProblem, Registry, line_of

__all__ = ["Registry", "discover", "find"]

Stamp: TypeAlias = tuple[int, int] | None  # time of change and size; None for a file that is gone

_LONGEST_MESSAGE = 500
# The web server's threads ask at the same time. Reentrant: a file that asks while it is imported must not hang.
_lock = threading.RLock()
_folders: "dict[Path, _Folder]" = {}


def discover(folder: Path | None) -> Registry:
    """Return the built-in jobs and those of *folder*, which need not exist; the same registry while no file changes.

    Reads again only the files that have changed, and all of them when a helper has.
    """
    with _lock:
        if folder is None:
            return _builtin_registry()
        folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links, and name other files in messages
        return _folders.setdefault(folder, _Folder(folder)).refreshed()


def find(name: str, folder: Path | None) -> Job:
    """Return the job *name*, importing as little as possible; UnknownJob names near ones, and the files that failed."""
    if _is_builtin(name):
        return _builtin_job(name)
    files = _job_files(folder) if folder else []
    if folder:
        _make_helpers_importable(folder)
    found: list[Job] = []
    problems: list[JobProblem] = []
    # The name nearly always stands in the file; a name that is put together at run time costs importing them all.
    mentioned = {file for file in files if name.encode() in _content(file)}
    for group in (mentioned, set(files) - mentioned):
        for file in sorted(group):
            loaded = _load(file)
            found += loaded.jobs
            problems += loaded.problems
        registry = Registry(found, problems)
        if name in registry:
            return registry[name]
    suspects = [problem for problem in registry.problems if Path(problem.file) in mentioned] or registry.problems
    near = near_names(name, [*_builtin_names(), *registry])
    raise UnknownJob(name, near, because=map(str, suspects))


class _Loaded(NamedTuple):
    jobs: tuple[Job, ...] = ()
    problems: tuple[JobProblem, ...] = ()


class _Folder:
    """A jobs folder as it was when it was last read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[Path, tuple[Stamp, _Loaded]] = {}
        self._helpers: dict[Path, Stamp] = {}
        self._registry: Registry | None = None

    def refreshed(self) -> Registry:
        try:
            files = {file: _stamp(file) for file in _job_files(self._path)}
        except OSError as error:
            problem = JobProblem(
                str(self._path), f"cannot read the jobs folder: {error.strerror}; make it a readable folder"
            )
            return Registry(_builtin_registry().values(), [*_builtin_registry().problems, problem])
        helpers = self._helper_stamps()
        known = {file: stamp for file, (stamp, _) in self._files.items()}
        if self._registry is not None and files == known and helpers == self._helpers:
            return self._registry
        if helpers != self._helpers:
            self._forget_helpers()
            self._files.clear()
        for file in known.keys() - files.keys():
            self._files.pop(file, None)
            sys.modules.pop(_module_name(file), None)
        _make_helpers_importable(self._path)
        with _without_standard_streams():
            for file, stamp in files.items():
                if file not in self._files or self._files[file][0] != stamp:
                    self._files[file] = (stamp, _load(file))
        self._helpers = self._helper_stamps()
        builtin = _builtin_registry()
        own = [loaded for _, (_, loaded) in sorted(self._files.items())]
        self._registry = Registry(
            [*builtin.values(), *(job for loaded in own for job in loaded.jobs)],
            [*builtin.problems, *(problem for loaded in own for problem in loaded.problems)],
        )
        return self._registry

    def _helper_stamps(self) -> dict[Path, Stamp]:
        """Return the stamps of what the jobs import, or would: the files with "_", and imported ones of any name."""
        imported = {Path(str(module.__file__)) for module in self._helper_modules().values()}
        waiting = {file for file in self._path.glob("_*.py") if file.is_file()}
        # What was imported before counts when it is gone, too.
        return {file: _stamp(file) for file in imported | waiting}

    def _helper_modules(self) -> dict[str, ModuleType]:
        below = f"{self._path}{os.sep}"
        return {
            name: module
            for name, module in list(sys.modules.items())
            if str(getattr(module, "__file__", None)).startswith(below) and not name.startswith(_PREFIX)
        }

    def _forget_helpers(self) -> None:
        for name in self._helper_modules():
            del sys.modules[name]


class _UncachedSource(SourceFileLoader):
    """Compiles a file each time: Python's cache would take a change of the same second and size for none."""

    def path_stats(self, path: Any) -> Any:
        raise OSError(f"no cache for {path}")  # the protocol's way to say so (importlib.abc.SourceLoader.path_stats)


_PREFIX = "_user_job_"


def _module_name(file: Path) -> str:
    # Two folders may hold files of one name.
    return f"{_PREFIX}{binascii.crc32(os.fsencode(file)):08x}_{re.sub(r'[^0-9a-zA-Z]', '_', file.stem)}"


def _load(file: Path) -> _Loaded:
    """Import *file*; whatever it raises becomes its problem."""
    name = _module_name(file)
    spec = importlib.util.spec_from_file_location(name, file, loader=_UncachedSource(name, str(file)))
    assert spec is not None  # noqa: S101 - None only without a loader
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look modules up by name
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:  # meant for this program, not for the file
        sys.modules.pop(name, None)
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit, too: a file that calls sys.exit() must not end a worker
        sys.modules.pop(name, None)
        return _Loaded(problems=(_import_problem(file, error),))
    return _made(module, str(file))


def _made(module: ModuleType, source: str) -> _Loaded:
    """Return the jobs that *module* has declared, and the problems of the declarations that cannot be one."""
    found, problems = [], []
    declarations: Iterable[Declaration] = vars(module).get(DECLARATIONS, ())
    for declaration in declarations:
        try:
            found.append(Job(declaration, source))
        except JobDefinitionError as error:
            problems.append(JobProblem(source, str(error), line_of(declaration.function)))
    return _Loaded(tuple(found), tuple(problems))


def _import_problem(file: Path, error: BaseException) -> JobProblem:
    import traceback  # noqa: PLC0415 - only after an error; a child starts faster without

    line = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == str(file):
            line = number
    what = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1][:_LONGEST_MESSAGE]
    if isinstance(error, JobDefinitionError):
        return JobProblem(str(file), str(error), line)
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return JobProblem(str(file), f"cannot read {file.name}: {error.msg}; correct this line", error.lineno)
    if isinstance(error, SystemExit):
        advice = 'it ends the program while it is imported; put that under `if __name__ == "__main__":`'
        return JobProblem(str(file), f"cannot import {file.name}: {advice}", line)
    if isinstance(error, OSError) and line is None:
        return JobProblem(str(file), f"cannot read {file.name}: {error.strerror or error}")
    return JobProblem(str(file), f"cannot import {file.name}: {what}", line)


def _job_files(folder: Path) -> list[Path]:
    """Return the files that may define jobs, sorted; none when there is no such folder (yet)."""
    try:
        files = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    return [file for file in files if file.suffix == ".py" and file.name[0] not in "_." and file.is_file()]


def _stamp(file: Path) -> Stamp:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # importing it gives the problem its words
        return b""


def _make_helpers_importable(folder: Path) -> None:
    # Last, so that no file of the user's hides a module of Python's or of this program's.
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    elif isinstance(finder := sys.path_importer_cache.get(str(folder)), FileFinder):
        # A helper that was written a moment ago. Not importlib.invalidate_caches(): on Python 3.13 it imports inspect.
        finder.invalidate_caches()


@contextlib.contextmanager
def _without_standard_streams() -> Iterator[None]:
    """Keep print() out of this process's output, which may be data, and input() away from its stdin, the lifeline."""
    stdin, stdout = sys.stdin, sys.stdout
    sys.stdin, sys.stdout = io.StringIO(), sys.stderr or io.StringIO()
    try:
        yield
    finally:
        sys.stdin, sys.stdout = stdin, stdout


@cache
def _builtin_names() -> tuple[str, ...]:
    """Return the names of the built-in jobs: a job's module has its name, so that a child imports this one only.

    As among the user's files, a module that begins with "_" is a helper of others.
    """
    import pkgutil  # noqa: PLC0415 - a child does without, and without the inspect that it imports

    names = (module.name for module in pkgutil.iter_modules(jobs.builtin.__path__))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def _is_builtin(name: str) -> bool:
    # A name with a dot would make find_spec() import what is before it.
    return NAME.fullmatch(name) is not None and importlib.util.find_spec(f"jobs.builtin.{name}") is not None


def _builtin_job(name: str) -> Job:
    loaded = _made(importlib.import_module(f"jobs.builtin.{name}"), f"jobs/builtin/{name}.py")
    return Registry(loaded.jobs)[name]


@cache
def _builtin_registry() -> Registry:
    found: list[Job] = []
    problems: list[JobProblem] = []
    for name in _builtin_names():
        try:
            found.append(_builtin_job(name))
        except Exception as error:  # noqa: BLE001 - one that cannot be imported here must not take the others along
            problems.append(JobProblem(f"jobs/builtin/{name}.py", f"cannot use the built-in job {name}: {error}"))
    return Registry(found, problems)
