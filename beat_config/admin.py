"""Schedules in the admin."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.exceptions import NotRegistered
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django_celery_beat import models as celery_beat
from unfold.decorators import action, display

from beat_config import adoption, places, snapshots
from beat_config.audit_admin import AuditEntryAdmin
from beat_config.blackout_admin import BlackoutAdmin
from beat_config.models import LOOK_NOW, Blackout, Schedule, SchedulePolicy
from beat_config.running_now import run_now
from beat_config.schedule_form_admin import ScheduleFormAdmin
from beat_config.schedules import ArgumentsError, in_words
from beat_config.secret_admin import SecretAdmin
from jobs import audit, catalogue, wording
from jobs.audited_admin import who
from jobs.models import AuditEntry, Run, Secret
from jobs.permissions import may_operate, may_use_job
from jobs.states import State

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


@admin.register(Schedule)
class ScheduleAdmin(ScheduleFormAdmin):
    list_display = ("name", "shown_enabled", "what", "when", "next_run", "last_run")
    list_filter = ("enabled",)
    search_fields = ("name", "task")
    list_per_page = 50
    show_full_result_count = False
    ordering = ("name",)
    actions = ("run_now", "enable", "disable")

    def audited(self, schedule: Schedule) -> dict[str, Any]:
        return snapshots.of(schedule)

    def has_run_permission(self, request: HttpRequest) -> bool:
        return may_operate(request.user)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        last = Run.objects.filter(schedule=OuterRef("pk")).order_by("-id")
        return (  # type: ignore[no-any-return]
            super()
            .get_queryset(request)
            .select_related("policy", "interval", "crontab", "clocked", "solar")
            .prefetch_related("chained_after__leader")
            .annotate(last_run_id=Subquery(last.values("pk")[:1]), last_state=Subquery(last.values("state")[:1]))
        )

    @display(description="Enabled", ordering="enabled", boolean=True)
    def shown_enabled(self, schedule: Schedule) -> bool:
        return bool(schedule.enabled)

    @display(description="What")
    def what(self, schedule: Schedule) -> str:
        title, place = catalogue.title(schedule.task), places.of(schedule)
        if place.kind is places.Kind.ANY:
            return title
        return format_html('{} <span class="text-xs">on {}</span>', title, place.words)

    @display(description="When")
    def when(self, schedule: Schedule) -> str:
        policy = _policy(schedule)
        times = "not looked at yet" if policy is None else in_words(policy)
        after = [f"after {chain.leader.name}, {chain.get_when_display()}" for chain in schedule.chained_after.all()]
        return "; ".join([*([times] if schedule.enabled or not after else []), *after])

    @display(description="Next run", ordering="policy__look_at")
    def next_run(self, schedule: Schedule) -> str:
        policy = _policy(schedule)
        if policy is None or not schedule.enabled:
            return "–"
        if policy.error:
            return f"cannot run: {policy.error}"
        if policy.look_at == LOOK_NOW:
            return "not looked at yet"
        if policy.next_fire_at is None:
            return "–"
        return timezone.localtime(policy.next_fire_at).strftime("%Y-%m-%d %H:%M:%S")

    @display(description="Last run", label={state.label: colour for state, colour in wording.COLOURS.items()})
    def last_run(self, schedule: Schedule) -> str:
        state = getattr(schedule, "last_state", None)
        return State(state).label if state else "–"

    @action(description="Run now", permissions=["run"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        started = []
        for schedule in queryset:
            if not may_use_job(request.user, schedule.task):
                raise PermissionDenied
            try:
                run = run_now(schedule, by=request.user.get_username())
            except ArgumentsError as error:
                messages.error(request, f"{schedule.name}: {error}")
                continue
            link = reverse("admin:jobs_run_change", args=[run.pk])
            started.append(format_html('{}: <a class="underline" href="{}">run {}</a>', schedule.name, link, run.pk))
        for line in started:
            messages.success(request, line)

    @action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._switch(request, queryset, enabled=True)

    @action(description="Disable", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Schedule], *, enabled: bool) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        switched = Schedule.objects.filter(pk__in=ids).exclude(enabled=enabled)
        done = audit.Action.ENABLED if enabled else audit.Action.DISABLED
        audit.record_each(who(request), done, switched, {"enabled": not enabled}, {"enabled": enabled})
        celery_beat.PeriodicTask.objects.filter(pk__in=ids).update(enabled=enabled)
        adoption.adopt(ids, timezone.now())
        celery_beat.PeriodicTasks.update_changed()
        messages.success(request, f"{len(ids)} {'enabled' if enabled else 'disabled'}.")


def _policy(schedule: Schedule) -> SchedulePolicy | None:
    return getattr(schedule, "policy", None)
