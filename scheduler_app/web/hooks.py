"""Web hooks: secret addresses that start a schedule; made, found again, and what a request to one says."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs import audit
from scheduler_app.web.models import WebHook
from scheduler_app.web.tokens import NOTE_USE_EVERY

PREFIX = "hook_"
SHOWN = 10
SIGNATURE = "X-Hub-Signature-256"  # GitHub's, and others' since
DELIVERIES = ("X-GitHub-Delivery", "Webhook-Id", "Idempotency-Key")
_LINE = re.compile(r"(?P<name>[A-Za-z]\w*)\s*(?:=\s*(?P<path>[\w-]+(?:\.[\w-]+)*))?")


def give_text(hook: WebHook) -> str:
    """Return a text for the address of *hook*, which keeps only what it is known again by."""
    text = PREFIX + secrets.token_urlsafe(24)
    hook.digest, hook.beginning = _digest(text), text[:SHOWN]
    return text


def signing_key(hook: WebHook) -> str:
    """Return what the sender signs with; computed, so that it need not be stored."""
    return hmac.digest(settings.SECRET_KEY.encode(), f"web hook {hook.digest}".encode(), "sha256").hex()


def is_signed(hook: WebHook, body: bytes, signature: str) -> bool:
    """Tell whether *signature*, such as "sha256=…", is that of *body*."""
    expected = "sha256=" + hmac.digest(signing_key(hook).encode(), body, "sha256").hex()
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogateescape"))


def find(text: str, now: datetime) -> WebHook | None:
    """Return the hook with this address, if it may still be used and its owner may sign in; note that it was."""
    found = WebHook.objects.select_related("owner", "schedule").filter(digest=_digest(text), revoked_at=None)
    hook = found.first()
    if hook is None or not hook.owner.is_active:
        return None
    if hook.last_used_at is None or now - hook.last_used_at >= NOTE_USE_EVERY:
        WebHook.objects.filter(pk=hook.pk).update(last_used_at=now)
    return hook


def revoke(hook: WebHook, *, by: str) -> bool:
    """Take the address back for ever; False when it was before."""
    with transaction.atomic():
        if not WebHook.objects.filter(pk=hook.pk, revoked_at=None).update(revoked_at=timezone.now()):
            return False
        audit.record(by, audit.Action.CHANGED, hook, {"State": "good"}, {"State": "revoked"})
        return True


def parse_takes(text: str) -> dict[str, str]:
    """Return which parameters come from where: lines such as "branch = ref", or "branch". Raises ValueError."""
    takes: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"cannot use {line[:80]!r}: write a parameter, or parameter = name.in.the.request")
        if match["name"] in takes:
            raise ValueError(f"cannot use {match['name']} twice")
        takes[match["name"]] = match["path"] or match["name"]
    return takes


def write_takes(takes: Mapping[str, str]) -> str:
    return "\n".join(name if name == path else f"{name} = {path}" for name, path in takes.items())


def taken(takes: Mapping[str, str], body: Any) -> dict[str, Any]:
    """Return the parameters that the request gives; what it says nothing of is left out."""
    given = {}
    for name, path in takes.items():
        value = body
        for part in path.split("."):
            if not isinstance(value, Mapping) or part not in value:
                break
            value = value[part]
        else:
            given[name] = value
    return given


def readable(hook: WebHook) -> dict[str, Any]:
    """Return what the audit log keeps of it."""
    return {
        "Schedule": hook.schedule.name,
        "Owner": hook.owner.get_username(),
        "Only signed requests": hook.signed,
        "Parameters from the request": hook.takes,
        "Requests a minute": hook.per_minute,
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
