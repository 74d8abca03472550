"""From a message that is in order to its run: what the database says of it decides what happens."""

from django.conf import settings
from django.utils import timezone

from jobs import executor, refusals
from jobs.messages import Message
from jobs.models import Run
from jobs.states import FINAL


def receive(message: Message, *, worker: str, redelivered: bool) -> None:
    """Execute the run that *message* names, unless it has ended or is another than was meant.

    *redelivered* says that the broker has delivered it before: a worker that died, or lost its connection, is common.
    """
    run = Run.objects.filter(pk=message.run_id, attempt=message.attempt, fire_time=message.fire_time)
    states = executor.insist(lambda: list(run.values_list("state", flat=True)), message.run_id)
    if not states:
        _refuse(message, worker, f"run {message.run_id}, which it names, is not in this database")
    elif states[0] not in FINAL:
        executor.execute(message.run_id, message.attempt, worker=worker)
    elif not redelivered:
        _refuse(
            message,
            worker,
            f"run {message.run_id} has ended already; a run that waits long is sent again every quarter of an hour,"
            " and if it did not, somebody has sent this message a second time",
        )


def _refuse(message: Message, worker: str, reason: str) -> None:
    body = message.body(settings.SECRET_KEY)
    refusals.record(reason, body, queue="", worker=worker, now=timezone.now())
