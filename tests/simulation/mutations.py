"""Seeded defects: each is put into the running product, and the simulation has to notice.

A defect is a change of the source of one function (the text to be replaced has to be there, so that a defect that no
longer fits the code is an error and not a silent pass), or of the database.
"""

import importlib
import inspect
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.simulation.database import Database

# As many seeds as the short set has.
MOST_SEEDS = 60


@dataclass(frozen=True)
class Mutation:
    """A defect: *edits* are (function, what is replaced, by what)."""

    name: str
    edits: tuple[tuple[str, str, str], ...] = ()
    spoil: Callable[[Any], None] | None = None


def _drop_unique_fire(connection: Any) -> None:
    from jobs.models import Run

    constraint = next(each for each in Run._meta.constraints if each.name == "jobs_run_fire")
    with connection.schema_editor() as editor:
        editor.remove_constraint(Run, constraint)


MUTATIONS = (
    Mutation(
        "the unique constraint is dropped, and the cursor is read before the transaction",
        (
            (
                "beat_config.recorder.record_due",
                "    with transaction.atomic():\n        policies = list(\n            due.order_by",
                "    early = {each.pk: each.next_fire_at for each in due}\n    with transaction.atomic():\n"
                "        policies = list(\n            due.order_by",
            ),
        ),
        _drop_unique_fire,
    ),
)


def find(name: str) -> Mutation:
    return next(each for each in MUTATIONS if each.name == name)
