"""What a schedule form says, stored: by whom, and by way of which page, file or call, is the caller's affair."""

import json
import math
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django_celery_beat.models import PeriodicTask

from beat_config import adoption, chains, places, tags, timing
from beat_config.forms import POLICY_FIELDS, ScheduleForm
from beat_config.models import Chain, Schedule, SchedulePolicy
from beat_config.secret_uses import used_by, uses
from jobs import catalogue, vault
from jobs.permissions import may_use_job


def save(form: ScheduleForm, *, by: str, now: datetime) -> list[str]:
    """Store the schedule of the valid *form*, and set its next run; return the secrets that were made for it."""
    cleaned, schedule = form.cleaned_data, form.instance
    policy = SchedulePolicy.objects.filter(pk=schedule.pk).first() or SchedulePolicy()
    timing.store(cleaned["timing"], schedule, policy)
    parameters, made = _with_secrets_kept(schedule, cleaned, by)
    schedule.task, schedule.args, schedule.kwargs = cleaned["task"], "[]", json.dumps(parameters)
    expires_after, schedule.priority = cleaned["expires_after"], cleaned["priority"]
    schedule.expire_seconds = math.ceil(expires_after.total_seconds()) if expires_after else None
    places.store(cleaned["place"], schedule)
    schedule.start_time, schedule.expires = cleaned["start_time"], cleaned["expires"]
    schedule.save()
    SchedulePolicy.objects.filter(pk=schedule.pk).update(
        expression=policy.expression,
        day_rule=policy.day_rule,
        **{name: cleaned[name] for name in POLICY_FIELDS},
    )
    SchedulePolicy.objects.get(pk=schedule.pk).blackouts.set(cleaned["blackouts"])
    tags.set_tags(schedule, cleaned["tags"])
    chains.store(schedule.pk, followers(cleaned))
    # Now, not at beat's next look: the next run is shown.
    adoption.adopt([schedule.pk], now)
    return made


def refuse_what_is_not_allowed(form: ScheduleForm, user: Any) -> None:
    """Raise PermissionDenied when *user* may not use the form's job, start what is to follow, or see its secrets."""
    cleaned, schedule = form.cleaned_data, form.instance
    if not may_use_job(user, cleaned["task"]):
        raise PermissionDenied(f"You have no permission to schedule {cleaned['task']}.")
    for task in chains.added(schedule.pk, followers(cleaned)):
        if not may_use_job(user, task.task):
            raise PermissionDenied(f"You have no permission to start {task.name}.")
    if foreign_secrets(schedule, cleaned) and not user.has_perm("jobs.view_secret"):
        raise PermissionDenied("You have no permission to use secrets that the schedule has not had before.")


def followers(cleaned: dict[str, Any]) -> dict[Chain.When, PeriodicTask | None]:
    return {when: cleaned[f"after_{when}"] for when in Chain.When}


def foreign_secrets(schedule: Schedule, cleaned: dict[str, Any]) -> set[str]:
    """Return the stored secrets that were chosen and that the schedule has not had before."""
    return vault.references(catalogue.registry()[cleaned["task"]], cleaned["parameters"]) - _own(
        schedule, cleaned["task"]
    )


def _own(schedule: Schedule, job: str) -> set[str]:
    former = PeriodicTask.objects.filter(pk=schedule.pk, task=job).first()
    return used_by(former, catalogue.registry()[job]) if former else set()


def _with_secrets_kept(schedule: Schedule, cleaned: dict[str, Any], by: str) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters with what was typed as a secret stored as one, and the names of those that are new."""
    job = catalogue.registry()[cleaned["task"]]
    own = _own(schedule, job.name)
    shared = {name for name, tasks in uses().items() if len(tasks) > 1} if own else set()
    return vault.keep(job, cleaned["parameters"], owner=cleaned["name"], by=by, own=own - shared)
