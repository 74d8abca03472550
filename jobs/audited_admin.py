"""What every page of the admin that changes something has in common: its changes are in the audit log."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import localize

from jobs import audit
from jobs.audit import Action
from jobs.named_list import NamedList

_BEFORE = "audit_before"


class AuditedAdmin(NamedList):
    """To be mixed into a ModelAdmin, before it: writes audit entries where Django writes its own log.

    Django calls these hooks in the transaction of the change, when everything is stored.
    """

    def audited(self, row: Any) -> Mapping[str, Any]:
        """Return what there is to read of *row*, by the names that people see; never a secret."""
        return columns_of(row)

    def get_object(self, request: HttpRequest, *arguments: Any, **options: Any) -> Any:
        """Remember how the row was before the request changes it."""
        row = super().get_object(request, *arguments, **options)  # type: ignore[misc]  # ModelAdmin's
        if row is not None and request.method == "POST":
            setattr(request, _BEFORE, self.audited(row))
        return row

    def history_view(self, request: HttpRequest, object_id: str, _extra_context: Any = None) -> HttpResponse:
        """Lead to what the audit log has about this row."""
        if self.get_object(request, object_id) is None or not self.has_view_permission(request):  # type: ignore[attr-defined]  # ModelAdmin's
            raise PermissionDenied
        about = {"kind": self.opts.label_lower, "subject_id": object_id}  # type: ignore[attr-defined]  # ModelAdmin's
        return redirect(f"{reverse('admin:jobs_auditentry_changelist')}?{urlencode(about)}")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Do what an action does to its rows, and its entries, in one transaction."""
        view = super().changelist_view
        if request.method != "POST":
            return view(request, extra_context)
        with transaction.atomic():
            return view(request, extra_context)

    def log_addition(self, request: HttpRequest, obj: Model, _message: Any) -> None:
        audit.record(who(request), Action.ADDED, obj, None, self.audited(_stored(obj)))

    def log_change(self, request: HttpRequest, obj: Model, _message: Any) -> None:
        audit.record(who(request), Action.CHANGED, obj, getattr(request, _BEFORE, None), self.audited(_stored(obj)))

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Model]) -> None:
        for row in queryset:
            audit.record(who(request), Action.DELETED, row, self.audited(row), None)


def who(request: HttpRequest) -> str:
    return str(request.user.get_username())


def columns_of(row: Model) -> dict[str, Any]:
    """Return the columns of *row* that people can change, readable, by their labels."""
    fields = [field for field in row._meta.concrete_fields if field.editable and not field.primary_key]
    state = {_label(field): _readable(row, field) for field in fields}
    for many in row._meta.many_to_many:
        state[_label(many)] = sorted(str(each) for each in getattr(row, many.name).all())
    return state


def _stored(row: Model) -> Model:
    """Return *row* as the database has it: the form's instance may hold half of it."""
    rows: QuerySet[Model] = type(row)._default_manager.all()  # noqa: SLF001 - the way around a model's own manager
    return rows.get(pk=row.pk)


def _label(field: Any) -> str:
    text = str(field.verbose_name)
    return text[:1].upper() + text[1:]


def _readable(row: Model, field: Any) -> Any:
    value = field.value_from_object(row)
    if field.choices:
        return str(dict(field.flatchoices).get(value, value))
    if field.is_relation:
        related = getattr(row, field.name)
        return None if related is None else str(related)
    if value is None or isinstance(value, (bool, int, float, str, list, dict)):
        return value
    return f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S %Z}" if hasattr(value, "astimezone") else str(localize(value))
