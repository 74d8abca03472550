"""What is asked for twice happens once: a request that carries a key finds the run that the first one of it made."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.utils import timezone

from jobs.errors import JobError
from jobs.models import RunKey

LONGEST = 200


class KeyTakenError(JobError):
    """A key that has been used for something else."""


class Made(NamedTuple):
    """The run that a request is for; *new* says that this request made it."""

    run_id: int
    new: bool


def check(key: str) -> str:
    """Return a key that people may use; ValueError with the reason when it is none."""
    if not (isinstance(key, str) and key.isprintable() and 0 < len(key) <= LONGEST):
        raise ValueError(f"a text of 1 to {LONGEST} printable characters is needed")
    return key


def make(key: str | None, job: str, parameters: Mapping[str, Any], create: Callable[[], int]) -> Made:
    """Return the run of an earlier request with *key*, or what *create* makes; None: always that.

    Of requests that come at the same time one makes the run, the others wait for it. KeyTakenError: the key's run is
    one of another job, or with other parameters.
    """
    if key is None:
        return Made(create(), new=True)
    digest = _digest(job, parameters)
    if (earlier := _earlier(key, digest)) is not None:
        return earlier
    try:
        with transaction.atomic():
            run_id = create()
            RunKey.objects.create(key=key, digest=digest, run=run_id, made_at=timezone.now())
    except IntegrityError:
        earlier = _earlier(key, digest)
        if earlier is None:
            raise
        return earlier
    return Made(run_id, new=True)


def forget(before: datetime, *, most: int) -> int:
    """Delete the keys made *before*, at most so many; return how many."""
    # By number: those are as old as they are small, and need no index of their own.
    oldest = RunKey.objects.order_by("pk").values_list("pk", "made_at")[:most]
    old = [pk for pk, made_at in oldest if made_at < before]
    return RunKey.objects.filter(pk__in=old).delete()[0] if old else 0


def _earlier(key: str, digest: str) -> Made | None:
    found = RunKey.objects.filter(key=key).values_list("run", "digest").first()
    if found is None:
        return None
    run_id, of = found
    if of != digest:
        raise KeyTakenError(
            f"cannot use the key {key.partition(':')[2]!r}: run {run_id} was started with it, for another job or with"
            " other parameters; each request needs a key of its own"
        )
    return Made(run_id, new=False)


def _digest(job: str, parameters: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([job, parameters], sort_keys=True).encode()).hexdigest()
