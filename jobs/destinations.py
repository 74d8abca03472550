"""Where a run goes, by its route, in words; the schedule's own words for it are `beat_config.places`."""

from collections.abc import Mapping
from typing import Any

from scheduler_app import routing


def words(route: Mapping[str, Any] | None) -> str:
    """Return in words for whom *route* is."""
    route = route or {}
    exchange, key = route.get("exchange", ""), route.get("routing_key", "")
    if exchange == routing.TOPICS:
        return f"workers that listen to {key}"
    if exchange == routing.MACHINES:
        return "every machine"
    if exchange == routing.LABELS:
        return f"workers with {routing.write_labels(route.get('headers', {}))}"
    queue = queue_of(route)
    if queue is None:
        return f"the exchange {exchange}" + (f", routing key {key}" if key else "")
    return "any worker" if queue == routing.DEFAULT_QUEUE else f"workers that take {people_say(queue)}"


def queue_of(route: Mapping[str, Any] | None) -> str | None:
    """Return the queue that *route* leads to; None where the exchange decides."""
    route = route or {}
    exchange = route.get("exchange", "")
    if exchange not in {"", routing.QUEUES}:
        return None
    name = (route.get("routing_key") if exchange else route.get("queue")) or routing.ANY
    return routing.DEFAULT_QUEUE if name == routing.ANY else str(name)


def people_say(queue: str) -> str:
    """Return a queue's name as people know it."""
    if queue == routing.DEFAULT_QUEUE:
        return "runs for any worker"
    for prefix, what in _OWN.items():
        if queue.startswith(prefix):
            return f"{what} {queue.removeprefix(prefix)}"
    return f"the queue {queue}"


_OWN = {
    routing.queue_of_machine(""): "runs for the machine",
    routing.queue_of_pattern(""): "the topic",
    routing.queue_of_labels({}): "the labels",
}
