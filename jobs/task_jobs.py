"""Celery tasks of other Django apps as jobs: those that the configuration names, with parameters from their signatures.

They run in the worker itself (`jobs.in_worker`), so that they have what Celery's own runs have: the Django project, the
database, the request.
"""

import importlib
import logging
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from types import FunctionType, MethodType
from typing import Any, Final, NamedTuple

from celery import Task, current_app
from django.conf import settings

from jobs import parameters
from jobs.errors import JobDefinitionError
from jobs.messages import TASK_NAME
from jobs.registry import Declaration, Job, JobProblem, line_of

logger = logging.getLogger(__name__)

GROUP = "Celery tasks"


class TaskJob(Job):
    """A task as a job: its name is the task's, so that its schedules are django-celery-beat's own."""

    allowed_name = re.compile(r"[\w.:-]+")

    def __init__(self, task: Task) -> None:
        function = _function_of(task)
        declaration = Declaration(
            function=_with_types(function),
            name=task.name,
            title=parameters.in_words(task.name.rpartition(".")[2]),
            group=GROUP,
            permission=None,
            options={"timeout": task.soft_time_limit or task.time_limit},
        )
        super().__init__(declaration, function.__code__.co_filename)
        self.task: Final = task


class Found(NamedTuple):
    jobs: tuple[TaskJob, ...] = ()
    problems: tuple[JobProblem, ...] = ()


@cache
def found() -> Found:
    """Return the tasks that may be scheduled; read once a process, as Celery's own registry is."""
    celery = settings.SCHEDULER.celery
    problems = list(_import_modules([*(f"{app}.tasks" for app in celery.apps), *_modules(celery.tasks)]))
    names = sorted(name for name in current_app.tasks if _is_allowed(name, celery.tasks))
    made = []
    for name in names:
        task = current_app.tasks[name]
        try:
            made.append(TaskJob(task))
        except JobDefinitionError as error:
            function = _function_of(task)
            problems.append(JobProblem(function.__code__.co_filename, str(error), line_of(function)))
    problems += [
        JobProblem(
            settings.SCHEDULER.origins.get("celery.tasks", ""),
            f"cannot find a Celery task named {pattern}: correct it, or name its app in celery.apps",
        )
        for pattern in celery.tasks
        if not any(fnmatchcase(name, pattern) for name in names)
    ]
    return Found(tuple(made), tuple(problems))


def _is_allowed(name: str, patterns: Iterable[str]) -> bool:
    # Celery's own tasks and ours are no work of anybody's.
    return name != TASK_NAME and not name.startswith("celery.") and any(fnmatchcase(name, each) for each in patterns)


def _modules(patterns: Iterable[str]) -> Iterator[str]:
    """Yield the modules whose names the patterns begin with: "shop.tasks.*" is in shop.tasks."""
    for pattern in patterns:
        module = pattern.rpartition(".")[0]
        if module and not set("*?[") & set(module):
            yield module


def _import_modules(names: Iterable[str]) -> Iterator[JobProblem]:
    for name in dict.fromkeys(names):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            # An app without tasks of that name, or a task that is named otherwise than its module.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                yield _problem(name, error)
        except Exception as error:
            logger.warning("cannot import %s", name, exc_info=True)
            yield _problem(name, error)


def _problem(name: str, error: Exception) -> JobProblem:
    return JobProblem(name, f"cannot import {name}: {type(error).__name__}: {error}")


def _function_of(task: Task) -> Any:
    """Return the function that people wrote: a bound one for a task that gets itself as its first argument."""
    run = task.run
    while hasattr(run, "__wrapped__") and not isinstance(run, MethodType):
        run = run.__wrapped__
    return run


def _with_types(function: Any) -> Any:
    """Return *function*, not to be called, with a type for each parameter that it gives none a form could ask for."""
    plain = function.__func__ if isinstance(function, MethodType) else function
    code = plain.__code__
    copy = FunctionType(code, plain.__globals__, plain.__name__, plain.__defaults__, plain.__closure__)
    copy.__doc__, copy.__module__, copy.__kwdefaults__ = plain.__doc__, plain.__module__, plain.__kwdefaults__
    copy.__annotations__ = dict(plain.__annotations__)
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    positional = names[: code.co_argcount]
    defaults = dict(zip(reversed(positional), reversed(plain.__defaults__ or ()), strict=False))
    defaults |= plain.__kwdefaults__ or {}
    for name in names:
        if name not in copy.__annotations__:
            kind = type(defaults.get(name))
            copy.__annotations__[name] = kind if kind in (bool, int, float, str) else Any
        elif not parameters.is_supported(copy, name):
            copy.__annotations__[name] = Any
    return MethodType(copy, function.__self__) if isinstance(function, MethodType) else copy
