"""Instances of rows, made without Django's constructor: it takes 25 µs for a row with 25 columns."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import DateTimeField, Field, Model
from django.db.models.base import ModelState

M = TypeVar("M", bound=Model)


class Reader(Generic[M]):
    """Makes instances of rows that a raw SELECT of its `columns` gives, under *alias*.

    *but* names columns to leave out; Django fetches one of these when somebody asks an instance for it.
    """

    def __init__(self, model: type[M], alias: str, but: Sequence[str] = ()) -> None:
        fields = [field for field in model._meta.concrete_fields if field.name not in but]
        self._model = model
        self._names = [field.attname for field in fields]
        self.columns = ", ".join(_selected(field, alias) for field in fields)
        self._converters = [(place, convert) for place, field in enumerate(fields) if (convert := _converter(field))]

    def __len__(self) -> int:
        return len(self._names)

    def instances(self, rows: Sequence[Sequence[Any]], skip: int = 0) -> list[M]:
        """Return an instance for each of *rows*, whose first *skip* columns are something else."""
        columns: list[Any] = [*zip(*rows, strict=True)][skip : skip + len(self)]
        for place, convert in self._converters if rows else ():
            values = columns[place]
            converted = {value: convert(value) for value in set(values)}
            columns[place] = [converted[value] for value in values]
        return [_instance(self._model, zip(self._names, values, strict=True)) for values in zip(*columns, strict=True)]


@lru_cache
def reader(model: type[M], alias: str, but: Sequence[str] = ()) -> Reader[M]:
    return Reader(model, alias, but)


def new(model: type[M], **columns: Any) -> M:
    """Return an unsaved instance; a column whose default is a function (an object, the time) has to be given."""
    return _instance(model, (*_defaults(model), *columns.items()), adding=True)


def _instance(model: type[M], columns: Iterable[tuple[str, Any]], *, adding: bool = False) -> M:
    made = model.__new__(model)
    state = ModelState()
    state.adding, state.db = adding, DEFAULT_DB_ALIAS
    made.__dict__ = {**dict(columns), "_state": state}
    return made


@lru_cache
def _defaults(model: type[Model]) -> tuple[tuple[str, Any], ...]:
    fields = [field for field in model._meta.concrete_fields if not field.has_default() or not callable(field.default)]
    return tuple((field.attname, field.get_default()) for field in fields)


def _selected(field: "Field[Any, Any]", alias: str) -> str:
    column = f"{alias}.{connection.ops.quote_name(str(field.column))}"
    if not isinstance(field, DateTimeField):
        return column
    # As text: datetime reads what both databases write, and ten times as fast as their drivers.
    return f"{column}::text" if connection.vendor == "postgresql" else f"{column} || ''"


def _converter(field: "Field[Any, Any]") -> Callable[[Any], Any] | None:
    if isinstance(field, DateTimeField):
        return _moment_of
    column = field.get_col("")

    def converters() -> list[Callable[..., Any]]:
        return [*connection.ops.get_db_converters(column), *field.get_db_converters(connection)]

    def convert(value: Any) -> Any:
        for each in converters():
            value = each(value, column, connection)
        return value

    return convert if converters() else None


def _moment_of(text: str | None) -> datetime | None:
    if text is None:
        return None
    read = datetime.fromisoformat(text)
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
