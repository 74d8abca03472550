"""API tokens in the admin: everybody makes their own, sees each once, and takes them back; admins take back any."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
)

from beat_config.models import Tag
from jobs.audited_admin import AuditedAdmin, who
from scheduler_app.web import tokens
from scheduler_app.web.models import ApiToken

LIFETIMES = {"30": "30 days", "90": "90 days", "365": "a year", "": "until it is revoked"}
STATES = {"good": "success", "expired": "warning", "revoked": "danger"}


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    lifetime = forms.ChoiceField(
        label="Good for",
        choices=list(LIFETIMES.items()),
        initial="90",
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    tags = forms.MultipleChoiceField(
        label="Only schedules with a tag of",
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None: all schedules, and all jobs.",
    )

    class Meta:
        model = ApiToken
        fields = ("name", "scope", "commands", "tags", "per_minute")
        widgets = {"per_minute": UnfoldAdminIntegerFieldWidget}
        help_texts = {
            "name": "Which program it is for. Shown in the history of what it starts.",
            "scope": "Never more than you may do yourself.",
            "commands": "For jobs that run programs, if you may run them yourself.",
            "per_minute": "A program that asks faster is told to wait.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "tags" not in self.fields:  # of somebody else, to look at
            return
        names = set(Tag.objects.values_list("name", flat=True)) | set(self.instance.tags)
        tags = self.fields["tags"]
        tags.choices = [(name, name) for name in sorted(names, key=str.casefold)]  # type: ignore[attr-defined]
        if not names:
            tags.help_text = "No schedule has a tag yet: the token is for all schedules, and all jobs."


class ApiTokenAdmin(AuditedAdmin, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    form = TokenForm
    list_display = ("name", "begins", "belongs_to", "may", "state", "until", "used")
    list_per_page = 50
    ordering = ("revoked_at", "-id")
    actions = ()
    list_before_template = "web/tokens_about.html"
    change_form_outer_after_template = "web/token_revoke.html"

    def audited(self, token: ApiToken) -> dict[str, Any]:
        return tokens.readable(token)

    # A token never does more than its owner: so everybody may have some.
    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_signed_in(request)

    def has_view_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return _is_signed_in(request) and (obj is None or obj.owner_id == request.user.pk or _sees_all(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_signed_in(request)

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return obj is not None and obj.owner_id == request.user.pk and obj.is_good(timezone.now())

    def has_delete_permission(self, _request: HttpRequest, _obj: ApiToken | None = None) -> bool:
        return False  # a token that is revoked stays as a fact

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        found: QuerySet[ApiToken] = super().get_queryset(request).select_related("owner")
        return found if _sees_all(request) else found.filter(owner=request.user.pk)

    def get_fields(self, _request: HttpRequest, obj: ApiToken | None = None) -> list[str]:
        fields = ["name", "scope", "commands", "tags", "per_minute"]
        return fields if obj is not None else [*fields, "lifetime"]

    def get_urls(self) -> list[URLPattern]:
        revoke = self.admin_site.admin_view(require_POST(self.revoke))
        return [path("<int:token_id>/revoke/", revoke, name="web_apitoken_revoke"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: ApiToken, form: TokenForm, change: bool) -> None:
        if not change:
            obj.owner = request.user  # type: ignore[assignment]  # who is signed in
            days = form.cleaned_data["lifetime"]
            obj.expires_at = timezone.now() + timedelta(days=int(days)) if days else None
            request.token_text = tokens.give_text(obj)  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        """Show the token, this once."""
        del post_url_continue
        context = {
            **self.admin_site.each_context(request),
            "title": "The new token",
            "opts": self.opts,
            "token": obj,
            "text": request.token_text,  # type: ignore[attr-defined]
            "address": request.build_absolute_uri("/api/v1/"),
        }
        response = render(request, "web/token_made.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        token = self.get_object(request, object_id)
        may_revoke = token is not None and token.revoked_at is None and _may_revoke(request, token)
        context = {"revocable": token if may_revoke else None, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    def revoke(self, request: HttpRequest, token_id: int) -> HttpResponse:
        token = get_object_or_404(self.get_queryset(request), pk=token_id)
        if not _may_revoke(request, token):
            raise PermissionDenied
        if tokens.revoke(token, by=who(request)):
            messages.success(request, f"The token {token} is revoked: nothing can be done with it any more.")
        return redirect(reverse("admin:web_apitoken_changelist"))

    @display(description="Begins with")
    def begins(self, token: ApiToken) -> str:
        return f"{token.beginning}…"

    @display(description="Of")
    def belongs_to(self, token: ApiToken) -> str:
        return str(token.owner.get_username())

    @display(description="It may")
    def may(self, token: ApiToken) -> str:
        commands = ", run commands" if token.commands else ""
        tagged = f" – tagged {', '.join(token.tags)}" if token.tags else ""
        return f"{token.get_scope_display()}{commands}{tagged}"

    @display(description="State", label=STATES)
    def state(self, token: ApiToken) -> str:
        if token.revoked_at is not None:
            return "revoked"
        return "good" if token.is_good(timezone.now()) else "expired"

    @display(description="Good until", ordering="expires_at")
    def until(self, token: ApiToken) -> str:
        return f"{timezone.localtime(token.expires_at):%Y-%m-%d}" if token.expires_at else "revoked"

    @display(description="Last used", ordering="last_used_at")
    def used(self, token: ApiToken) -> str:
        return f"{timezone.localtime(token.last_used_at):%Y-%m-%d %H:%M}" if token.last_used_at else "never"


def _is_signed_in(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_staff)


def _sees_all(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("web.view_apitoken"))


def _may_revoke(request: HttpRequest, token: ApiToken) -> bool:
    return token.owner_id == request.user.pk or bool(request.user.has_perm("web.change_apitoken"))
