"""Many rows in one statement: what Django's bulk methods do at ten times the processor time.

A beat spends most of a burst here: Django resolves every value of every row into an expression before it writes it.
`insert` and `update` run in the caller's transaction and send no signals, as Django's own do not.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import chain
from operator import itemgetter
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import CharField, DateTimeField, Field, JSONField, Lookup, Model, TextField

# SQLite's own limit since 3.32; a build may have a higher one.
MOST_PARAMETERS = 32_766


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
            source = [f"%s::{column.kind}" for column in shared] + [f"v.{column.name}" for column in differing]
            cursor.execute(
                f"INSERT INTO {table.name} ({names}) SELECT {', '.join(source)} FROM {_unnest([*differing])}"  # noqa: S608 - names of our own columns
                " ON CONFLICT DO NOTHING",
                [*shared.values(), *map(_array, differing.values())],
            )
        else:
            # As there: sqlite3 takes 0.5 µs to bind a value.
            for some in _rows(differing, len(shared)):
                source = ["%s"] * len(shared) + _places(len(differing))
                cursor.execute(
                    f"INSERT INTO {table.name} ({names}) SELECT {', '.join(source)} FROM {_table_of(some)}"  # noqa: S608 - as above
                    " WHERE TRUE ON CONFLICT DO NOTHING",
                    [*shared.values(), *chain.from_iterable(some)],
                )


def update(rows: Sequence[Model], names: Sequence[str]) -> None:
    """Store the fields *names* of *rows*, all of one model."""
    if not rows:
        return
    table = _table(type(rows[0]))
    [key] = [column for column in table.columns if column.field.primary_key]
    columns = [column for column in table.columns if column.field.name in names]
    shared, differing = _values([key, *columns], rows)
    lists = {each: differing[each] if each in differing else [shared[each]] * len(rows) for each in (*columns, key)}
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            assignments = ", ".join([f"{column.name} = v.{column.name}" for column in columns])
            cursor.execute(
                f"UPDATE {table.name} SET {assignments}"  # noqa: S608 - as above
                f" FROM {_unnest([*lists])} WHERE {table.name}.{key.name} = v.{key.name}",
                [*map(_array, lists.values())],
            )
        else:
            *places, last = _places(len(lists))
            assignments = ", ".join(
                [f"{column.name} = v.{place}" for column, place in zip(columns, places, strict=True)]
            )
            for some in _rows(lists, 0):
                cursor.execute(
                    f"UPDATE {table.name} SET {assignments}"  # noqa: S608 - as above
                    f" FROM {_table_of(some)} AS v WHERE {table.name}.{key.name} = v.{last}",
                    [*chain.from_iterable(some)],
                )


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    field: "Field[Any, Any]"
    name: str
    kind: str
    # The types of values that the driver takes as they are, and what prepares others.
    taken: frozenset[type]
    prepare: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    columns: tuple[_Column, ...]


@lru_cache
def _table(model: type[Model]) -> _Table:
    quoted = connection.ops.quote_name
    return _Table(
        quoted(model._meta.db_table),
        tuple(
            _Column(field, quoted(str(field.column)), _kind(field), *_preparing(field))
            for field in model._meta.concrete_fields
        ),
    )


def _kind(field: "Field[Any, Any]") -> str:
    return str(field.rel_db_type(connection) if field.primary_key else field.db_type(connection))


def _values(columns: Sequence[_Column], rows: Sequence[Model]) -> tuple[dict[_Column, Any], dict[_Column, list[Any]]]:
    """Return what the database driver takes: the values that all rows share, and the others as a list a column."""
    shared: dict[_Column, Any] = {}
    differing: dict[_Column, list[Any]] = {}
    prepared: dict[Callable[[Any], Any], dict[int, Any]] = {}
    # Not by the attributes: a foreign key's takes as long as all that is done with its value. One more than there are,
    # so that it is a tuple for one column.
    read = itemgetter(*(column.field.attname for column in columns), "_state")
    for column, values in zip(columns, zip(*map(read, map(vars, rows)), strict=True), strict=False):
        if len(set(map(id, values))) == 1 and differing:  # one list at least says how many rows there are
            shared[column] = _prepared(column, values[0])
        elif column.taken.issuperset(map(type, values)):
            differing[column] = [*values]
        else:
            # One object is prepared once, for all columns of a kind.
            done = prepared.setdefault(column.prepare, {})
            for key, value in zip(map(id, values), values, strict=True):
                if key not in done:
                    done[key] = _prepared(column, value)
            differing[column] = [*map(done.__getitem__, map(id, values))]
    return shared, differing


def _prepared(column: _Column, value: Any) -> Any:
    return value if type(value) in column.taken else column.prepare(value)


def _preparing(field: "Field[Any, Any]") -> tuple[frozenset[type], Callable[[Any], Any]]:
    database = connections[DEFAULT_DB_ALIAS]
    nothing = type(None)
    if isinstance(field, JSONField):
        return frozenset({nothing}), partial(json.dumps, cls=field.encoder)
    if isinstance(field, DateTimeField):
        return frozenset({nothing}), _as_sqlite_stores if database.vendor == "sqlite" else datetime.isoformat
    as_it_is = {int, str, nothing} if isinstance(field, CharField | TextField) else {int, nothing}
    return frozenset(as_it_is), partial(field.get_db_prep_save, connection=database)


def _as_sqlite_stores(value: datetime) -> str:
    return str(value if value.tzinfo is UTC else value.astimezone(UTC)).removesuffix("+00:00")


def _unnest(columns: Sequence[_Column]) -> str:
    lists = ", ".join([f"%s::{column.kind}[]" for column in columns])
    return f"unnest({lists}) AS v({', '.join([column.name for column in columns])})"


def _rows(lists: Mapping[_Column, Sequence[Any]], others: int) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield the rows that these columns make, so many at a time that *others* and they are not too many parameters."""
    rows = [*zip(*lists.values(), strict=True)]
    most = (MOST_PARAMETERS - others) // len(lists)
    for first in range(0, len(rows), most):
        yield rows[first : first + most]


def _table_of(rows: Sequence[Sequence[Any]]) -> str:
    """Return SQLite's table of *rows*, whose columns are `_places`."""
    marks = f"({', '.join(['%s'] * len(rows[0]))})"
    return f"(VALUES {', '.join([marks] * len(rows))})"


def _places(count: int) -> list[str]:
    return [f"column{number}" for number in range(1, count + 1)]


def _array(values: Iterable[Any]) -> str:
    """Return PostgreSQL's array of *values*, of one type; psycopg takes ten times as long."""
    values = [*values]
    types = {*map(type, values)}
    if types == {int}:
        return f"{{{','.join(map(str, values))}}}"
    if types == {str}:
        together = "\0".join(values)
        if together.count("\0") == len(values) - 1:  # what PostgreSQL takes in no text separates them
            return '{"' + _escaped(together).replace("\0", '","') + '"}'
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if type(value) is int:
        return str(value)
    if isinstance(value, timedelta):
        return f'"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"'
    return f'"{_escaped(str(value))}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
