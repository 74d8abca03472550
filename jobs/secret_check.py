"""The check that no secret's plain text can be read in what is stored: the raw bytes are searched for it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from django.conf import settings
from django.db import connection
from django_celery_beat.models import PeriodicTask

from jobs import vault
from jobs.models import Run, Secret
from scheduler_app import secrets_key
from scheduler_app.secrets_key import KeyUnavailableError

# Shorter texts are found by chance in any large file.
SHORTEST = 8
_BLOCK = 1 << 20
_LATEST_RUNS = 10_000


@dataclass(frozen=True, slots=True)
class Finding:
    searched: str
    secrets: int
    found: tuple[str, ...]

    def __str__(self) -> str:
        if not self.secrets:
            return f"no secret of at least {SHORTEST} characters to look for"
        if self.found:
            return f"{self.searched}: the plain text of {', '.join(self.found)} stands there"
        return f"{self.searched}: {self.secrets} looked for, none found in plain text"


def check() -> Finding:
    """Search what is stored for the plain text of every secret that can be read."""
    values = {name: value for name, value in vault.values().items() if len(value) >= SHORTEST}
    if connection.vendor == "sqlite":
        name = Path(connection.settings_dict["NAME"])
        files = [file for file in (name, name.with_name(f"{name.name}-wal")) if file.exists()]
        # The main file first, and the WAL after it: what moves from there to here meanwhile is seen once or twice.
        found = _search(chain.from_iterable(map(_blocks, files)), values) if values else set()
        searched = "the bytes of the database file"
    else:
        found = _search(_texts(), values) if values else set()
        searched = "schedules, runs and secrets in the database"
    return Finding(searched, len(values), tuple(sorted(found)))


def in_words() -> str:
    """Return where the key is, or that there is none yet."""
    try:
        key = secrets_key.find(settings.SCHEDULER, settings.SCHEDULER_PATHS)
    except KeyUnavailableError as error:
        return str(error)
    if key is None:
        return "No key has been made yet; the first secret makes one."
    return f"Encrypted with a key that is {secrets_key.in_words(key.place, settings.SCHEDULER_PATHS)}."


def _search(blocks: Iterable[bytes], values: dict[str, str]) -> set[str]:
    forms = {name: {value.encode(), json.dumps(value)[1:-1].encode()} for name, value in values.items()}
    found: set[str] = set()
    for block in blocks:
        found |= {name for name, looks in forms.items() if name not in found and any(form in block for form in looks)}
    return found


def _blocks(file: Path) -> Iterator[bytes]:
    """Yield the bytes of *file*, each piece with the end of the one before it, as a text may lie across two."""
    end = b""
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield end + block
            end = block[-65536:]


def _texts() -> Iterator[bytes]:
    for kwargs in PeriodicTask.objects.values_list("kwargs", flat=True).iterator():
        yield kwargs.encode()
    for parameters, reason in Run.objects.order_by("-pk").values_list("parameters", "reason")[:_LATEST_RUNS]:
        yield f"{json.dumps(parameters)}\n{reason}".encode()
    for sealed in Secret.objects.values_list("sealed", flat=True):
        yield bytes(sealed)
