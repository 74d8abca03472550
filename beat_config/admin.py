"""Schedules in the admin."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.exceptions import NotRegistered
from django_celery_beat import models as celery_beat

from beat_config import snapshots
from beat_config.alert_admin import AlertChannelAdmin
from beat_config.audit_admin import AuditEntryAdmin
from beat_config.blackout_admin import BlackoutAdmin
from beat_config.models import AlertChannel, Blackout, Schedule
from beat_config.schedule_form_admin import ScheduleFormAdmin
from beat_config.schedule_list_admin import ScheduleList
from beat_config.secret_admin import SecretAdmin
from jobs.models import AuditEntry, Secret

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
admin.site.register(AlertChannel, AlertChannelAdmin)


@admin.register(Schedule)
class ScheduleAdmin(ScheduleList, ScheduleFormAdmin):
    ordering = ("name",)

    def audited(self, schedule: Schedule) -> dict[str, Any]:
        return snapshots.of(schedule)
