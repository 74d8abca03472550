"""Which schedules use which secrets."""

from collections.abc import Iterator

from django.db.models import QuerySet
from django_celery_beat.models import PeriodicTask

from beat_config.schedules import ArgumentsError, parameters_of
from jobs import catalogue, vault
from jobs.registry import Job


def secret_jobs() -> dict[str, Job]:
    """Return the jobs that take secrets, by name."""
    return {name: job for name, job in catalogue.registry().items() if any(each.secret for each in job.parameters)}


def with_secrets() -> Iterator[tuple[PeriodicTask, Job]]:
    """Yield the schedules whose job takes secrets, with the job."""
    jobs = secret_jobs()
    tasks: QuerySet[PeriodicTask] = PeriodicTask.objects.filter(task__in=jobs).order_by("name")
    for task in tasks.iterator():
        yield task, jobs[task.task]


def uses() -> dict[str, list[PeriodicTask]]:
    """Return the schedules that use each secret, by the secret's name; one that nobody uses is not in it."""
    found: dict[str, list[PeriodicTask]] = {}
    for task, job in with_secrets():
        for name in used_by(task, job):
            found.setdefault(name, []).append(task)
    return found


def used_by(task: PeriodicTask, job: Job) -> set[str]:
    """Return the names of the secrets that the schedule *task* of *job* uses."""
    try:
        return vault.references(job, parameters_of(task))
    except ArgumentsError:
        return set()
