from django.db import models


class UsedLoginLink(models.Model):
    """A one-time login link that has been used; kept until it would have expired anyway."""

    nonce = models.CharField(max_length=64, unique=True)
    used_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"Login link used at {self.used_at:%Y-%m-%d %H:%M:%S}"
