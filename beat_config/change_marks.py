"""SQL triggers by which every change of a schedule, whoever makes it, is seen by the next look of beat.

`bulk_create`, `update()`, another process, another program, psql: all write django-celery-beat's tables, and the
database itself makes the policy of a new schedule and marks the policies that a change concerns. A mark is
`look_at = LOOK_NOW`, which the recorder's one indexed query finds. A policy's row lock is taken by every such change:
who holds it and then reads the schedule's rows reads what holds until he commits.

Installed after every `migrate`, because on SQLite a migration of a table may build it anew, without its triggers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction

POLICY = "beat_config_schedulepolicy"
TASK = "django_celery_beat_periodictask"
# The columns that a trigger is made of, by the table's name after its prefix and the task's column for it.
SHARED = {
    "interval": ("django_celery_beat_intervalschedule", ("every", "period")),
    "crontab": (
        "django_celery_beat_crontabschedule",
        ("minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone"),
    ),
    "clocked": ("django_celery_beat_clockedschedule", ("clocked_time",)),
    "solar": ("django_celery_beat_solarschedule", ("event", "latitude", "longitude")),
}
TASK_COLUMNS = (*(f"{name}_id" for name in SHARED), "start_time", "expires", "one_off")
POLICY_COLUMNS = ("expression", "day_rule", "every_nth_week", "weeks_from", "spread")

_MARK = f"UPDATE {POLICY} SET look_at = '1970-01-01 00:00:00{{utc}}'"  # noqa: S608 - constants only


@dataclass(frozen=True, slots=True)
class _Trigger:
    name: str
    event: str
    table: str
    statement: str
    columns: tuple[str, ...] = ()


def _triggers() -> Iterator[_Trigger]:
    new = f"INSERT INTO {POLICY} (schedule_id) VALUES (NEW.id) ON CONFLICT DO NOTHING"  # noqa: S608
    yield _Trigger("beat_config_task_made", "INSERT", TASK, new)
    # Without its fingerprint the cursor starts from now: what was due before it was switched is not caught up on.
    switched = f"{_MARK}, fingerprint = '' WHERE schedule_id = NEW.id"
    yield _Trigger("beat_config_task_switched", "UPDATE", TASK, switched, ("enabled",))
    yield _Trigger("beat_config_task_changed", "UPDATE", TASK, f"{_MARK} WHERE schedule_id = NEW.id", TASK_COLUMNS)
    gone = f"DELETE FROM {POLICY} WHERE schedule_id = OLD.id"  # noqa: S608
    yield _Trigger("beat_config_task_gone", "DELETE", TASK, gone)
    yield _Trigger(
        "beat_config_policy_changed", "UPDATE", POLICY, f"{_MARK} WHERE schedule_id = NEW.schedule_id", POLICY_COLUMNS
    )
    for name, (table, columns) in SHARED.items():
        users = f"SELECT id FROM {TASK} WHERE {name}_id = NEW.id"  # noqa: S608
        yield _Trigger(
            f"beat_config_{name}_changed", "UPDATE", table, f"{_MARK} WHERE schedule_id IN ({users})", columns
        )


def install(using: str = "default", **_: Any) -> None:
    """Make the triggers, and the policies of schedules that were there before them; a receiver of post_migrate."""
    connection = connections[using]
    present = connection.introspection.table_names()
    if not {POLICY, TASK}.issubset(present):  # a migrate of other apps only
        return
    build = {"sqlite": _sqlite, "postgresql": _postgresql}[connection.vendor]
    with transaction.atomic(using=using), connection.cursor() as cursor:
        for trigger in _triggers():
            for statement in build(trigger):
                cursor.execute(statement)
        cursor.execute(
            f"INSERT INTO {POLICY} (schedule_id)"  # noqa: S608
            f" SELECT id FROM {TASK} WHERE NOT EXISTS (SELECT 1 FROM {POLICY} WHERE schedule_id = {TASK}.id)"
        )


def _sqlite(trigger: _Trigger) -> Iterator[str]:
    yield f"DROP TRIGGER IF EXISTS {trigger.name}"
    when = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in trigger.columns)
    yield (
        f"CREATE TRIGGER {trigger.name} AFTER {_event(trigger)} ON {trigger.table}"
        f" FOR EACH ROW {f'WHEN {when}' if when else ''} BEGIN {trigger.statement.format(utc='')}; END"
    )


def _postgresql(trigger: _Trigger) -> Iterator[str]:
    yield (
        f"CREATE OR REPLACE FUNCTION {trigger.name}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {trigger.statement.format(utc='+00')}; RETURN NULL; END $$"
    )
    yield f"DROP TRIGGER IF EXISTS {trigger.name} ON {trigger.table}"
    when = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in trigger.columns)
    yield (
        f"CREATE TRIGGER {trigger.name} AFTER {_event(trigger)} ON {trigger.table}"
        f" FOR EACH ROW {f'WHEN ({when})' if when else ''} EXECUTE FUNCTION {trigger.name}()"
    )


def _event(trigger: _Trigger) -> str:
    return f"{trigger.event} OF {', '.join(trigger.columns)}" if trigger.columns else trigger.event
