"""Messages that were refused, for people to look at and to clear."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import display

from jobs import audit
from jobs.audited_admin import AuditedAdmin, who
from jobs.models import RefusedMessage


class RefusedMessageAdmin(AuditedAdmin, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    list_display = ("when", "why", "queue", "shown_size", "shown_beginning")
    list_display_links = ("when",)
    list_per_page = 50
    ordering = ("-id",)
    fields = ("received_at", "reason", "queue", "worker", "size", "shown_beginning", "unlisted")
    readonly_fields = fields
    list_before_template = "jobs/refused_messages.html"

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: RefusedMessage | None = None) -> bool:
        return False

    @display(description="When", ordering="id")
    def when(self, message: RefusedMessage) -> str:
        moment = timezone.localtime(message.received_at)
        return format_html('<span class="whitespace-nowrap">{}</span>', f"{moment:%Y-%m-%d %H:%M:%S}")

    @display(description="Why")
    def why(self, message: RefusedMessage) -> str:
        if not message.unlisted:
            return str(message.reason)
        return format_html(
            '{} <span class="text-xs">(and {} before it that are not listed)</span>',
            message.reason,
            f"{message.unlisted:,}",
        )

    @display(description="Bytes", ordering="size")
    def shown_size(self, message: RefusedMessage) -> str:
        return f"{message.size:,}"

    @display(description="How it begins")
    def shown_beginning(self, message: RefusedMessage) -> str:
        return format_html('<code class="break-all text-xs">{}</code>', message.beginning)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.clear))
        return [path("clear/", view, name="jobs_refusedmessage_clear"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may_clear = self.has_delete_permission(request) and RefusedMessage.objects.exists()
        context = {"may_clear": may_clear, **(extra_context or {})}
        return super().changelist_view(request, context)

    def clear(self, request: HttpRequest) -> HttpResponseRedirect:
        """Delete all of them."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        with transaction.atomic():
            count, _ = RefusedMessage.objects.all().delete()
            audit.record(who(request), audit.Action.DELETED, f"{count:,} refused messages")
        messages.success(request, f"{count:,} refused messages were deleted.")
        return redirect(reverse("admin:jobs_refusedmessage_changelist"))
