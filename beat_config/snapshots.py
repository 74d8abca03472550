"""What the audit log keeps of a schedule: its document, which can be put back, and when it runs in words."""

from typing import Any

from django_celery_beat.models import PeriodicTask

from beat_config.models import SchedulePolicy
from beat_config.schedules import RELATED, in_words

# In words, for people: no part of the document.
WHEN = "when"


def of(task: PeriodicTask) -> dict[str, Any]:
    """Return the schedule *task* as its rows are now, secrets by their names."""
    from beat_config.documents import read  # noqa: PLC0415 - which writes snapshots itself

    policy = SchedulePolicy.objects.select_related(*RELATED).get(pk=task.pk)
    return {**read(task).model_dump(mode="json", exclude_none=True), WHEN: in_words(policy)}
