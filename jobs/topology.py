"""Queues and exchanges: what a worker reads, and what is there before any worker is.

On RabbitMQ all queues are quorum queues. Those that belong to some workers only go when none of these has been there
for a while: a run that asks for such a worker then says that there is none, instead of waiting in a queue nobody reads.
"""

# mypy: allow-untyped-calls
# kombu says that it is typed and leaves most of its functions without annotations.

import socket
from collections.abc import Iterable
from typing import Any

from celery.app.amqp import AMQP, Queues
from kombu.entity import Exchange, Queue, binding

from jobs.inbox import DELIVERY_LIMIT
from jobs.messages import LIFETIME
from scheduler_app import routing
from scheduler_app.config import Worker

UNUSED_FOR = 600_000  # milliseconds
# What no worker has collected yet; a worker lists it among the refused messages.
MOST_DEAD = 1_000


def machine_of(worker: Worker) -> str:
    """Return by what name runs for every machine know this one."""
    return worker.machine or socket.gethostname()


def exchange(name: str) -> Exchange:
    return Exchange(name, type=routing.EXCHANGES[name], durable=True)


def foundation(*, quorum: bool) -> list[Any]:
    """Return what whoever sends declares first, so that only what asks for certain workers can miss them."""
    return [*map(exchange, routing.EXCHANGES), _default(quorum=quorum), _dead(quorum=quorum)]


def read_by(worker: Worker, *, quorum: bool) -> list[Queue]:
    """Return the queues that a worker of this machine reads."""
    queues = [named(name, quorum=quorum) for name in worker.queues]
    queues += [
        _queue(routing.queue_of_pattern(pattern), exchange(routing.TOPICS), pattern, quorum=quorum)
        for pattern in worker.topics
    ]
    queues.append(_queue(routing.queue_of_machine(machine_of(worker)), exchange(routing.MACHINES), "", quorum=quorum))
    if worker.labels:
        queues.append(_of_labels(routing.read_labels(worker.labels), quorum=quorum))
    return [*queues, _dead(quorum=quorum)]


def named(name: str, *, quorum: bool) -> Queue:
    """Return the queue that people call *name*."""
    if name in {routing.ANY, routing.DEFAULT_QUEUE}:
        return _default(quorum=quorum)
    return _queue(name, exchange(routing.QUEUES), name, quorum=quorum)


class RunQueues(Queues):  # type: ignore[misc]  # Celery has no types
    """Gives the queues of `celery worker -Q` the arguments that they have elsewhere: a queue cannot change its own."""

    def new_missing(self, name: str) -> Queue:
        return named(name, quorum=self.create_missing_queue_type == "quorum")

    def select(self, include: Iterable[str] | str | None) -> None:
        names = include.split(",") if isinstance(include, str) else list(include or ())
        if names:
            chosen = [routing.DEFAULT_QUEUE if name == routing.ANY else name for name in names]
            super().select([*chosen, routing.DEAD_QUEUE])


class RunAMQP(AMQP):  # type: ignore[misc]  # as above
    queues_cls = RunQueues


def _default(*, quorum: bool) -> Queue:
    name = routing.DEFAULT_QUEUE
    return _queue(name, exchange(routing.QUEUES), name, quorum=quorum, stays=True)


def _dead(*, quorum: bool) -> Queue:
    """Return where RabbitMQ puts what it has delivered too often."""
    arguments = {"x-queue-type": "quorum", "x-max-length": MOST_DEAD} if quorum else {}
    name = routing.DEAD_QUEUE
    return Queue(name, exchange(routing.QUEUES), routing_key=name, queue_arguments=arguments, durable=True)


def _of_labels(labels: dict[str, str], *, quorum: bool) -> Queue:
    name, headers = routing.queue_of_labels(labels), exchange(routing.LABELS)
    bindings = [binding(headers, arguments={"x-match": "all", **wanted}) for wanted in routing.offers(labels)]
    queue = _queue(name, headers, "", quorum=quorum, bindings=bindings)
    # A queue with several bindings has no exchange to kombu. To Celery it needs one, or is bound to its default.
    queue.exchange = headers
    return queue


def _queue(name: str, bound_to: Exchange, key: str, *, quorum: bool, stays: bool = False, **options: Any) -> Queue:
    arguments: dict[str, Any] = {"x-message-ttl": int(LIFETIME.total_seconds() * 1000)}
    if not stays:
        arguments["x-expires"] = UNUSED_FOR
    if quorum:
        arguments |= {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": routing.QUEUES,
            "x-dead-letter-routing-key": routing.DEAD_QUEUE,
        }
    return Queue(name, bound_to, routing_key=key, queue_arguments=arguments, durable=True, **options)
