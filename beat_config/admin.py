"""Schedules in the admin."""

import json
import math
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.exceptions import NotRegistered
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_POST
from django_celery_beat import models as celery_beat
from unfold.admin import ModelAdmin

from beat_config import adoption, chains, place_fields, places, previewing, readable, snapshots, tags, timing
from beat_config.audit_admin import AuditEntryAdmin
from beat_config.blackout_admin import BlackoutAdmin
from beat_config.forms import FIRST_JOB, POLICY_FIELDS, ScheduleForm, form_for
from beat_config.models import Blackout, Chain, Schedule, SchedulePolicy
from beat_config.parameter_fields import PREFIX
from beat_config.schedule_list_admin import ScheduleList
from beat_config.secret_admin import SecretAdmin
from beat_config.secret_uses import used_by, uses
from jobs import catalogue, vault
from jobs.audited_admin import AuditedAdmin
from jobs.models import AuditEntry, Secret
from jobs.permissions import may_use_job

for _model in (
    celery_beat.PeriodicTask,
    celery_beat.IntervalSchedule,
    celery_beat.CrontabSchedule,
    celery_beat.ClockedSchedule,
    celery_beat.SolarSchedule,
):
    try:
        admin.site.unregister(_model)
    except NotRegistered:
        # A version of django-celery-beat that registers fewer of them.
        continue


admin.site.register(Blackout, BlackoutAdmin)
admin.site.register(Secret, SecretAdmin)
admin.site.register(AuditEntry, AuditEntryAdmin)

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


@admin.register(Schedule)
class ScheduleAdmin(ScheduleList, AuditedAdmin, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
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

    def audited(self, schedule: Schedule) -> dict[str, Any]:
        return snapshots.of(schedule)

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
            {**timing.zones(), **chains.choices(), "tag_names": tags.offered(), **(extra_context or {})},
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

    def save_model(self, request: HttpRequest, obj: Schedule, form: ScheduleForm, change: bool) -> None:
        cleaned = form.cleaned_data
        if not may_use_job(request.user, cleaned["task"]):
            raise PermissionDenied
        policy = SchedulePolicy.objects.filter(pk=obj.pk).first() or SchedulePolicy()
        followers = {when: cleaned[f"after_{when}"] for when in Chain.When}
        if not all(may_use_job(request.user, task.task) for task in chains.added(obj.pk, followers)):
            raise PermissionDenied
        timing.store(cleaned["timing"], obj, policy)
        obj.task = cleaned["task"]
        obj.args, obj.kwargs = "[]", json.dumps(self._with_secrets_kept(request, obj, cleaned))
        expires_after, obj.priority = cleaned["expires_after"], cleaned["priority"]
        obj.expire_seconds = math.ceil(expires_after.total_seconds()) if expires_after else None
        places.store(cleaned["place"], obj)
        obj.start_time, obj.expires = cleaned["start_time"], cleaned["expires"]
        super().save_model(request, obj, form, change)
        SchedulePolicy.objects.filter(pk=obj.pk).update(
            expression=policy.expression,
            day_rule=policy.day_rule,
            **{name: cleaned[name] for name in POLICY_FIELDS},
        )
        SchedulePolicy.objects.get(pk=obj.pk).blackouts.set(cleaned["blackouts"])
        tags.set_tags(obj, cleaned["tags"])
        chains.store(obj.pk, followers)
        # Now, not at beat's next look: the next run is shown.
        adoption.adopt([obj.pk], timezone.now())
        self._tell_next(request, obj)

    def _with_secrets_kept(self, request: HttpRequest, schedule: Schedule, cleaned: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters with what was typed as a secret stored as one."""
        job = catalogue.registry()[cleaned["task"]]
        former = celery_beat.PeriodicTask.objects.filter(pk=schedule.pk, task=job.name).first()
        own = used_by(former, job) if former else set()
        shared = {name for name, tasks in uses().items() if len(tasks) > 1} if own else set()
        chosen = vault.references(job, cleaned["parameters"]) - own
        if chosen and not request.user.has_perm("jobs.view_secret"):
            raise PermissionDenied
        parameters, made = vault.keep(
            job, cleaned["parameters"], owner=cleaned["name"], by=request.user.get_username(), own=own - shared
        )
        for name in made:
            messages.info(request, f"Stored as the secret {name}.")
        return parameters

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


def _chosen(request: HttpRequest, schedule: Schedule | None) -> str:
    current = schedule.task if schedule else FIRST_JOB
    return request.POST.get("task") or request.GET.get("job") or current
