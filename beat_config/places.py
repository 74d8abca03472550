"""Where a schedule's runs go: django-celery-beat's columns queue, exchange, routing_key and headers in words."""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django_celery_beat.models import PeriodicTask

from scheduler_app import routing


class Kind(StrEnum):
    ANY = "any"
    QUEUE = "queue"
    TOPIC = "topic"
    LABELS = "labels"
    EVERY = "every"
    OTHER = "other"


CHOICES = {
    Kind.ANY: "Any worker",
    Kind.QUEUE: "Workers of one queue",
    Kind.TOPIC: "Workers that listen to a topic",
    Kind.LABELS: "Workers with certain labels",
    Kind.EVERY: "Every machine, one run each",
    # Offered only where it is so already.
    Kind.OTHER: "As another program has set it",
}


@dataclass(frozen=True, slots=True)
class Place:
    """*name* is the queue or the topic, or says in words what another program has set."""

    kind: Kind
    name: str = ""
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def words(self) -> str:
        if self.kind is Kind.LABELS:
            return f"workers with {routing.write_labels(self.labels)}"
        phrases = {
            Kind.ANY: "any worker",
            Kind.QUEUE: f"workers of the queue {self.name}",
            Kind.TOPIC: f"workers that listen to {self.name}",
            Kind.EVERY: "every machine",
        }
        return phrases.get(self.kind, self.name)


def of(task: PeriodicTask) -> Place:
    """Return where the columns of *task* send its runs."""
    exchange, key, queue = task.exchange or "", task.routing_key or "", task.queue or ""
    if exchange == routing.TOPICS:
        return Place(Kind.TOPIC, key)
    if exchange == routing.MACHINES:
        return Place(Kind.EVERY)
    if exchange == routing.LABELS:
        try:
            return Place(Kind.LABELS, labels={name: str(value) for name, value in sorted(_headers(task).items())})
        except ValueError:
            return Place(Kind.OTHER, "labels in headers that are not JSON")
    if exchange == routing.QUEUES or not exchange:
        name = key if exchange else queue
        return Place(Kind.ANY) if name in {"", routing.ANY, routing.DEFAULT_QUEUE} else Place(Kind.QUEUE, name)
    return Place(Kind.OTHER, f"exchange {exchange}" + (f", routing key {key}" if key else ""))


def store(place: Place, task: PeriodicTask) -> None:
    """Put *place* into the columns of *task*; headers that say something else stay."""
    if place.kind is Kind.OTHER or place == of(task):
        return
    if task.exchange == routing.LABELS:
        task.headers = "{}"
    task.queue = task.exchange = task.routing_key = None
    if place.kind is Kind.QUEUE:
        task.queue = place.name
    elif place.kind is Kind.TOPIC:
        task.exchange, task.routing_key = routing.TOPICS, place.name
    elif place.kind is Kind.EVERY:
        task.exchange = routing.MACHINES
    elif place.kind is Kind.LABELS:
        task.exchange, task.headers = routing.LABELS, json.dumps(place.labels)


def route_of(task: PeriodicTask) -> dict[str, object] | None:
    """Return what a run of *task* says of its way; None for the usual one."""
    route = {
        "queue": task.queue,
        "exchange": task.exchange,
        "routing_key": task.routing_key,
        "priority": task.priority,
        "headers": _headers(task),
    }
    return {name: value for name, value in route.items() if value not in (None, "", {})} or None


def _headers(task: PeriodicTask) -> dict[str, Any]:
    headers = json.loads(task.headers) if task.headers not in {"", "{}", None} else {}
    return headers if isinstance(headers, dict) else {}
