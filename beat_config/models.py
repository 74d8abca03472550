"""What django-celery-beat's tables cannot say of a schedule: its policies, and where its cursor stands."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django_celery_beat.models import PeriodicTask

from jobs.models import Secret

# "Look at this schedule now": what the SQL triggers of `change_marks` write, a constant that both databases can say.
LOOK_NOW = datetime(1970, 1, 1, tzinfo=UTC)


class CatchUp(models.TextChoices):
    NONE = "none", "Do not run it"
    LATEST = "latest", "Run once, for the latest one"
    ALL = "all", "Run every one of them"


class Overlap(models.TextChoices):
    SKIP = "skip", "Skip the new run"
    QUEUE = "queue", "Let the new run wait until it has ended"
    REPLACE = "replace", "Stop it, and start the new run"
    ALLOW = "allow", "Run both at the same time"


class WhenWrong(models.TextChoices):
    JOB = "job", "Do what the job says (most jobs: leave it)"
    LEAVE = "leave", "Leave it"
    CRASH = "crash", "Run it again after a crash or a power cut"
    FAILURE = "failure", "Run it again when it has failed or taken too long"
    ANY = "any", "Run it again, whatever went wrong"


class DayRule(models.TextChoices):
    OR = "or", "Either is enough, as cron does"
    AND = "and", "Both must fit, as Celery does"


class Blackout(models.Model):
    """Time in which no fire of the schedules that name it runs; each is recorded as skipped, with the reason."""

    class Kind(models.TextChoices):
        WEEKLY = "weekly", "Every week, between two times of day"
        ONCE = "once", "Once, from a moment to another"
        HOLIDAYS = "holidays", "On holidays (whole days)"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.WEEKLY)
    zone = models.CharField("time zone", max_length=63)
    # Weekdays as cron counts them, 0 is Sunday; empty means every day.
    weekdays = models.JSONField(default=list, blank=True)
    start_time = models.TimeField("from", null=True, blank=True)
    end_time = models.TimeField("to", null=True, blank=True)
    start_at = models.DateTimeField("from", null=True, blank=True)
    end_at = models.DateTimeField("to", null=True, blank=True)
    country = models.CharField(max_length=2, blank=True)
    subdivision = models.CharField("state or region", max_length=10, blank=True)
    # Lines of "2026-12-24 Christmas Eve".
    own_days = models.TextField("days of your own", blank=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Pause(models.Model):
    """Time in which no schedule's fire runs, set by a person; without an end it lasts until somebody resumes them."""

    start = models.DateTimeField("from")
    end = models.DateTimeField("until", null=True, blank=True)
    by = models.CharField(max_length=150)

    def __str__(self) -> str:
        return f"Pause from {self.start:%Y-%m-%d %H:%M:%S}, by {self.by}"


class Tag(models.Model):
    """A word of a person's own by which schedules are found together; `tags` alone makes them."""

    name = models.CharField(max_length=50, unique=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class SchedulePolicy(models.Model):
    """One-to-one with a `PeriodicTask`; `change_marks` makes it, whoever made the task: hence the db_defaults."""

    schedule = models.OneToOneField(
        PeriodicTask, primary_key=True, on_delete=models.CASCADE, related_name="policy", db_column="schedule_id"
    )
    # The cursor: the next fire that has no decision yet. NULL = none is to come (disabled, exhausted).
    next_fire_at = models.DateTimeField("next run", null=True, blank=True)
    # When beat has to look at this schedule: at its next fire; at once after a change; later after an error.
    look_at = models.DateTimeField(null=True, blank=True, db_default=LOOK_NOW)
    # Interval fires are anchor + k × period: no drift, and an edit moves the anchor.
    anchor = models.DateTimeField(db_default=Now())
    # What next_fire_at was computed from; empty: from nothing yet, what is due begins after the anchor.
    fingerprint = models.CharField(max_length=64, blank=True, db_default="")
    # A line for every change since: when it was, and what the rows said before; see `change_marks` and `past`.
    changes = models.TextField(blank=True, editable=False, db_default="")
    # Up to when every fire is decided, as the clock of the crontab's zone showed it, with its offset from UTC:
    # what has to be known when the time zone's data change. Empty where no zone matters.
    settled_until = models.CharField(max_length=40, blank=True, db_default="")

    expression = models.CharField(
        "cron line",
        max_length=255,
        blank=True,
        db_default="",
        help_text="What was typed, where it says more than the crontab columns can (L, 5#2, seconds).",
    )
    day_rule = models.CharField(max_length=3, choices=DayRule.choices, db_default=DayRule.AND)
    # Fires only in every n-th week, counted from the week of a date.
    every_nth_week = models.PositiveSmallIntegerField(
        "only every so many weeks", db_default=1, validators=[MinValueValidator(1)]
    )
    weeks_from = models.DateField("counted from the week of", null=True, blank=True)
    # Each schedule fires later by its own share of this, always the same.
    spread = models.DurationField("spread over", db_default=timedelta(0))
    blackouts = models.ManyToManyField(Blackout, blank=True, related_name="policies", verbose_name="not during")
    tags = models.ManyToManyField(Tag, blank=True, related_name="policies")
    catch_up = models.CharField(
        "if runs were missed while nothing was running",
        max_length=8,
        choices=CatchUp.choices,
        db_default=CatchUp.LATEST,
    )
    catch_up_window = models.DurationField("not older than", db_default=timedelta(days=1))
    # Also how many runs may wait for an earlier one to end: a queue that only grows helps nobody.
    catch_up_cap = models.PositiveIntegerField("at most", db_default=100, validators=[MinValueValidator(1)])
    grace = models.DurationField("still on time when late by", db_default=timedelta(minutes=1))
    overlap = models.CharField(
        "if the previous run still goes on", max_length=8, choices=Overlap.choices, db_default=Overlap.SKIP
    )
    concurrency_key = models.CharField("never together with", max_length=100, blank=True, db_default="")
    when_wrong = models.CharField("if it goes wrong", max_length=8, choices=WhenWrong.choices, db_default=WhenWrong.JOB)
    attempts = models.PositiveSmallIntegerField("attempts altogether", db_default=3, validators=[MinValueValidator(2)])
    retry_delay = models.DurationField("pause before the next attempt", db_default=timedelta(minutes=1))
    retry_doubles = models.BooleanField("twice as long after each attempt", db_default=False)
    retry_longest = models.DurationField("but not longer than", db_default=timedelta(hours=1))
    retry_varies = models.BooleanField("vary it at random", db_default=False)
    time_limit = models.DurationField("time limit", null=True, blank=True)

    error = models.TextField(blank=True, db_default="")
    error_at = models.DateTimeField(null=True, blank=True)
    # Failures in a row: each makes the pause until the next look longer.
    failures = models.PositiveSmallIntegerField(db_default=0)

    class Meta:
        verbose_name = "schedule policy"
        verbose_name_plural = "schedule policies"
        indexes: ClassVar = [
            # recorder: what is to be looked at, whatever the number of schedules
            models.Index(
                fields=["look_at", "schedule"], name="beat_config_due", condition=models.Q(look_at__isnull=False)
            ),
            # the overview: which ones cannot run, a few among very many
            models.Index(fields=["error_at"], name="beat_config_failing", condition=models.Q(error_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"Policy of {self.schedule}"


class Chain(models.Model):
    """What is started when a run of a schedule has ended: a run of another schedule."""

    class When(models.TextChoices):
        SUCCESS = "success", "if it succeeds"
        FAILURE = "failure", "if it fails"
        ALWAYS = "always", "whichever way it ends"

    leader = models.ForeignKey(PeriodicTask, on_delete=models.CASCADE, related_name="chains")
    when = models.CharField(max_length=8, choices=When.choices)
    follower = models.ForeignKey(PeriodicTask, on_delete=models.CASCADE, related_name="chained_after")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["leader", "when"], name="beat_config_chain_one")]

    def __str__(self) -> str:
        return f"{self.follower} after {self.leader}, {self.get_when_display()}"


class KeptInFile(models.Model):
    """A schedule that a file like schedules.toml says, and how it was when the file was applied last."""

    schedule = models.OneToOneField(PeriodicTask, primary_key=True, on_delete=models.CASCADE, related_name="kept_in")
    # What the file calls itself, or its path.
    file = models.CharField(max_length=1000)
    document = models.JSONField()
    applied_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.schedule} in {self.file}"


class TimeZoneData(models.Model):
    """The time zone data that cursors were computed with: when a zone's changes, its cursors are computed anew."""

    zone = models.CharField(max_length=63, primary_key=True)
    digest = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.zone} {self.digest[:8]}"


