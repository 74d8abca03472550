from datetime import datetime

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone


class UsedLoginLink(models.Model):
    """A one-time login link that has been used; kept until it would have expired anyway."""

    nonce = models.CharField(max_length=64, unique=True)
    used_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"Login link used at {self.used_at:%Y-%m-%d %H:%M:%S}"


class ApiToken(models.Model):
    """What a program signs in to the API with, in the name of a user; `tokens` makes and finds them."""

    class Scope(models.TextChoices):
        """Each allows what those before it do."""

        READ = "read", "Look"
        RUN = "run", "Look, start and cancel"
        EDIT = "edit", "Look, start, cancel and change schedules"
        ADMIN = "admin", "All of that, and pause everything"

    name = models.CharField(max_length=100)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    # SHA-256: what is hashed is random and long, so that nothing slower is needed.
    digest = models.CharField(max_length=64, unique=True, editable=False)
    beginning = models.CharField(max_length=12, editable=False)
    scope = models.CharField("it may", max_length=8, choices=Scope, default=Scope.READ)
    commands = models.BooleanField("it may run commands", default=False)
    # Names, not rows: a tag that is deleted must not make the token one for everything.
    tags = models.JSONField("only schedules with a tag of", default=list, blank=True)
    per_minute = models.PositiveIntegerField(
        "requests a minute", default=600, validators=[MinValueValidator(1), MaxValueValidator(1_000_000)]
    )
    created_at = models.DateTimeField("made", default=timezone.now, editable=False)
    expires_at = models.DateTimeField("good until", null=True, blank=True)
    last_used_at = models.DateTimeField("last used", null=True, editable=False)
    revoked_at = models.DateTimeField("revoked", null=True, editable=False)

    class Meta:
        verbose_name = "API token"

    def __str__(self) -> str:
        return self.name

    def is_good(self, now: datetime) -> bool:
        """Tell whether it may be used at *now*."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)
