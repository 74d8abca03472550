"""This process's registry: the built-in jobs and those of the configured folder, read again when files change."""

import threading
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from jobs import task_jobs
from jobs.discovery import Registry, discover
from jobs.kinds import SecretReference

MASK = "••••••••"

_reading = threading.Lock()
_last: tuple[Registry, Registry] | None = None  # what discovery gave, and that with the Celery tasks


def registry() -> Registry:
    """Return the jobs there are now; cheap when no file has changed."""
    global _last  # noqa: PLW0603 - one registry a process
    # Discovery imports files; two threads of a pool must not import one file at the same time.
    with _reading:
        jobs = discover(settings.SCHEDULER_PATHS.jobs)
        if not settings.SCHEDULER.celery.tasks:
            return jobs
        if _last is None or _last[0] is not jobs:
            tasks = task_jobs.found()
            _last = jobs, Registry([*jobs.values(), *tasks.jobs], [*jobs.problems, *tasks.problems])
        return _last[1]


def title(name: str) -> str:
    """Return the title of the job called *name*, or the name itself when there is no such job."""
    jobs = registry()
    return jobs[name].title if name in jobs else name


def shown_parameters(name: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the parameters of a run as people read them, (label, value), secrets masked."""
    jobs = registry()
    labels = {each.name: each.label for each in jobs[name].parameters} if name in jobs else {}
    return [(labels.get(key, key), shown) for key, shown in named_parameters(name, values)]


def named_parameters(name: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the parameters of a run by their names in Python, those with a value, secrets masked."""
    jobs = registry()
    secret = {each.name for each in jobs[name].parameters if each.secret} if name in jobs else set()
    return [
        (key, _shown(value, secret=key in secret)) for key, value in values.items() if value not in (None, "", [], {})
    ]


def _shown(value: Any, *, secret: bool) -> str:
    if secret and (reference := SecretReference.of(value)):
        return f"the secret {reference.name}" if reference.name else "a secret that was not kept"
    if secret and isinstance(value, str):
        return MASK
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "\n".join(_shown(item, secret=secret) for item in value)
    if isinstance(value, dict):
        return "\n".join(f"{key} = {_shown(item, secret=secret)}" for key, item in value.items())
    return str(value)
