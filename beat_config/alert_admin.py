"""Alert channels in the admin: where to, what for, and a test message."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSingleTimeWidget,
)

from beat_config import alerts, tags
from beat_config.form_fields import TagsField
from beat_config.models import AlertChannel
from jobs import vault
from jobs.audited_admin import AuditedAdmin, who
from jobs.models import Secret

_WITHOUT_TAGS = "Empty: of every schedule. Separate several by commas."


class AlertChannelForm(forms.ModelForm):  # type: ignore[type-arg]
    where = forms.CharField(
        label="Address",
        strip=True,
        max_length=2_000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password", "placeholder": "mailto://…"}),
    )
    events = forms.MultipleChoiceField(
        label="Tells when",
        choices=AlertChannel.Event.choices,
        initial=[AlertChannel.Event.FAILED, AlertChannel.Event.RECOVERED, AlertChannel.Event.BROKEN],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    only = TagsField()
    quiet_from = forms.TimeField(label="Quiet from", required=False, widget=UnfoldAdminSingleTimeWidget)
    quiet_to = forms.TimeField(
        label="Quiet until",
        required=False,
        widget=UnfoldAdminSingleTimeWidget,
        help_text="What happens meanwhile is told afterwards, in one message.",
    )

    class Meta:
        model = AlertChannel
        fields = ("name", "enabled", "quiet_from", "quiet_to")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        where, only = self.fields["where"], self.fields["only"]
        where.help_text = (
            "As Apprise writes it: mailto://user:password@example.org, slack://…, tgram://…, ntfy://…, json://…;"
            " docs/alerts.md has examples. It is stored as a secret and never shown again."
        )
        only.label, only.help_text = "Only of schedules with a tag", _WITHOUT_TAGS
        if self.instance.pk:
            where.required, where.label = False, "New address"
            where.help_text = f"Empty: it stays as it is. {where.help_text}"
            self.initial["events"] = self.instance.events
            self.initial["only"] = sorted(self.instance.tags.values_list("name", flat=True))

    def clean_where(self) -> str:
        address = str(self.cleaned_data["where"])
        if address:
            import apprise  # noqa: PLC0415 - as in alerts: it is large

            if not apprise.Apprise().add(address):
                raise forms.ValidationError("Apprise knows no service with such an address: look for a typing mistake.")
        return address

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if (cleaned.get("quiet_from") is None) != (cleaned.get("quiet_to") is None):
            self.add_error("quiet_to", "Quiet hours have a beginning and an end: fill in both, or neither.")
        return cleaned


class AlertChannelAdmin(AuditedAdmin, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    form = AlertChannelForm
    list_display = ("name", "shown_enabled", "tells", "last", "state")
    list_per_page = 50
    fields = ("name", "enabled", "where", "events", "only", ("quiet_from", "quiet_to"))
    change_form_outer_before_template = "beat_config/alert_test.html"

    def audited(self, row: AlertChannel) -> dict[str, Any]:
        quiet = f"{row.quiet_from:%H:%M} to {row.quiet_to:%H:%M}" if row.quiet_from and row.quiet_to else None
        return {
            "Name": row.name,
            "Enabled": row.enabled,
            "Address": vault.secret_state(row.address)["Value"],
            "Tells when": [str(AlertChannel.Event(each).label) for each in row.events],
            "Only of schedules with": sorted(row.tags.values_list("name", flat=True)),
            "Quiet": quiet,
        }

    @display(description="Enabled", boolean=True)
    def shown_enabled(self, channel: AlertChannel) -> bool:
        return channel.enabled

    @display(description="Tells of")
    def tells(self, channel: AlertChannel) -> str:
        return ", ".join(channel.events)

    @display(description="Last message")
    def last(self, channel: AlertChannel) -> str:
        return f"{timezone.localtime(channel.sent_at):%Y-%m-%d %H:%M}" if channel.sent_at else "none yet"

    @display(description="State")
    def state(self, channel: AlertChannel) -> str:
        waiting = channel.waiting.count()
        held = f"{waiting} to tell" if waiting else "nothing to tell"
        if not channel.error:
            return held
        again = f"{timezone.localtime(channel.send_at):%H:%M:%S}"
        return f"{channel.error}; {held}, tried again at {again}"

    def save_model(self, request: HttpRequest, obj: AlertChannel, form: AlertChannelForm, change: bool) -> None:
        cleaned = form.cleaned_data
        obj.events = cleaned["events"]
        if cleaned["where"]:
            name = obj.address.name if change else _free_name(f"Alerts: {obj.name}")
            vault.store(name, cleaned["where"], by=who(request))
            obj.address = Secret.objects.get(name=name)
            obj.error, obj.failures = "", 0
        super().save_model(request, obj, form, change)
        obj.tags.set(tags.named(cleaned["only"]))

    def delete_model(self, request: HttpRequest, obj: AlertChannel) -> None:
        super().delete_model(request, obj)
        obj.address.delete()

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for channel in queryset:
            self.delete_model(request, channel)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.try_out))
        return [path("<int:channel_id>/test/", view, name="beat_config_alertchannel_test"), *super().get_urls()]

    def try_out(self, request: HttpRequest, channel_id: int) -> HttpResponse:
        """Send a test message, and say how it went."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        channel = get_object_or_404(AlertChannel.objects.select_related("address"), pk=channel_id)
        problem = alerts.try_out(channel)
        with transaction.atomic():
            AlertChannel.objects.filter(pk=channel.pk).update(error=problem)
        if problem:
            messages.error(request, f"{channel.name}: {problem}")
        else:
            messages.success(request, f"{channel.name}: a test message was sent. Look whether it has arrived.")
        return redirect(reverse("admin:beat_config_alertchannel_change", args=[channel.pk]))


def _free_name(wanted: str) -> str:
    name, number = wanted, 2
    while Secret.objects.filter(name=name).exists():
        name, number = f"{wanted} {number}", number + 1
    return name