class Schedule(PeriodicTask):  # type: ignore[misc]  # django-celery-beat has no types
    """django-celery-beat's row, under the name people see."""

    class Meta:
        proxy = True
        verbose_name = "schedule"
        verbose_name_plural = "schedules"
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return str(self.name)


class DeletedSchedule(models.Model):
    """What was deleted, as it was, so that it can be restored; see `deletion`."""

    # The number it had, under which its history is: it gets it back.
    schedule_id = models.PositiveBigIntegerField()
    name = models.CharField(max_length=200)
    rows = models.JSONField()
    deleted_at = models.DateTimeField()
    deleted_by = models.CharField(max_length=150)

    def __str__(self) -> str:
        return self.name


class AlertChannel(models.Model):
    """Where alerts go: an address that Apprise knows, kept as a secret, and what is worth a message there."""

    class Event(models.TextChoices):
        FAILED = "failed", "A run failed, took too long or was interrupted, and is not tried again"
        RECOVERED = "recovered", "A schedule that had failed works again"
        MISSED = "missed", "A run was missed, or has not started five minutes after it was due"
        BROKEN = "broken", "A schedule cannot run as it is"
        BROKER = "broker", "The message broker does not answer"
        DISK = "disk", "The disk is nearly full"

    name = models.CharField(max_length=100, unique=True)
    enabled = models.BooleanField(default=True)
    address = models.ForeignKey(Secret, on_delete=models.PROTECT, related_name="+")
    events = models.JSONField("tells of", default=list)
    # Of schedules with one of these; none: of all.
    tags = models.ManyToManyField(Tag, blank=True, related_name="+", verbose_name="only schedules with")
    quiet_from = models.TimeField("quiet from", null=True, blank=True)
    quiet_to = models.TimeField("to", null=True, blank=True)

    send_at = models.DateTimeField("next message not before", default=LOOK_NOW, editable=False)
    sent_at = models.DateTimeField("last message", null=True, editable=False)
    # Of messages in a row that did not go through.
    failures = models.PositiveSmallIntegerField(default=0, editable=False)
    error = models.TextField(blank=True, editable=False)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Alert(models.Model):
    """Something that a channel still has to tell, or could not."""

    channel = models.ForeignKey(AlertChannel, on_delete=models.CASCADE, related_name="waiting")
    at = models.DateTimeField("when")
    event = models.CharField(max_length=10, choices=AlertChannel.Event.choices)
    text = models.TextField()

    def __str__(self) -> str:
        return self.text


class AlertMemory(models.Model):
    """The one row of what has been noticed already; whoever holds its lease looks, of however many beats."""

    lease_until = models.DateTimeField(default=LOOK_NOW)
    noticed = models.JSONField(default=dict)

    def __str__(self) -> str:
        return "What has been noticed"
