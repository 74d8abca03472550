"""From a message that is in order to its run: what the database says of it decides what happens."""

from django.conf import settings
from django.utils import timezone

from jobs import executor, machines, refusals, topology
from jobs.messages import Message
from jobs.models import EVERY_MACHINE, Run
from jobs.states import FINAL


def receive(message: Message, *, worker: str, redelivered: bool) -> None:
    """Execute the run that *message* names, unless it has ended or is another than was meant.

    *redelivered* says that the broker has delivered it before: a worker that died, or lost its connection, is common.
    """
    run = Run.objects.filter(pk=message.run_id, attempt=message.attempt, fire_time=message.fire_time)
    found = executor.insist(lambda: list(run.values_list("state", "machine")), message.run_id)
    if not found:
        _refuse(message, worker, f"run {message.run_id}, which it names, is not in this database")
        return
    state, machine = found[0]
    if state not in FINAL and machine == EVERY_MACHINE:
        _execute_part(message, worker)
    elif state not in FINAL:
        executor.execute(message.run_id, message.attempt, worker=worker)
    elif not redelivered:
        _refuse(
            message,
            worker,
            f"run {message.run_id} has ended already; a run that waits long is sent again every quarter of an hour,"
            " and if it did not, somebody has sent this message a second time",
            repeat=True,
        )


def _execute_part(message: Message, worker: str) -> None:
    machine = topology.machine_of(settings.SCHEDULER.worker)
    part = executor.insist(
        lambda: machines.join(message.run_id, message.attempt, machine=machine, now=timezone.now()), message.run_id
    )
    if part is not None:
        executor.execute(part, message.attempt, worker=worker)


def _refuse(message: Message, worker: str, reason: str, *, repeat: bool = False) -> None:
    body = message.body(settings.SECRET_KEY)
    refusals.record(reason, body, queue="", worker=worker, now=timezone.now(), repeat=repeat)
