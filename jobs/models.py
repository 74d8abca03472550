"""What ran, what will run and what did not: the queue of record and the history."""

from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from jobs.states import ACTIVE, FINAL, WAITING, State


class Origin(models.TextChoices):
    SCHEDULE = "schedule", "Schedule"
    MANUAL = "manual", "By hand"
    CHAIN = "chain", "Another run"
    API = "api", "API"
    WEBHOOK = "webhook", "Web hook"
    PYTHON = "python", "Python"
    EXTERNAL = "external", "Celery client"


# In `Run.machine`: the record of a fire that every machine has a run of its own for.
EVERY_MACHINE = "*"


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
    # How often it may be tried in all; every attempt is a row of its own.
    max_attempts = models.PositiveSmallIntegerField(default=1)
    # On what terms it runs; see jobs.terms. One column for what most runs have nothing of.
    terms = models.JSONField(null=True, blank=True, editable=False)
    # The one machine that it is for, EVERY_MACHINE, or empty: any.
    machine = models.CharField(max_length=64, blank=True, editable=False)
    # The run of every machine that this is one machine's part of.
    part_of = models.BigIntegerField(null=True, blank=True, editable=False)
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
        permissions = [
            ("run_command", "Can schedule commands (runs programs as the service's user)"),
            ("run_schedule", "Can start, cancel and pause what is scheduled"),
        ]
        constraints = [
            # The identity of a fire. Runs without a fire time (started by hand) are all different: NULLs are distinct.
            models.UniqueConstraint(
                fields=["schedule", "fire_time", "attempt"], name="jobs_run_fire", condition=Q(part_of=None)
            ),
            # One run a machine, however often the machine hears of it.
            models.UniqueConstraint(
                fields=["part_of", "machine", "attempt"], name="jobs_run_part", condition=Q(part_of__isnull=False)
            ),
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
            # claims.end_whole
            models.Index(
                fields=["expires_at"],
                name="jobs_run_every_machine",
                condition=Q(finished_at=None, machine=EVERY_MACHINE),
            ),
            # history filtered by state, newest first; claims.interrupt_expired
            models.Index(fields=["state", "-id"], name="jobs_run_by_state"),
            # schedule_list.failing: written only when a run goes wrong
            models.Index(
                fields=["schedule", "-id"],
                name="jobs_run_gone_wrong",
                condition=Q(part_of=None, state__in=[State.FAILED, State.INTERRUPTED, State.TIMED_OUT]),
            ),
            # a schedule's own history, newest first
            models.Index(fields=["schedule", "-id"], name="jobs_run_by_schedule"),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk}: {self.schedule_name or self.job}"


class JobLimit(models.Model):
    """What `limits` locks to decide about a job that limits its runs, and when one of them may start next."""

    job = models.CharField(max_length=200, primary_key=True)
    next_start_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"Limits of {self.job}"


class ChainedRun(models.Model):
    """A run that another one has started when it ended: once for each pair of a run and a schedule that follows."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, primary_key=True, related_name="chained")
    # History outlives what it came from, as in Run.
    parent = models.ForeignKey(Run, on_delete=models.DO_NOTHING, db_constraint=False, related_name="followed_by")
    follower = models.ForeignKey(PeriodicTask, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["parent", "follower"], name="jobs_chainedrun_once")]

    def __str__(self) -> str:
        return f"Run {self.run_id}, started by run {self.parent_id}"


class RunKey(models.Model):
    """What somebody called a request, so that the same request again finds its run; `once` reads and writes it."""

    key = models.CharField(max_length=255, unique=True)
    # Of the job and its parameters.
    digest = models.CharField(max_length=64)
    # Not a foreign key: it outlives the run, whose request may come again.
    run = models.BigIntegerField()
    made_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.key}: run {self.run}"


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
    # NULL while it reaches the broker.
    broker_away_since = models.DateTimeField(null=True, blank=True)
    # Why it does not, in the words of the system.
    broker_problem = models.CharField(max_length=300, blank=True)
    # Of a worker: the queues that it reads, and how many runs at a time.
    queues = models.JSONField(default=list, blank=True)
    slots = models.PositiveSmallIntegerField(default=0)

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
    # Of a run that has ended: mostly the broker's or beat's own doing.
    repeat = models.BooleanField(default=False)
    # Of a flood only a part is listed.
    unlisted = models.PositiveBigIntegerField("more before it, not listed", default=0)

    def __str__(self) -> str:
        return f"Refused message {self.pk}"


class Secret(models.Model):
    """A password, key or the like, encrypted; parameters name it. `jobs.vault` alone reads and writes the value."""

    name = models.CharField(max_length=200, unique=True)
    description = models.CharField(max_length=500, blank=True)
    sealed = models.BinaryField(editable=False)
    # Of the key it is encrypted with: tells "another key" from "damaged".
    key_id = models.CharField(max_length=16, editable=False)
    changed_at = models.DateTimeField("last changed", default=timezone.now, editable=False)
    changed_by = models.CharField(max_length=150, blank=True, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ReadyGroup(models.Model):
    """One of the groups that every installation begins with, and what it was given; see `permissions`."""

    name = models.CharField(max_length=20, unique=True)
    # NULL: people deleted it, or had one of that name before. It is not made again.
    group = models.OneToOneField(Group, null=True, on_delete=models.SET_NULL, related_name="+")
    given = models.JSONField(default=list)

    def __str__(self) -> str:
        return self.name


class AuditEntry(models.Model):
    """A change that a person made; `audit` alone writes them, and nobody changes them."""

    class Action(models.TextChoices):
        ADDED = "added", "Added"
        CHANGED = "changed", "Changed"
        DELETED = "deleted", "Deleted"
        ENABLED = "enabled", "Enabled"
        DISABLED = "disabled", "Disabled"
        RUN = "run", "Run by hand"
        CANCELLED = "cancelled", "Cancelled"
        PAUSED = "paused", "Paused"
        RESUMED = "resumed", "Resumed"

    at = models.DateTimeField("when")
    by = models.CharField("who", max_length=150)
    action = models.CharField("did", max_length=10, choices=Action.choices)
    # Of what, as Django labels a model ("beat_config.schedule"); empty for what has no row.
    kind = models.CharField(max_length=100, blank=True)
    subject_id = models.CharField(max_length=40, blank=True)
    subject = models.CharField("what", max_length=200)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    class Meta:
        verbose_name = "change"
        verbose_name_plural = "changes"
        # One thing's own history, newest first.
        indexes = [models.Index(fields=["kind", "subject_id", "-id"], name="jobs_audit_by_subject")]

    def __str__(self) -> str:
        return f"{self.get_action_display()}: {self.subject}"
