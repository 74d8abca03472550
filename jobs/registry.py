"""The decorator `@job`, the jobs it makes, and the registry that holds them by name."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from types import FrameType, FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeVar, Unpack, overload

from jobs import docstrings, parameters
from jobs.errors import JobDefinitionError, UnknownJob, near_names
from jobs.options import Options, RawOptions, check_options
from jobs.parameters import Parameter

__all__ = ["Job", "JobProblem", "Registry", "UnknownJob", "job"]

if TYPE_CHECKING:
    from pydantic import BaseModel

DECLARATIONS = "__jobs__"  # a module's name for what @job has declared while it was imported
NAME = re.compile(r"[a-z][a-z0-9_]*")

_LONGEST_NAME = 100
_GENERATOR = 0x20  # inspect.CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR
_COROUTINE = 0x80 | 0x200

Function = TypeVar("Function", bound=Callable[..., object])


class Declaration(NamedTuple):
    """What a use of @job says, unchecked: one wrong job must not keep the others of its file from being read."""

    function: Callable[..., object]
    name: str | None
    title: str | None
    group: str
    permission: str | None
    options: RawOptions


class JobProblem(NamedTuple):
    """Why a file, or a job in it, cannot be used."""

    file: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.message} ({self.file}{f', line {self.line}' if self.line else ''})"


@overload
def job(function: Function, /) -> Function: ...
@overload
def job(
    function: None = None,
    *,
    name: str | None = None,
    title: str | None = None,
    group: str = "My jobs",
    permission: str | None = None,
    **options: Unpack[RawOptions],
) -> Callable[[Function], Function]: ...
def job(
    function: Callable[..., object] | None = None,
    *,
    name: str | None = None,
    title: str | None = None,
    group: str = "My jobs",
    permission: str | None = None,
    **options: Unpack[RawOptions],
) -> Any:
    """Declare a function as a job; it stays the function it was.

    *name* identifies the job in schedules ([a-z][a-z0-9_]*; default: the function's), *title* and *group* are what
    people read, *permission* is what a user needs to schedule it ("app.codename"; default: none of its own). The
    docstring describes the job and, under `Args:`, its parameters. A run succeeds when the function returns, whatever
    it returns. The options are defaults, of which a schedule may say otherwise; durations are "10m", seconds or a
    timedelta:

    timeout       ends a run that takes longer
    retries       how often a run that went wrong is tried again, retry_delay ("1m") later each time
    retry_on      what "went wrong" is: "failed", "timed_out" (both by default), "interrupted" (by a crash)
    memory        what each of its processes may use ("500MB"); on Windows all of them together
    nice          how much it stands back for other programs: 1 to 19, 10 is usual
    folder        where it runs; by default the home folder
    environment   variables in addition to those it has anyway
    inline        calls it in the worker itself, not in a process of its own: for short work that can be trusted
    max_running   how many of its runs may go on at once, on all workers together
    rate          how often it may be started ("10/m"), evenly spread; s, m, h or d
    """

    def declare(function: Function) -> Function:
        if not isinstance(function, FunctionType):
            raise JobDefinitionError(
                f"cannot use @job on {function!r}: it is not a function; write @job or @job(name=…)"
            )
        declarations = _importing_module(sys._getframe(1)).setdefault(DECLARATIONS, [])  # noqa: SLF001 - as namedtuple does
        declarations.append(Declaration(function, name, title, group, permission, options))
        return function

    return declare if function is None else declare(function)


def _importing_module(frame: FrameType | None) -> dict[str, Any]:
    """Return the namespace of the module whose top level led here; an empty one when a function did, at run time.

    Not the function's own module: a loop, or a function of a helper module, may make the jobs of a file.
    """
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            return frame.f_globals
        frame = frame.f_back
    return {}


class Job:
    """A registered kind of work with typed parameters. Made from a declaration; never changed."""

    allowed_name: ClassVar[re.Pattern[str]] = NAME

    def __init__(self, declaration: Declaration, source: str) -> None:
        """Check *declaration*; JobDefinitionError says what cannot be a job."""
        function = declaration.function
        description = docstrings.read(function.__doc__)
        self.name: Final[str] = _checked_name(declaration, self.allowed_name)
        self.title: Final[str] = declaration.title or parameters.in_words(self.name)
        self.group: Final[str] = declaration.group
        self.summary: Final[str] = description.summary
        self.description: Final[str] = description.text
        self.function: Final[Callable[..., object]] = function
        self.options: Final[Options] = check_options(declaration.options, function.__name__)
        self.permission: Final[str | None] = declaration.permission
        self.source: Final[str] = source
        self.line: Final[int] = line_of(function)
        _check_it_does_its_work_when_called(function)
        self._fields: Final = parameters.read_fields(function, description)
        self.parameters: Final[tuple[Parameter, ...]] = tuple(field.parameter for field in self._fields)

    def __repr__(self) -> str:
        return f"<Job {self.name} of {self.source}>"

    @property
    def is_builtin(self) -> bool:
        return self.function.__module__.startswith("jobs.builtin.")

    @cached_property
    def model(self) -> "type[BaseModel]":
        """The parameters as a pydantic model; made when first asked for, as a run needs none."""
        from jobs.model import create_model  # noqa: PLC0415 - imports pydantic

        return create_model(self.name, self._fields)

    def validate(self, values: Mapping[str, object]) -> dict[str, Any]:
        """Return *values* JSON-ready, defaults filled in; ParameterError holds all problems at once."""
        return parameters.to_json(self._fields, parameters.parse(self._fields, values))

    def arguments(self, values: Mapping[str, object]) -> dict[str, Any]:
        """Return *values* as the function takes them; ParameterError holds all problems at once."""
        return parameters.for_call(self._fields, parameters.parse(self._fields, values))

    def map_secrets(self, values: Mapping[str, Any], change: Callable[[str, Any], Any]) -> dict[str, Any]:
        """Return the JSON *values* with `change(label, secret)` in place of each secret among them."""
        return parameters.map_secrets(self._fields, values, change)

    def call(self, values: Mapping[str, object]) -> None:
        """Call the function with *values*, converted; ParameterError before it, and whatever the function raises."""
        self.function(**self.arguments(values))


class Registry(Mapping[str, Job]):
    """The jobs by name, and the problems of those that could not become one."""

    def __init__(self, jobs: Iterable[Job], problems: Iterable[JobProblem] = ()) -> None:
        """Take *jobs*, built-in ones first: a name that is taken by one of them stays theirs.

        Two files of the user's with one name leave none: a run must not depend on which is found first.
        """
        found: dict[str, list[Job]] = {}
        for job in jobs:
            found.setdefault(job.name, []).append(job)
        self._jobs: dict[str, Job] = {}
        conflicts = []
        for name, claimants in sorted(found.items()):
            builtin = [job for job in claimants if job.is_builtin]
            kept = builtin[:1] or (claimants if len(claimants) == 1 else [])
            self._jobs.update((name, job) for job in kept)
            conflicts += [_conflict(job, claimants) for job in claimants if job not in kept]
        self.problems: Final[tuple[JobProblem, ...]] = (*problems, *conflicts)

    def __getitem__(self, name: str) -> Job:
        try:
            return self._jobs[name]
        except KeyError:
            raise UnknownJob(name, near_names(name, self._jobs)) from None

    # Mapping's own returns None for what is missing, which here would be found out much later.
    get = __getitem__  # type: ignore[assignment]

    def __contains__(self, name: object) -> bool:
        return name in self._jobs

    def __iter__(self) -> Iterator[str]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def __repr__(self) -> str:
        return f"<Registry of {', '.join(self._jobs)}>"


def line_of(function: Callable[..., object]) -> int:
    """Return the line where the function that people wrote begins, decorators included."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return int(function.__code__.co_firstlineno)


def _conflict(job: Job, claimants: list[Job]) -> JobProblem:
    others = ", ".join(f"{other.source}, line {other.line}" for other in claimants if other is not job)
    return JobProblem(
        job.source,
        f"cannot use the job {job.name!r}: another one has the same name ({others}); rename one, or give it "
        f"another name with @job(name=…)",
        job.line,
    )


def _checked_name(declaration: Declaration, allowed: re.Pattern[str]) -> str:
    name = declaration.function.__name__ if declaration.name is None else declaration.name
    if not isinstance(name, str) or not allowed.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise JobDefinitionError(
            f"cannot use {name!r} as the name of a job: a-z, 0-9 and _ are allowed, a letter first, "
            f"{_LONGEST_NAME} characters at most; write @job(name=…)"
        )
    return name


def _check_it_does_its_work_when_called(function: Callable[..., object]) -> None:
    flags: int = function.__code__.co_flags
    where = f"cannot use {function.__name__}() as a job"
    if flags & _COROUTINE:
        raise JobDefinitionError(f"{where}: it is async; write a def that calls asyncio.run(…)")
    if flags & _GENERATOR:
        raise JobDefinitionError(f"{where}: it is a generator, whose body a call does not run; remove the yield")
