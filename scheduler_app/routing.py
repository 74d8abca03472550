"""Where runs may go, by name: what a schedule asks for, what a worker offers.

The checks raise ValueError with a reason, as the end of a sentence. Pure: `jobs.topology` makes queues and exchanges
of it, `setting_kinds` settings, the schedule form its fields.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import combinations

# "Any worker" to people; each reads it unless its queues are named without it.
ANY = "any"
DEFAULT_QUEUE = "scheduler.any"
DEAD_QUEUE = "scheduler.dead"

QUEUES = "scheduler.queues"
TOPICS = "scheduler.topics"
MACHINES = "scheduler.machines"
LABELS = "scheduler.labels"
# Of each exchange, its kind in AMQP's words.
EXCHANGES = {QUEUES: "direct", TOPICS: "topic", MACHINES: "fanout", LABELS: "headers"}

# AMQP's names have at most 255 bytes, and ours put something in front.
LONGEST = 200
# A worker's queue has a binding for each choice among its labels: 63 for 6 of them.
MOST_LABELS = 6
_WORD = re.compile(r"[\w-]+", re.ASCII)


def check_queue(name: str) -> str:
    """Return the name of a queue that people may use."""
    if not re.fullmatch(r"[\w.:@/-]+", name):
        raise ValueError("not a name of letters, digits and . _ - : @ /")
    if name.startswith(("amq.", "scheduler.")):
        raise ValueError("names that begin with amq. or scheduler. are taken")
    return _short(name)


def check_topic(topic: str) -> str:
    """Return what a schedule may name: words between dots."""
    if not all(_WORD.fullmatch(word) for word in topic.split(".")):
        raise ValueError("not words of letters and digits between dots, such as reports.eu.daily")
    return _short(topic)


def check_pattern(pattern: str) -> str:
    """Return what a worker may listen to: words between dots, * for any one word, # for any number of them."""
    if not all(word in {"*", "#"} or _WORD.fullmatch(word) for word in pattern.split(".")):
        raise ValueError("not words between dots, * for any one word, # for any number, such as reports.eu.#")
    return _short(pattern)


def check_machine(name: str) -> str:
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError("not a name of letters, digits and . _ -")
    return _short(name)


def read_labels(parts: Iterable[str]) -> dict[str, str]:
    """Return the labels that parts such as "gpu=yes" say, in the order of their names."""
    labels: dict[str, str] = {}
    for part in parts:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (equals and _WORD.fullmatch(name) and re.fullmatch(r"[\w.:-]+", value)):
            raise ValueError(f"{part.strip()!r} is not a label such as gpu=yes")
        if name in labels:
            raise ValueError(f"the label {name} is there twice")
        labels[name] = value
    if len(labels) > MOST_LABELS:
        raise ValueError(f"{len(labels)} labels are more than the {MOST_LABELS} that are possible")
    return dict(sorted(labels.items()))


def write_labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())


def asked(labels: Mapping[str, object]) -> dict[str, object]:
    """Return the headers of a message for workers that have all of *labels*.

    The number of them is a header too: a binding of AMQP's says which headers a message must have, and cannot say that
    it must have no others.
    """
    return {**labels, LABELS: str(len(labels))}


def offers(labels: Mapping[str, str]) -> list[dict[str, object]]:
    """Return the headers to bind for, so that a worker with *labels* gets whatever asks for some or all of them."""
    return [
        asked(dict(some)) for count in range(1, len(labels) + 1) for some in combinations(sorted(labels.items()), count)
    ]


def queue_of_pattern(pattern: str) -> str:
    return f"scheduler.topic.{pattern}"


def queue_of_machine(machine: str) -> str:
    return f"scheduler.machine.{machine}"


def queue_of_labels(labels: Mapping[str, str]) -> str:
    """Return the queue that all workers with just these labels share."""
    return f"scheduler.labels.{write_labels(labels)}".replace(" ", "")


def _short(name: str) -> str:
    if len(name) > LONGEST:
        raise ValueError(f"longer than {LONGEST} characters")
    return name
