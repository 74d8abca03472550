"""What the audit log keeps of a schedule: everything that a person can set, readable."""

from typing import Any

from django_celery_beat.models import PeriodicTask

from beat_config import places, tags
from beat_config.forms import POLICY_FIELDS
from beat_config.models import Chain, SchedulePolicy
from beat_config.schedules import in_words
from jobs import catalogue
from jobs.durations import format_duration


def of(task: PeriodicTask) -> dict[str, Any]:
    """Return the schedule *task* as its rows are now, by the words of its form; secrets by their names."""
    policy = SchedulePolicy.objects.select_related(
        "schedule__interval", "schedule__crontab", "schedule__clocked", "schedule__solar"
    ).get(pk=task.pk)
    stored = policy.schedule
    followers = Chain.objects.filter(leader=stored.pk).order_by("when").select_related("follower")
    return {
        "name": stored.name,
        "job": catalogue.title(stored.task),
        "enabled": stored.enabled,
        "tags": tags.tags_of(stored),
        "parameters": stored.kwargs,
        "when": in_words(policy),
        "where": places.of(stored).words,
        "blackouts": sorted(policy.blackouts.values_list("name", flat=True)),
        **{name: _readable(getattr(policy, name)) for name in POLICY_FIELDS},
        "afterwards": [f"{chain.follower.name} {chain.get_when_display()}" for chain in followers],
        "priority": stored.priority,
        "description": stored.description,
    }


def _readable(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return format_duration(value) if hasattr(value, "total_seconds") else str(value)
