"""Web hooks in the admin: made for a schedule, shown once, taken back."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelect2Widget, UnfoldAdminTextareaWidget

from beat_config.models import Schedule
from jobs import catalogue, permissions
from jobs.audited_admin import AuditedAdmin, who
from jobs.errors import near_names
from scheduler_app.web import hooks
from scheduler_app.web.models import WebHook

STATES = {"good": "success", "revoked": "danger"}
CHANGE_SCHEDULE = "beat_config.change_schedule"


class HookForm(forms.ModelForm):  # type: ignore[type-arg]
    takes = forms.CharField(
        label="Parameters from the request",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "placeholder": "branch = ref\ncommit = head_commit.id"}),
        help_text="One a line: a parameter of the job, and where its value is in the JSON that is sent. What is not"
        " named here cannot be set by a request.",
    )

    class Meta:
        model = WebHook
        fields = ("name", "schedule", "signed", "takes", "per_minute")
        widgets = {"per_minute": UnfoldAdminIntegerFieldWidget, "schedule": UnfoldAdminSelect2Widget}
        help_texts = {
            "name": "Who calls it. Shown in the history of what it starts.",
            "signed": f"The sender signs what it sends with a key, in the header {hooks.SIGNATURE}, as GitHub does. Who"
            " finds the address out can then start nothing.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["takes"] = hooks.write_takes(self.instance.takes)

    def clean_schedule(self) -> Any:
        schedule = self.cleaned_data["schedule"]
        if not permissions.may_use_job(self.user, schedule.task):  # type: ignore[attr-defined]  # of the request's form
            raise forms.ValidationError("You have no permission to start this schedule's job.")
        return schedule

    def clean_takes(self) -> dict[str, str]:
        try:
            takes = hooks.parse_takes(self.cleaned_data["takes"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        if takes and not self.user.has_perm(CHANGE_SCHEDULE):  # type: ignore[attr-defined]
            raise forms.ValidationError("You have no permission to say what a schedule is started with.")
        jobs, schedule = catalogue.registry(), self.cleaned_data.get("schedule")
        if schedule is not None and schedule.task in jobs:
            known = [parameter.name for parameter in jobs[schedule.task].parameters]
            for name in takes.keys() - set(known):
                near = near_names(name, known)
                hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known)}"
                raise forms.ValidationError(f"The job has no parameter {name}; {hint}")
        return takes


class WebHookAdmin(AuditedAdmin, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    form = HookForm
    list_display = ("name", "begins", "starts", "belongs_to", "signed", "state", "used")
    list_per_page = 50
    ordering = ("revoked_at", "-id")
    actions = ()
    list_before_template = "web/hooks_about.html"
    change_form_outer_after_template = "web/hook_revoke.html"

    def audited(self, hook: WebHook) -> dict[str, Any]:
        return hooks.readable(hook)

    # Who may start schedules by hand may have them started by an address.
    def has_module_permission(self, request: HttpRequest) -> bool:
        return permissions.may_operate(request.user)

    def has_view_permission(self, request: HttpRequest, obj: WebHook | None = None) -> bool:
        own = obj is None or obj.owner_id == request.user.pk
        return permissions.may_operate(request.user) and (own or _sees_all(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return permissions.may_operate(request.user)

    def has_change_permission(self, request: HttpRequest, obj: WebHook | None = None) -> bool:
        mine = obj is not None and obj.owner_id == request.user.pk and obj.revoked_at is None
        return mine and permissions.may_operate(request.user)

    def has_delete_permission(self, _request: HttpRequest, _obj: WebHook | None = None) -> bool:
        return False  # one that is revoked stays as a fact

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebHook]:
        found: QuerySet[WebHook] = super().get_queryset(request).select_related("owner", "schedule")
        return found if _sees_all(request) else found.filter(owner=request.user.pk)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.user = request.user
        if "schedule" in form.base_fields:
            form.base_fields["schedule"].queryset = Schedule.objects.order_by("name")
        return form

    def get_urls(self) -> list[URLPattern]:
        revoke = self.admin_site.admin_view(require_POST(self.revoke))
        return [path("<int:hook_id>/revoke/", revoke, name="web_webhook_revoke"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: WebHook, form: HookForm, change: bool) -> None:
        if not change:
            obj.owner = request.user  # type: ignore[assignment]  # who is signed in
            request.hook_text = hooks.give_text(obj)  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: WebHook, post_url_continue: str | None = None) -> HttpResponse:
        """Show the address, and the key to sign with, this once."""
        del post_url_continue
        address = reverse("web-hook", args=[request.hook_text])  # type: ignore[attr-defined]
        context = {
            **self.admin_site.each_context(request),
            "title": "The new web hook",
            "opts": self.opts,
            "hook": obj,
            "address": request.build_absolute_uri(address),
            "key": hooks.signing_key(obj) if obj.signed else "",
        }
        response = render(request, "web/hook_made.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        hook = self.get_object(request, object_id)
        may_revoke = hook is not None and hook.revoked_at is None and _may_revoke(request, hook)
        context = {"revocable": hook if may_revoke else None, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)  # type: ignore[no-any-return]

    def revoke(self, request: HttpRequest, hook_id: int) -> HttpResponse:
        hook = get_object_or_404(self.get_queryset(request), pk=hook_id)
        if not _may_revoke(request, hook):
            raise PermissionDenied
        if hooks.revoke(hook, by=who(request)):
            messages.success(request, f"The web hook {hook} is revoked: its address starts nothing any more.")
        return redirect(reverse("admin:web_webhook_changelist"))

    @display(description="Begins with")
    def begins(self, hook: WebHook) -> str:
        return f"{hook.beginning}…"

    @display(description="Starts")
    def starts(self, hook: WebHook) -> str:
        link = reverse("admin:beat_config_schedule_change", args=[hook.schedule_id])
        return format_html('<a class="underline" href="{}">{}</a>', link, hook.schedule.name)

    @display(description="Of")
    def belongs_to(self, hook: WebHook) -> str:
        return str(hook.owner.get_username())

    @display(description="State", label=STATES)
    def state(self, hook: WebHook) -> str:
        return "good" if hook.revoked_at is None else "revoked"

    @display(description="Last used", ordering="last_used_at")
    def used(self, hook: WebHook) -> str:
        return f"{timezone.localtime(hook.last_used_at):%Y-%m-%d %H:%M}" if hook.last_used_at else "never"


def _sees_all(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("web.view_webhook"))


def _may_revoke(request: HttpRequest, hook: WebHook) -> bool:
    return hook.owner_id == request.user.pk or bool(request.user.has_perm("web.change_webhook"))
