"""Writing many policies back at once."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from beat_config.models import SchedulePolicy

# What a fire moves, and what a look may change beside it.
CURSOR = ("next_fire_at", "look_at", "settled_until")
EVERYTHING = (*CURSOR, "anchor", "fingerprint", "error", "error_at", "failures")


def store(policies: Iterable[SchedulePolicy], columns: Sequence[str]) -> None:
    """Write these *columns* of rows that the caller has locked.

    One prepared statement for all: `bulk_update` builds one with a CASE for each row, which costs many times as much.
    """
    fields: list[Any] = [_OPTIONS.get_field(name) for name in columns]
    rows = [
        (*(field.get_db_prep_save(getattr(policy, field.attname), connection) for field in fields), policy.pk)
        for policy in policies
    ]
    if rows:
        assignments = ", ".join(f"{field.column} = %s" for field in fields)
        with connection.cursor() as cursor:
            cursor.executemany(f"UPDATE {_OPTIONS.db_table} SET {assignments} WHERE schedule_id = %s", rows)  # noqa: S608


_OPTIONS = SchedulePolicy._meta  # noqa: SLF001 - documented by Django, in spite of its name
