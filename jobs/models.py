"""What ran, what will run and what did not: the queue of record and the history."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from jobs.states import ACTIVE, FINAL, WAITING, State


class Origin(models.TextChoices):
    SCHEDULE = "schedule", "Schedule"
    MANUAL = "manual", "By hand"


class Run(models.Model):
    """One execution, or one recorded decision not to execute."""

    # History outlives its schedule, and deleting a schedule must not rewrite a million rows:
    # the id stays as a fact, schedule_name tells who it was.
    # Without an index of its own: two others begin with it, and each costs at every fire.
    schedule = models.ForeignKey(
        PeriodicTask,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="runs",
    )
    schedule_name = models.CharField("schedule", max_length=200, blank=True)
    job = models.CharField(max_length=200)
    parameters = models.JSONField(default=dict)
    origin = models.CharField("started by", max_length=16, choices=Origin.choices, default=Origin.SCHEDULE)
    requested_by = models.CharField(max_length=150, blank=True)
    fire_time = models.DateTimeField("due", null=True, blank=True)
    covers_until = models.DateTimeField(null=True, blank=True)
    covers = models.PositiveIntegerField(default=1)
    attempt = models.PositiveSmallIntegerField(default=1)
    # How often it may be started when a crash interrupts it; every attempt is a row of its own.
    max_attempts = models.PositiveSmallIntegerField(default=1)
    # Of the runs with one key, one runs at a time; NULL = beside any other.
    exclusive_key = models.CharField(max_length=100, null=True, blank=True, editable=False)  # noqa: DJ001 - NULLs differ

    state = models.CharField(
        max_length=16, choices=[(state.value, state.label) for state in State], default=State.PENDING
    )
    reason = models.TextField("why", blank=True)
    time_limit = models.DurationField(null=True, blank=True)
    route = models.JSONField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    created_at = models.DateTimeField("recorded", default=timezone.now)
    # When a dispatcher may send it (again); taking it moves this ahead, so two beats do not send one row twice.
    # NULL in a pending run: held, until the run before it ends. NULL in all that no longer wait.
    dispatch_at = models.DateTimeField(null=True, blank=True)
    queued_at = models.DateTimeField("queued", null=True, blank=True)
    started_at = models.DateTimeField("started", null=True, blank=True)
    finished_at = models.DateTimeField("finished", null=True, blank=True)

    token = models.UUIDField(null=True, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    worker = models.CharField(max_length=200, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    # Windows has exit codes up to 2**32.
    exit_code = models.BigIntegerField(null=True, blank=True)
    output_size = models.PositiveBigIntegerField(default=0)
    output_dropped = models.PositiveBigIntegerField(default=0)

    class Meta:
        permissions = [("run_command", "Can schedule commands (runs programs as the service's user)")]
        constraints = [
            # The identity of a fire. Runs without a fire time (started by hand) are all different: NULLs are distinct.
            models.UniqueConstraint(fields=["schedule", "fire_time", "attempt"], name="jobs_run_fire"),
            # Never two at once, whatever anybody decided before: the second claim fails.
            models.UniqueConstraint(
                fields=["exclusive_key"], name="jobs_run_one_at_a_time", condition=Q(state=State.RUNNING)
            ),
            # What the partial indexes below rest on: an ended run that says otherwise would be waited for for ever.
            models.CheckConstraint(
                name="jobs_run_going_or_ended",
                condition=Q(finished_at=None, state__in=sorted(ACTIVE))
                | Q(finished_at__isnull=False, state__in=sorted(FINAL)),
            ),
            models.CheckConstraint(
                name="jobs_run_sent_while_waiting", condition=Q(dispatch_at=None) | Q(state__in=sorted(WAITING))
            ),
        ]
        # SQLite uses a partial index only when the query says the condition itself, not by parameters: hence NULLs.
        indexes = [
            # dispatcher.take
            models.Index(fields=["dispatch_at", "id"], name="jobs_run_to_send", condition=Q(dispatch_at__isnull=False)),
            # recorder's overlap check, claims.release
            models.Index(
                fields=["exclusive_key", "id"],
                name="jobs_run_exclusive",
                condition=Q(finished_at=None, exclusive_key__isnull=False),
            ),
            # recorder's overlap check, for those without a key
            models.Index(
                fields=["schedule"],
                name="jobs_run_beside_others",
                condition=Q(finished_at=None, exclusive_key=None),
            ),
            # claims.release_left_behind
            models.Index(
                fields=["exclusive_key"],
                name="jobs_run_held",
                condition=Q(finished_at=None, dispatch_at=None),
            ),
            # history filtered by state, newest first; claims.interrupt_expired
            models.Index(fields=["state", "-id"], name="jobs_run_by_state"),
            # a schedule's own history, newest first
            models.Index(fields=["schedule", "-id"], name="jobs_run_by_schedule"),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk}: {self.schedule_name or self.job}"


class RunOutput(models.Model):
    """A piece of what a run printed, as bytes: PostgreSQL's text cannot hold NUL, and nothing may be lost."""

    class Stream(models.IntegerChoices):
        STDOUT = 1, "stdout"
        STDERR = 2, "stderr"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="output")
    number = models.PositiveIntegerField()
    stream = models.PositiveSmallIntegerField(choices=Stream.choices)
    written_at = models.DateTimeField(default=timezone.now)
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="jobs_runoutput_piece")]

    def __str__(self) -> str:
        return f"Output {self.number} of run {self.run_id}"


class Service(models.Model):
    """A beat or worker process that says it is alive; the supervisor and the admin read it."""

    class Kind(models.TextChoices):
        BEAT = "beat", "Beat"
        WORKER = "worker", "Worker"

    instance = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.kind} on {self.host} (process {self.pid})"


class RefusedMessage(models.Model):
    """A message that came through the broker and was not acted on; `refusals` keeps the newest."""

    received_at = models.DateTimeField("when")
    queue = models.CharField(max_length=200, blank=True)
    worker = models.CharField("refused by", max_length=200)
    reason = models.TextField("why")
    size = models.PositiveBigIntegerField()
    beginning = models.TextField(blank=True)
    # Of a flood only a part is listed.
    unlisted = models.PositiveBigIntegerField("more before it, not listed", default=0)

    def __str__(self) -> str:
        return f"Refused message {self.pk}"
