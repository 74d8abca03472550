"""Secrets in the admin: made, given another value, deleted; their values are never shown."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget

from beat_config import secret_upkeep
from beat_config.secret_uses import uses
from jobs import secret_check, vault
from jobs.audited_admin import AuditedAdmin
from jobs.models import Secret
from jobs.vault import SecretError, secret_state

_SHOWN = 5


class SecretForm(forms.ModelForm):  # type: ignore[type-arg]
    value = forms.CharField(
        label="Value",
        strip=False,
        max_length=100_000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = Secret
        fields = ("name", "description")
        error_messages = {"name": {"unique": "There is a secret of this name already: choose another."}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["description"].help_text = "What it is for, and where a new one comes from."
        value = self.fields["value"]
        value.help_text = "Stored encrypted and never shown again. In what jobs print it is replaced by stars."
        if self.instance.pk:
            value.required = False
            value.label = "New value"
            value.help_text = f"Empty: it stays as it is. {value.help_text}"

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        name, value = cleaned.get("name", self.instance.name), cleaned.get("value")
        if name and value:
            try:
                cleaned["sealed"] = vault.sealed_columns(name, value, by="")
            except SecretError as error:
                self.add_error("value", str(error))
        return cleaned


class SecretAdmin(AuditedAdmin, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    form = SecretForm
    list_display = ("name", "description", "users", "changed", "state")
    search_fields = ("name", "description")
    list_per_page = 50
    show_full_result_count = False
    list_before_template = "beat_config/secrets_state.html"

    def audited(self, secret: Secret) -> dict[str, Any]:
        return secret_state(secret)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Secret]:
        # Asked once a page, and not again for each of its rows.
        self._uses, self._unreadable = uses(), vault.unreadable()
        return super().get_queryset(request)  # type: ignore[no-any-return]

    def get_readonly_fields(self, _request: HttpRequest, obj: Secret | None = None) -> tuple[str, ...]:
        # Parameters name it, and its encryption is bound to the name.
        return ("name",) if obj else ()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        found = secret_upkeep.latest
        state = (
            f"{secret_check.in_words()} Checked when the server started: {found}."
            if found and found.secrets
            else secret_check.in_words()
        )
        context = {"secrets_state": state, **(extra_context or {})}
        return super().changelist_view(request, context)

    @display(description="Used by")
    def users(self, secret: Secret) -> str:
        tasks = self._uses.get(secret.name, [])
        if not tasks:
            return "no schedule"
        links = format_html_join(
            ", ",
            '<a class="underline" href="{}">{}</a>',
            ((reverse("admin:beat_config_schedule_change", args=[task.pk]), task.name) for task in tasks[:_SHOWN]),
        )
        more = len(tasks) - _SHOWN
        return format_html("{} and {} more", links, more) if more > 0 else links

    @display(description="Last changed", ordering="changed_at")
    def changed(self, secret: Secret) -> str:
        by = f", {secret.changed_by}" if secret.changed_by else ""
        return f"{timezone.localtime(secret.changed_at):%Y-%m-%d %H:%M}{by}"

    @display(description="State")
    def state(self, secret: Secret) -> str:
        return self._unreadable.get(secret.name, "readable")

    def save_model(self, request: HttpRequest, obj: Secret, form: SecretForm, change: bool) -> None:
        if "sealed" in form.cleaned_data:
            for column, value in form.cleaned_data["sealed"].items():
                setattr(obj, column, value)
            obj.changed_by = request.user.get_username()
        super().save_model(request, obj, form, change)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, set[str], list[Any]]:
        """Refuse what schedules use: they would fail."""
        shown, counts, needed, protected = super().get_deleted_objects(objs, request)
        by_name = uses()
        protected = [*protected, *(f"Schedule: {task.name}" for each in objs for task in by_name.get(each.name, []))]
        return shown, counts, needed, protected
