"""Secrets on the command line: their names, and never their values."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from beat_config.secret_uses import uses
from jobs import audit, vault
from jobs.errors import near_names
from jobs.models import Secret
from scheduler_app.commands import runs
from scheduler_app.commands.problems import CommandProblem
from scheduler_app.commands.tables import Row

HEADINGS = ("secret", "used by", "last changed", "state")
_LONGEST_NAME = 200


def all_as_json() -> list[dict[str, Any]]:
    """Return what programs get of all secrets."""
    used, unreadable = uses(), vault.unreadable()
    return [
        {
            "secret": each.name,
            "description": each.description,
            "used_by": [task.name for task in used.get(each.name, [])],
            "changed": timezone.localtime(each.changed_at).isoformat(),
            "changed_by": each.changed_by or None,
            "problem": unreadable.get(each.name),
        }
        for each in Secret.objects.all()
    ]


def rows() -> list[Row]:
    return [
        (
            each["secret"],
            ", ".join(each["used_by"]) or "no schedule",
            each["changed"][:16].replace("T", " "),
            each["problem"] or "readable",
        )
        for each in all_as_json()
    ]


def store(name: str, value: str) -> None:
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise CommandProblem(
            f"cannot call a secret {name[:60]!r}: 1 to {_LONGEST_NAME} printable characters are needed"
        )
    try:
        vault.store(name, value, by=runs.by())
    except vault.SecretError as error:
        raise CommandProblem(str(error)) from error


def users_of(name: str) -> list[str]:
    """Return the schedules that use the secret *name*; CommandProblem when there is none."""
    if not Secret.objects.filter(name=name).exists():
        near = near_names(name, vault.names())
        hint = f": did you mean {' or '.join(map(repr, near))}?" if near else "; scheduler-app secret list shows all"
        raise CommandProblem(f"cannot find the secret {name!r}{hint}")
    return [task.name for task in uses().get(name, [])]


def delete(name: str) -> None:
    with transaction.atomic():
        secret = Secret.objects.get(name=name)
        audit.record(runs.by(), audit.Action.DELETED, secret, vault.secret_state(secret), None)
        secret.delete()
