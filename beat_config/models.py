"""What django-celery-beat's tables cannot say of a schedule: its policies, and where its cursor stands."""

from datetime import timedelta
from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone
from django_celery_beat.models import PeriodicTask


class CatchUp(models.TextChoices):
    NONE = "none", "Do not run it"
    LATEST = "latest", "Run once, for the latest one"
    ALL = "all", "Run every one of them"


class Overlap(models.TextChoices):
    SKIP = "skip", "Skip the new run"
    ALLOW = "allow", "Run both at the same time"


class DayRule(models.TextChoices):
    OR = "or", "Either is enough, as cron does"
    AND = "and", "Both must fit, as Celery does"


class SchedulePolicy(models.Model):
    """One-to-one with a `PeriodicTask`; a row that others made gets one from `adoption`."""

    schedule = models.OneToOneField(
        PeriodicTask, primary_key=True, on_delete=models.CASCADE, related_name="policy", db_column="schedule_id"
    )
    # The cursor: the next fire that has no decision yet. NULL = none is to come (disabled, exhausted).
    next_fire_at = models.DateTimeField("next run", null=True, blank=True)
    # Interval fires are anchor + k × period: no drift, and an edit moves the anchor.
    anchor = models.DateTimeField(default=timezone.now)
    # What next_fire_at was computed from; when the rows no longer say the same, it is computed anew.
    fingerprint = models.CharField(max_length=64, blank=True)
    # Whether the schedule was enabled then: what update(enabled=…) changed shows as a difference.
    armed = models.BooleanField(default=False)

    expression = models.CharField(
        "cron line",
        max_length=255,
        blank=True,
        help_text="What was typed, where it says more than the crontab columns can (L, 5#2, seconds).",
    )
    day_rule = models.CharField(max_length=3, choices=DayRule.choices, default=DayRule.AND)
    catch_up = models.CharField(
        "if runs were missed while nothing was running", max_length=8, choices=CatchUp.choices, default=CatchUp.LATEST
    )
    catch_up_window = models.DurationField("not older than", default=timedelta(days=1))
    catch_up_cap = models.PositiveIntegerField("at most", default=100, validators=[MinValueValidator(1)])
    grace = models.DurationField("still on time when late by", default=timedelta(minutes=1))
    overlap = models.CharField(
        "if the previous run still goes on", max_length=8, choices=Overlap.choices, default=Overlap.SKIP
    )
    time_limit = models.DurationField("time limit", null=True, blank=True)

    error = models.TextField(blank=True)
    error_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "schedule policy"
        verbose_name_plural = "schedule policies"
        indexes: ClassVar = [
            # recorder: what is due, cheapest first, whatever the number of schedules
            models.Index(
                fields=["next_fire_at"], name="beat_config_due", condition=models.Q(next_fire_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"Policy of {self.schedule}"


class Schedule(PeriodicTask):  # type: ignore[misc]  # django-celery-beat has no types
    """django-celery-beat's row, under the name people see."""

    class Meta:
        proxy = True
        verbose_name = "schedule"
        verbose_name_plural = "schedules"
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return str(self.name)
