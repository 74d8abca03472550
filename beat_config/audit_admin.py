"""The audit log: who changed what, with before and after beside each other."""

from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.exceptions import NotRegistered
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from beat_config import reverting
from beat_config.readable import lines
from jobs.audited_admin import who
from jobs.models import AuditEntry
from jobs.named_list import NamedList

_SHOWN = 4
CHANGE = "beat_config.change_schedule"


class KindFilter(admin.SimpleListFilter):
    title = "what"
    parameter_name = "kind"

    def lookups(self, _request: HttpRequest, _admin: Any) -> list[tuple[str, str]]:
        kinds = AuditEntry.objects.exclude(kind="").values_list("kind", flat=True).distinct()
        return sorted(((kind, kind_in_words(kind)) for kind in kinds), key=lambda kind: kind[1])

    def queryset(self, _request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class AuditEntryAdmin(NamedList, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    list_display = ("when", "by", "shown_action", "what", "changes")
    list_display_links = ("when",)
    list_filter = ("action", KindFilter, ("at", RangeDateTimeFilter))
    list_filter_submit = True
    search_fields = ("by", "subject")
    search_help_text = "Who, or the name of what was changed"
    list_per_page = 50
    show_full_result_count = False
    ordering = ("-id",)
    actions = ()

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: AuditEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: AuditEntry | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        return visible(request.user).order_by(*self.ordering)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(revert_entry))
        return [path("<int:entry_id>/revert/", view, name="jobs_auditentry_revert"), *super().get_urls()]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Let the history of one thing be asked for, as its pages do."""
        return lookup == "subject_id" or bool(super().lookup_allowed(lookup, value, request))

    @display(description="When", ordering="id")
    def when(self, entry: AuditEntry) -> str:
        return format_html(
            '<span class="whitespace-nowrap">{}</span>', f"{timezone.localtime(entry.at):%Y-%m-%d %H:%M:%S}"
        )

    @display(description="Did", ordering="action")
    def shown_action(self, entry: AuditEntry) -> str:
        return entry.get_action_display()

    @display(description="What")
    def what(self, entry: AuditEntry) -> str:
        if not entry.kind:
            return entry.subject
        return format_html('{} <span class="text-xs">{}</span>', entry.subject, kind_in_words(entry.kind))

    @display(description="Changed")
    def changes(self, entry: AuditEntry) -> str:
        if entry.before is None or entry.after is None:
            return "–"
        names = [line.name for line in lines(entry.before, entry.after) if line.differs]
        more = len(names) - _SHOWN
        return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one entry; nothing on it can be edited."""
        del form_url
        if not self.has_view_permission(request):
            raise PermissionDenied
        entry = self.get_object(request, object_id)
        if entry is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[no-any-return]
        context = {
            **self.admin_site.each_context(request),
            "title": f"{entry.get_action_display()}: {entry.subject}",
            "opts": self.opts,
            "entry": entry,
            "kind": kind_in_words(entry.kind) if entry.kind else "",
            "lines": list(lines(entry.before, entry.after)),
            "link": _page_of(entry),
            "may_revert": reverting.is_possible(entry) and request.user.has_perm(CHANGE),
            **(extra_context or {}),
        }
        return render(request, "beat_config/audit_entry.html", context)


def revert_entry(request: HttpRequest, entry_id: int) -> HttpResponse:
    """Put a schedule back as it was before an entry."""
    entry = get_object_or_404(visible(request.user), pk=entry_id)
    if not request.user.has_perms(["jobs.view_auditentry", CHANGE]):
        raise PermissionDenied
    try:
        schedule = reverting.revert(entry, by=who(request), user=request.user)
    except reverting.RevertError as error:
        messages.error(request, f"{entry.subject} cannot be put back: {error}.")
        return redirect("admin:jobs_auditentry_change", entry.pk)
    messages.success(
        request, f"{schedule.name} is again what it was before {timezone.localtime(entry.at):%Y-%m-%d %H:%M:%S}."
    )
    return redirect("admin:beat_config_schedule_change", schedule.pk)


def visible(user: Any) -> QuerySet[AuditEntry]:
    """Return the entries about what *user* may look at."""
    kinds = [model._meta.label_lower for model in apps.get_models() if _may_view(user, model)]
    return AuditEntry.objects.filter(kind__in=["", *kinds])


def kind_in_words(kind: str) -> str:
    try:
        return str(apps.get_model(kind)._meta.verbose_name)
    except LookupError:  # of an app that is not there any more
        return kind


def _page_of(entry: AuditEntry) -> str:
    """Return the address of the page of what *entry* is about; "" when it has none or is not there any more."""
    try:
        model = apps.get_model(entry.kind)
        admin.site.get_model_admin(model)
        there = model._default_manager.filter(pk=entry.subject_id).exists()  # noqa: SLF001 - the way to any model's rows
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        return reverse(name, args=[entry.subject_id]) if there else ""
    except (LookupError, ValueError, NotRegistered, NoReverseMatch):
        return ""


def _may_view(user: Any, model: type[Model]) -> bool:
    names = model._meta
    return bool(user.has_perm(f"{names.app_label}.view_{names.model_name}"))
