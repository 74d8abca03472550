"""SQL triggers by which every change of a schedule, whoever makes it, is seen by the next look of beat.

`bulk_create`, `update()`, another process, another program, psql: all write django-celery-beat's tables, and the
database itself makes the policy of a new schedule and marks the policies that a change concerns. A mark is
`look_at = LOOK_NOW`, which the recorder's one indexed query finds, and a line in `changes`: when it was, and what the
rows said before, so that what was due until then can be told (see `past`). A policy's row lock is taken by every such
change: who holds it and then reads the schedule's rows reads what holds until he commits.

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
TASK_COLUMNS = ("enabled", *(f"{name}_id" for name in SHARED), "start_time", "expires", "one_off")
POLICY_COLUMNS = ("expression", "day_rule", "every_nth_week", "weeks_from", "spread")
# What a line in `changes` tells of the rows as they were; `past` reads it.
TOLD = {
    TASK: ("enabled", "start_time", "expires"),
    POLICY: POLICY_COLUMNS,
    **dict(SHARED.values()),
}


@dataclass(frozen=True, slots=True)
class _Trigger:
    name: str
    event: str
    table: str
    statement: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What the two databases say differently in the statements below."""

    moment: str
    json_object: str
    utc: str
    seconds: str


_SQLITE = _Dialect("STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')", "JSON_OBJECT", "", "{} / 1000000.0")
_POSTGRESQL = _Dialect("STATEMENT_TIMESTAMP()", "JSON_BUILD_OBJECT", "+00", "EXTRACT(EPOCH FROM {})")


def _triggers(dialect: _Dialect) -> Iterator[_Trigger]:
    new = f"INSERT INTO {POLICY} (schedule_id) VALUES (NEW.id) ON CONFLICT DO NOTHING"  # noqa: S608 - constants only
    yield _Trigger("beat_config_task_made", "INSERT", TASK, new)
    gone = f"DELETE FROM {POLICY} WHERE schedule_id = OLD.id"  # noqa: S608 - as above
    yield _Trigger("beat_config_task_gone", "DELETE", TASK, gone)
    marked = [("task", TASK, TASK_COLUMNS, "= NEW.id"), ("policy", POLICY, POLICY_COLUMNS, "= NEW.schedule_id")]
    for name, (table, columns) in SHARED.items():
        users = f"IN (SELECT id FROM {TASK} WHERE {name}_id = NEW.id)"  # noqa: S608 - as above
        marked.append((name, table, columns, users))
    for name, table, columns, whose in marked:
        mark = f"{_mark(table, dialect)} WHERE schedule_id {whose}"
        yield _Trigger(f"beat_config_{name}_changed", "UPDATE", table, mark, columns)


def _mark(changed: str, dialect: _Dialect) -> str:
    """Return the statement that marks policies after a change of a row of the table *changed*, but for whose."""

    def before(table: str, column: str) -> str:
        return f"OLD.{column}" if table == changed else f"{table}.{column}"

    told = [f"'at', {dialect.moment}"]
    for table, columns in TOLD.items():
        for column in columns:
            value = before(table, column)
            told.append(f"'{column}', {dialect.seconds.format(value) if column == 'spread' else value}")
    joins = " ".join(
        f"LEFT JOIN {table} ON {table}.id = {before(TASK, f'{name}_id')}" for name, (table, _) in SHARED.items()
    )
    return (
        f"UPDATE {POLICY} SET look_at = '1970-01-01 00:00:00{dialect.utc}', changes = changes || ("  # noqa: S608 - as above
        f"SELECT CAST({dialect.json_object}({', '.join(told)}) AS TEXT)"
        f" FROM {TASK} {joins} WHERE {TASK}.id = {POLICY}.schedule_id) || '\n'"
    )


def install(using: str = "default", **_: Any) -> None:
    """Make the triggers, and the policies of schedules that were there before them; a receiver of post_migrate."""
    connection = connections[using]
    present = connection.introspection.table_names()
    if not {POLICY, TASK}.issubset(present):  # a migrate of other apps only
        return
    build, dialect = {"sqlite": (_sqlite, _SQLITE), "postgresql": (_postgresql, _POSTGRESQL)}[connection.vendor]
    with transaction.atomic(using=using), connection.cursor() as cursor:
        for trigger in _triggers(dialect):
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
        f" FOR EACH ROW {f'WHEN {when}' if when else ''} BEGIN {trigger.statement}; END"
    )


def _postgresql(trigger: _Trigger) -> Iterator[str]:
    yield (
        f"CREATE OR REPLACE FUNCTION {trigger.name}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {trigger.statement}; RETURN NULL; END $$"
    )
    yield f"DROP TRIGGER IF EXISTS {trigger.name} ON {trigger.table}"
    when = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in trigger.columns)
    yield (
        f"CREATE TRIGGER {trigger.name} AFTER {_event(trigger)} ON {trigger.table}"
        f" FOR EACH ROW {f'WHEN ({when})' if when else ''} EXECUTE FUNCTION {trigger.name}()"
    )


def _event(trigger: _Trigger) -> str:
    return f"{trigger.event} OF {', '.join(trigger.columns)}" if trigger.columns else trigger.event
