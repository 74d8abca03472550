"""The private node's message store, and what is done with one that the node cannot use: kept, dated, out of the way.

Nothing of it is needed: the database is the queue of record, and beat sends again what waits (jobs/broker_memory.py).
"""

import shutil
from datetime import datetime
from pathlib import Path

from scheduler_app.paths import Paths

KEPT = 2  # stores; each may hold as much as waited at the broker
DATED = "%Y-%m-%d %H-%M-%S"


def store_of(paths: Paths, user: str) -> Path:
    """Return the folder of *user*'s store. RabbitMQ makes its first user in an empty store: another has another."""
    return paths.rabbitmq / "store" / user


def feature_flags_of(paths: Paths, user: str) -> Path:
    return paths.rabbitmq / f"feature-flags-{user}"


def set_aside(paths: Paths, user: str, now: datetime) -> Path | None:
    """Move *user*'s store out of the way, delete all but the newest of such; return its new place, None without one."""
    store, kept = store_of(paths, user), _folder(paths)
    if not store.exists():
        return None
    place = kept / f"store {now.strftime(DATED)}"
    kept.mkdir(mode=0o700, exist_ok=True)
    store.replace(place)
    # Says what the store has been converted to; a new store begins anew.
    feature_flags_of(paths, user).unlink(missing_ok=True)
    for old in stores_set_aside(paths)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def stores_set_aside(paths: Paths) -> list[Path]:
    """Return the stores that were set aside and are still there, the newest first."""
    return sorted(_folder(paths).glob("store *"), reverse=True)


def set_aside_at(store: Path) -> datetime:
    """Return when a store was set aside, in local time."""
    return datetime.strptime(store.name.removeprefix("store "), DATED).astimezone()


def _folder(paths: Paths) -> Path:
    return paths.rabbitmq / "set aside"
