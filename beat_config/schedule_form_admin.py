"""The page on which a schedule is made and changed: its form in sections, its preview, and saving."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from beat_config import chains, kept_in_files, place_fields, previewing, readable, saving, snapshots, tags, timing
from beat_config.forms import FIRST_JOB, ScheduleForm, form_for
from beat_config.models import Chain, Schedule, SchedulePolicy
from beat_config.parameter_fields import PREFIX
from jobs.audited_admin import AuditedAdmin

WHEN_LAYOUT = ["when", ("every", "unit"), ("cron", "time_zone"), "once", ("event", "latitude", "longitude")]
LIMITS_LAYOUT = [
    "start_time",
    "expires",
    ("every_nth_week", "weeks_from"),
    "spread",
    "blackouts",
]
POLICY_LAYOUT = [
    "preset",
    "catch_up",
    ("catch_up_window", "catch_up_cap"),
    ("grace", "expires_after"),
    ("overlap", "concurrency_key"),
    ("when_wrong", "attempts"),
    ("retry_delay", "retry_longest"),
    ("retry_doubles", "retry_varies"),
    ("time_limit", "priority"),
]


class ScheduleFormAdmin(AuditedAdmin, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    change_form_template = "beat_config/schedule_form.html"
    conditional_fields = {
        "every": "when == 'every'",
        "unit": "when == 'every'",
        "cron": "when == 'times'",
        "time_zone": "when == 'times'",
        "once": "when == 'once'",
        "event": "when == 'sun'",
        "latitude": "when == 'sun'",
        "longitude": "when == 'sun'",
        **place_fields.CONDITIONS,
    }

    def get_form(self, request: HttpRequest, obj: Schedule | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form for the job that is chosen: in the form just sent, in the address, or in the schedule."""
        kwargs["form"] = form_for(_chosen(request, obj))
        kwargs["fields"] = None
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        parameters = [name for name in form_for(_chosen(request, obj)).base_fields if name.startswith(PREFIX)]
        return [
            (None, {"fields": ["name", "enabled", "tags", "task"]}),
            ("Parameters", {"fields": parameters, "classes": ["job-parameters"]}),
            ("When", {"fields": WHEN_LAYOUT, "classes": ["schedule-when"]}),
            ("Where it runs", {"fields": place_fields.LAYOUT, "classes": ["collapse"]}),
            ("Limits and exceptions", {"fields": LIMITS_LAYOUT, "classes": ["collapse"]}),
            (
                "If something gets in the way",
                {"fields": POLICY_LAYOUT, "classes": ["collapse"]},
            ),
            ("Afterwards", {"fields": [f"after_{when}" for when in Chain.When], "classes": ["collapse"]}),
            ("Notes", {"fields": ["description"], "classes": ["collapse"]}),
        ]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if object_id is not None and not self.has_change_permission(request):
            return self._read_only(request, object_id)
        return super().changeform_view(
            request,
            object_id,
            form_url,
            {
                **timing.zones(),
                **chains.choices(),
                "tag_names": tags.offered(),
                **_kept_in(object_id),
                **(extra_context or {}),
            },
        )

    def _read_only(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show a schedule to those who may look at it only."""
        if request.method == "POST" or not self.has_view_permission(request):
            raise PermissionDenied
        schedule = self.get_object(request, object_id)
        if schedule is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[no-any-return]
        facts = readable.lines(None, snapshots.of(schedule))
        context = {**self.admin_site.each_context(request), "title": schedule.name, "opts": self.opts, "facts": facts}
        return render(request, "beat_config/schedule_read_only.html", {**context, "schedule": schedule})

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.preview))
        return [path("preview/", view, name="beat_config_schedule_preview"), *super().get_urls()]

    def preview(self, request: HttpRequest) -> HttpResponse:
        """Answer with what the form that is sent would do next; nothing is stored."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        number = request.POST.get("schedule", "")
        schedule = Schedule.objects.filter(pk=number).first() if number.isdecimal() else None
        form = form_for(_chosen(request, schedule))(request.POST, instance=schedule)
        return render(request, "beat_config/preview.html", previewing.outlook(form, timezone.now()))

    def save_model(self, request: HttpRequest, obj: Schedule, form: ScheduleForm, change: bool) -> None:  # noqa: ARG002 - Django's
        saving.refuse_what_is_not_allowed(form, request.user)
        for name in saving.save(form, by=request.user.get_username(), now=timezone.now()):
            messages.info(request, f"Stored as the secret {name}.")
        self._tell_next(request, obj)

    def _tell_next(self, request: HttpRequest, schedule: Schedule) -> None:
        policy = SchedulePolicy.objects.get(pk=schedule.pk)
        if not schedule.enabled:
            messages.info(request, "It is disabled: nothing runs until it is enabled.")
        elif policy.error:
            messages.error(request, policy.error)
        elif policy.next_fire_at is None:
            messages.warning(request, "It has no next run: its time is over.")
        else:
            moment = timezone.localtime(policy.next_fire_at)
            messages.info(request, f"Next run: {moment:%A %Y-%m-%d %H:%M:%S %Z}.")


def _kept_in(number: str | None) -> dict[str, Any]:
    """Return what the page says of the file that the schedule is kept in, and what has been changed by hand since."""
    kept = kept_in_files.of(int(number)) if number and number.isdecimal() else None
    if kept is None:
        return {}
    return {"kept_in": kept, "by_hand": list(kept_in_files.in_words(kept_in_files.changed_by_hand(kept)))}


def _chosen(request: HttpRequest, schedule: Schedule | None) -> str:
    current = schedule.task if schedule else FIRST_JOB
    return request.POST.get("task") or request.GET.get("job") or current
