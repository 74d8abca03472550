"""Many rows in one statement: what Django's bulk methods do at ten times the processor time.

A beat spends most of a burst here: Django resolves every value of every row into an expression before it writes it.
`insert` and `update` run in the caller's transaction and send no signals, as Django's own do not.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import repeat
from operator import attrgetter
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Field, JSONField, Lookup, Model

# What the drivers take for a column, whatever its type.
AS_IT_IS = (int, type(None))


def among(column: str, kind: str = "bigint") -> str:
    """Return the condition that *column* has one of many values of this *kind*, which `listed` makes one parameter of.

    A parameter for each value costs more than the statement that it is for.
    """
    if connection.vendor == "postgresql":
        return f"{column} = ANY(%s::{kind}[])"
    return f"{column} IN (SELECT value FROM json_each(%s))"  # noqa: S608 - a name of our own


def listed(values: Iterable[int | str]) -> str:
    """Return the parameter of a condition that `among` made."""
    return _array(values) if connection.vendor == "postgresql" else json.dumps([*values])


class Among(Lookup):
    """The condition of `among` for a query set: `filter(Among(F("pk"), ids))`."""

    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        return among(column), (*parameters, listed(self.rhs))


def moment(value: datetime) -> Any:
    """Return *value* as a parameter of raw SQL."""
    return connection.ops.adapt_datetimefield_value(value)


def insert(rows: Sequence[Model]) -> None:
    """Insert *rows*, all of one model, without their primary keys; one that is there already stays as it is."""
    if not rows:
        return
    table = _table(type(rows[0]))
    columns = [column for column in table.columns if not column.field.primary_key]
    shared, differing = _values(columns, rows)
    names = ", ".join([column.name for column in (*shared, *differing)])
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # A value that all rows share travels once, and a list of 500 values faster than 500 parameters.
            source = [f"%s::{column.type}" for column in shared] + [f"v.{column.name}" for column in differing]
            cursor.execute(
                f"INSERT INTO {table.name} ({names}) SELECT {', '.join(source)} FROM {_unnest([*differing])}"  # noqa: S608 - names of our own columns
                " ON CONFLICT DO NOTHING",
                [*shared.values(), *map(_array, differing.values())],
            )
        else:
            marks = ", ".join(["%s"] * len(columns))
            values = [*(repeat(value, len(rows)) for value in shared.values()), *differing.values()]
            cursor.executemany(
                f"INSERT INTO {table.name} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING",  # noqa: S608 - as above
                [*zip(*values, strict=True)],
            )


def update(rows: Sequence[Model], names: Sequence[str]) -> None:
    """Store the fields *names* of *rows*, all of one model."""
    if not rows:
        return
    table = _table(type(rows[0]))
    [key] = [column for column in table.columns if column.field.primary_key]
    columns = [column for column in table.columns if column.field.name in names]
    shared, differing = _values([key, *columns], rows)
    values = [differing[each] if each in differing else [shared[each]] * len(rows) for each in (*columns, key)]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            assignments = ", ".join([f"{column.name} = v.{column.name}" for column in columns])
            cursor.execute(
                f"UPDATE {table.name} SET {assignments}"  # noqa: S608 - as above
                f" FROM {_unnest([*columns, key])} WHERE {table.name}.{key.name} = v.{key.name}",
                [*map(_array, values)],
            )
        else:
            assignments = ", ".join([f"{column.name} = %s" for column in columns])
            cursor.executemany(
                f"UPDATE {table.name} SET {assignments} WHERE {key.name} = %s",  # noqa: S608 - as above
                [*zip(*values, strict=True)],
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    field: "Field[Any, Any]"
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    columns: tuple[_Column, ...]


@lru_cache
def _table(model: type[Model]) -> _Table:
    quoted = connection.ops.quote_name
    return _Table(
        quoted(model._meta.db_table),
        tuple(_Column(field, quoted(str(field.column)), _type(field)) for field in model._meta.concrete_fields),
    )


def _type(field: "Field[Any, Any]") -> str:
    return str(field.rel_db_type(connection) if field.primary_key else field.db_type(connection))


def _values(columns: Sequence[_Column], rows: Sequence[Model]) -> tuple[dict[_Column, Any], dict[_Column, list[Any]]]:
    """Return what the database driver takes: the values that all rows share, and the others as a list a column."""
    shared: dict[_Column, Any] = {}
    differing: dict[_Column, list[Any]] = {}
    database = connections[DEFAULT_DB_ALIAS]  # `connection` looks it up anew at each use
    # One more than there are, so that it is a tuple for one column.
    read = attrgetter(*(column.field.attname for column in columns), "_state")
    for column, values in zip(columns, zip(*map(read, rows), strict=True), strict=False):
        # One object is prepared once; text, None and enumerations are mostly one object.
        objects = dict(zip(map(id, values), values, strict=True))
        prepared = {key: _prepared(column.field, value, database) for key, value in objects.items()}
        if len(prepared) == 1 and differing:  # one list at least says how many rows there are
            (shared[column],) = prepared.values()
        else:
            differing[column] = [prepared[id(value)] for value in values]
    return shared, differing


def _prepared(field: "Field[Any, Any]", value: Any, database: Any) -> Any:
    if isinstance(field, JSONField):
        return None if value is None else json.dumps(value, cls=field.encoder)
    return value if type(value) in AS_IT_IS else field.get_db_prep_save(value, database)


def _unnest(columns: Sequence[_Column]) -> str:
    lists = ", ".join([f"%s::{column.type}[]" for column in columns])
    return f"unnest({lists}) AS v({', '.join([column.name for column in columns])})"


def _array(values: Iterable[Any]) -> str:
    """Return PostgreSQL's array of *values*, of one type; psycopg takes ten times as long."""
    return f"{{{','.join([_element(value) for value in values])}}}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if type(value) is int:
        return str(value)
    if isinstance(value, timedelta):
        return f'"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"'
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
