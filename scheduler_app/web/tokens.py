"""API tokens: made, found again by what a program sends, and taken back."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from jobs import audit
from scheduler_app.web.models import ApiToken

Scope = ApiToken.Scope
# Known to scanners for secrets, and to people, by its beginning.
PREFIX = "sch_"
SHOWN = 8
NOTE_USE_EVERY = timedelta(minutes=1)


def make(
    owner: Any,
    name: str,
    *,
    scope: str = Scope.READ,
    commands: bool = False,
    tags: Iterable[str] = (),
    expires_at: datetime | None = None,
    by: str,
    per_minute: int = 600,
) -> tuple[ApiToken, str]:
    """Store a token of the user *owner*; return it and its text, which cannot be had again."""
    token = ApiToken(
        owner=owner, name=name, scope=Scope(scope), commands=commands, tags=list(tags), expires_at=expires_at
    )
    token.per_minute = per_minute
    text = give_text(token)
    with transaction.atomic():
        token.save()
        audit.record(by, audit.Action.ADDED, token, None, readable(token))
    return token, text


def give_text(token: ApiToken) -> str:
    """Return a text for *token*, which keeps only what it is known again by."""
    text = PREFIX + secrets.token_urlsafe(32)
    token.digest, token.beginning = _digest(text), text[:SHOWN]
    return text


def find(text: str, now: datetime) -> ApiToken | None:
    """Return the token with this text, if it may still be used and its owner may sign in; note that it was."""
    token = ApiToken.objects.select_related("owner").filter(digest=_digest(text)).first()
    if token is None or not token.is_good(now) or not token.owner.is_active:
        return None
    if token.last_used_at is None or now - token.last_used_at >= NOTE_USE_EVERY:
        unnoted = Q(last_used_at=None) | Q(last_used_at__lte=now - NOTE_USE_EVERY)
        ApiToken.objects.filter(unnoted, pk=token.pk).update(last_used_at=now)
    return token


def revoke(token: ApiToken, *, by: str) -> bool:
    """Take *token* back for ever; False when it was before."""
    with transaction.atomic():
        if not ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
            return False
        audit.record(by, audit.Action.CHANGED, token, {"State": "good"}, {"State": "revoked"})
        return True


def readable(token: ApiToken) -> dict[str, Any]:
    """Return what the audit log keeps of it."""
    return {
        "Owner": token.owner.get_username(),
        "It may": token.get_scope_display(),
        "It may run commands": token.commands,
        "Only schedules with a tag of": token.tags,
        "Requests a minute": token.per_minute,
        "Good until": f"{token.expires_at:%Y-%m-%d %H:%M %Z}" if token.expires_at else None,
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
