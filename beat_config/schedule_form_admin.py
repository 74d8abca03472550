"""The page on which a schedule is made and changed: its form in sections, its preview, and saving."""

import json
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin

from beat_config import (
    chains,
    examples,
    form_sections,
    kept_in_files,
    previewing,
    readable,
    saving,
    snapshots,
    tags,
    timing,
    trial_runs,
)
from beat_config.forms import FIRST_JOB, ScheduleForm, form_for
from beat_config.models import Schedule, SchedulePolicy
from beat_config.parameter_fields import PREFIX
from beat_config.presets import PRESETS
from beat_config.running_now import run_now
from jobs.audited_admin import AuditedAdmin
from jobs.permissions import may_operate, may_use_job


class ScheduleFormAdmin(AuditedAdmin, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    change_form_template = "beat_config/schedule_form.html"

    def get_form(self, request: HttpRequest, obj: Schedule | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form for the job that is chosen: in the form just sent, in the address, or in the schedule."""
        kwargs["form"] = form_for(_chosen(request, obj))
        kwargs["fields"] = None
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        """Return all fields there are; the template knows where each belongs."""
        names = list(form_for(_chosen(request, obj)).base_fields)
        parameters = [name for name in names if name.startswith(PREFIX)]
        return [
            (None, {"fields": [name for name in names if name not in parameters]}),
            ("Parameters", {"fields": parameters, "classes": ["job-parameters"]}),
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
                "presets": json.dumps({name: dict(preset.values) for name, preset in PRESETS.items()}),
                "may_operate": may_operate(request.user),
                "show_save_and_add_another": False,
                **(extra_context or {}),
            },
        )

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **options: Any) -> HttpResponse:
        form = context["adminform"].form
        folded = [form_sections.folded(form, section) for section in form_sections.SECTIONS]
        own = {"sections": folded, "details": form_sections.folded(form, form_sections.DETAILS)}
        return super().render_change_form(request, {**context, **own}, **options)  # type: ignore[no-any-return]

    def response_add(self, request: HttpRequest, obj: Schedule, *rest: Any, **options: Any) -> HttpResponse:
        return self._run_now(request, obj) or super().response_add(request, obj, *rest, **options)

    def response_change(self, request: HttpRequest, obj: Schedule) -> HttpResponse:
        return self._run_now(request, obj) or super().response_change(request, obj)

    def _run_now(self, request: HttpRequest, schedule: Schedule) -> HttpResponse | None:
        """Start the schedule that has just been saved, where that was asked for, and lead to its run."""
        if "_run" not in request.POST:
            return None
        if not may_operate(request.user):
            raise PermissionDenied
        stored = Schedule.objects.get(pk=schedule.pk)
        run = run_now(stored, by=request.user.get_username())
        messages.success(request, f"{stored.name} is saved, and runs now.")
        return redirect("admin:jobs_run_change", run.pk)

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
        view = self.admin_site.admin_view
        return [
            path("preview/", view(require_POST(self.preview)), name="beat_config_schedule_preview"),
            path("test-run/", view(require_POST(self.test_run)), name="beat_config_schedule_test_run"),
            path("examples/<key>/", view(require_POST(self.add_example)), name="beat_config_schedule_example"),
            *super().get_urls(),
        ]

    def preview(self, request: HttpRequest) -> HttpResponse:
        """Answer with what the form that is sent would do next; nothing is stored."""
        form = self._sent(request)
        outlook = previewing.outlook(form, timezone.now(), request.POST.get("viewer_zone", ""))
        return render(request, "beat_config/preview.html", outlook)

    def test_run(self, request: HttpRequest) -> HttpResponse:
        """Run what the form that is sent says, once; answer with the run's page, or with what is wrong by its field."""
        form = self._sent(request)
        problems = trial_runs.problems(form)
        if problems:
            return JsonResponse({"problems": problems}, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        if not (may_operate(request.user) and may_use_job(request.user, form.cleaned_data["task"])):
            raise PermissionDenied
        if saving.foreign_secrets(form.instance, form.cleaned_data) and not request.user.has_perm("jobs.view_secret"):
            raise PermissionDenied
        run = trial_runs.start(form, by=request.user.get_username())
        return JsonResponse({"run": run.pk, "address": reverse("admin:jobs_run_change", args=[run.pk])})

    def _sent(self, request: HttpRequest) -> ScheduleForm:
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        number = request.POST.get("schedule", "")
        schedule = Schedule.objects.filter(pk=number).first() if number.isdecimal() else None
        return form_for(_chosen(request, schedule))(request.POST, instance=schedule)

    def add_example(self, request: HttpRequest, key: str) -> HttpResponse:
        example = examples.EXAMPLES.get(key)
        if example is None:
            raise Http404
        if not (self.has_add_permission(request) and may_use_job(request.user, example.job)):
            raise PermissionDenied
        try:
            schedule = examples.add(key, by=request.user.get_username(), now=timezone.now())
        except ValueError as error:
            messages.error(request, f"cannot add {example.name}: {error}")
            return redirect("admin:beat_config_schedule_changelist")
        messages.success(request, f"{schedule.name} is added.")
        self._tell_next(request, schedule)
        following = request.META.get("HTTP_REFERER", "")
        own = url_has_allowed_host_and_scheme(following, allowed_hosts={request.get_host()})
        return redirect(following if own else "admin:beat_config_schedule_changelist")

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
