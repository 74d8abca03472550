"""Every error of this package; each says what cannot be done, where, and what to do."""

from collections.abc import Iterable, Mapping

# The run's exit code when the job was never called: an unknown job, a parameter that does not fit, a broken
# request, or a parent that went away first. What env(1), timeout(1) and docker(1) say when they themselves fail.
NOT_STARTED = 125


class JobError(Exception):
    """Base of every error of this package."""


class JobFailed(JobError):  # noqa: N818 - reads as what it says: raise JobFailed("…")
    """Raised by a job to end its run as failed, with a sentence instead of a traceback."""

    def __init__(self, message: str = "the job says that it failed", exit_code: int = 1) -> None:
        # The system keeps the lowest eight bits only: 0 and 256 would make the failure a success.
        if exit_code % 256 == 0:
            raise ValueError(f"cannot use JobFailed(exit_code={exit_code}): it means success; use 1 to 255")
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message


class JobDefinitionError(JobError):
    """A function or a use of @job that cannot become a job."""


class ParameterError(JobError, ValueError):
    """Values that do not fit a job: all of them at once, one sentence for each parameter."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(dict(problems))
        self.problems = dict(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems.values())


class UnknownJob(JobError, KeyError):  # noqa: N818 - says more than UnknownJobError
    """No job has this name; *because* tells which files could not be read, as the job may be in one of them."""

    def __init__(self, name: str, near: Iterable[str] = (), because: Iterable[str] = ()) -> None:
        super().__init__(name)
        self.name = name
        self.near = tuple(near)
        self.because = tuple(because)

    def __str__(self) -> str:
        sentence = f"cannot find the job {self.name!r}"
        if self.near:
            sentence += f": did you mean {' or '.join(self.near)}?"
        elif not self.because:
            sentence += ": no built-in job and no file of the jobs folder defines it"
        return "\n".join([sentence, *self.because])


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """Return up to three of *names* that *name* may have been meant for, best first."""
    from difflib import get_close_matches  # noqa: PLC0415 - only after an error; a child starts faster without

    return get_close_matches(name, list(names), n=3, cutoff=0.6)
