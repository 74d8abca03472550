"""Named secrets: kept encrypted, put in place of their names for one run, and never shown."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from jobs import audit
from jobs.audit import Action
from jobs.kinds import SecretReference
from jobs.models import Secret
from jobs.registry import Job
from jobs.sealing import SealError, seal, unseal
from scheduler_app import secrets_key
from scheduler_app.paths import FolderError
from scheduler_app.secrets_key import KeyUnavailableError, SecretsKey

_LONGEST_NAME = 200


class SecretError(Exception):
    """A secret that cannot be read or stored; str() says which, why and what to do."""


def names() -> list[str]:
    return list(Secret.objects.values_list("name", flat=True))


def store(name: str, value: str, *, by: str) -> None:
    """Keep *value* under *name*, in place of what was there. Raises SecretError."""
    columns = sealed_columns(name, value, by=by)
    with transaction.atomic():
        before = Secret.objects.filter(name=name).first()
        secret, made = Secret.objects.update_or_create(name=name, defaults=columns)
        action = Action.ADDED if made else Action.CHANGED
        audit.record(by, action, secret, None if before is None else secret_state(before), secret_state(secret))


def secret_state(secret: Secret) -> dict[str, Any]:
    """Return what the audit log shows of a secret: that it got a value and when, never which."""
    moment = f"{timezone.localtime(secret.changed_at):%Y-%m-%d %H:%M:%S.%f %Z}"
    return {"Name": secret.name, "Description": secret.description, "Value": f"given {moment}"}


def sealed_columns(name: str, value: str, *, by: str) -> dict[str, Any]:
    """Return what a row holds for *value*; the key is made if there is none. Raises SecretError."""
    try:
        key = secrets_key.find_or_make(settings.SCHEDULER, settings.SCHEDULER_PATHS)
    except (KeyUnavailableError, FolderError) as error:
        raise SecretError(f"cannot store the secret {name!r}: {error}") from error
    return {"sealed": seal(key.raw, name, value), "key_id": key.id, "changed_at": timezone.now(), "changed_by": by}


def obstacle() -> str:
    """Return why no value can be stored at present; empty when it can."""
    try:
        secrets_key.find(settings.SCHEDULER, settings.SCHEDULER_PATHS)
    except KeyUnavailableError as error:
        return str(error)
    return ""


def read(name: str) -> str:
    """Return the value of the secret called *name*. Raises SecretError."""
    secret = Secret.objects.filter(name=name).first()
    if secret is None:
        raise SecretError(f"cannot find the secret {name!r}: it was deleted; choose another one in the schedule")
    return _opened(secret, _key())


def unreadable() -> dict[str, str]:
    """Return the secrets that cannot be read at present, with the reason of each."""
    found = {}
    rows = list(Secret.objects.all())
    if not rows:
        return {}
    try:
        key = _key()
    except SecretError as error:
        return dict.fromkeys((row.name for row in rows), str(error))
    for row in rows:
        try:
            _opened(row, key)
        except SecretError as error:
            found[row.name] = str(error)
    return found


def values() -> dict[str, str]:
    """Return all secrets that can be read at present, by name."""
    try:
        key = _key()
    except SecretError:
        return {}
    found = {}
    for row in Secret.objects.all():
        try:
            found[row.name] = _opened(row, key)
        except SecretError:
            continue
    return found


def revealed(job: Job, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the *parameters* of one run with values in place of names, and those values. Raises SecretError."""
    found: list[str] = []

    def reveal(label: str, value: Any) -> Any:
        reference = SecretReference.of(value)
        try:
            text = value if reference is None else read(reference.name)
        except SecretError as error:
            raise SecretError(f"{label}: {error}") from error
        if isinstance(text, str):
            found.append(text)
        return text

    return job.map_secrets(parameters, reveal), found


def references(job: Job, parameters: Mapping[str, Any]) -> set[str]:
    """Return the names of the secrets in *parameters*."""
    found: set[str] = set()

    def note(_label: str, value: Any) -> Any:
        reference = SecretReference.of(value)
        if reference is not None:
            found.add(reference.name)
        return value

    job.map_secrets(parameters, note)
    return found


def keep(
    job: Job, parameters: Mapping[str, Any], *, owner: str, by: str, own: Collection[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Store the values among *parameters* as secrets named after *owner*; return names in their place, and those names.

    A secret of that name is replaced if it is among *own* (those the owner had before); a new one gets another name.
    Raises SecretError.
    """
    made: list[str] = []

    def put_away(label: str, value: Any) -> Any:
        if not isinstance(value, str) or not value:
            return value
        name = _store_as(f"{owner}: {label}"[: _LONGEST_NAME - 5], value, by=by, own=own)
        made.append(name)
        return SecretReference(name).to_json()

    return job.map_secrets(parameters, put_away), made


def _store_as(wanted: str, value: str, *, by: str, own: Collection[str]) -> str:
    for name in _numbered(wanted):
        current = Secret.objects.filter(name=name).first()
        if current is not None and name not in own:
            if _is(current, value):
                return name
            continue
        if current is not None:
            if not _is(current, value):
                store(name, value, by=by)
            return name
        try:
            with transaction.atomic():
                secret = Secret.objects.create(name=name, **sealed_columns(name, value, by=by))
                audit.record(by, Action.ADDED, secret, None, secret_state(secret))
        except IntegrityError:  # somebody else took the name just now
            continue
        return name
    raise AssertionError("there is always another number")


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name} {number}"
        number += 1


def _is(secret: Secret, value: str) -> bool:
    try:
        return _opened(secret, _key()) == value
    except SecretError:
        return False


def _key() -> SecretsKey:
    try:
        key = secrets_key.find(settings.SCHEDULER, settings.SCHEDULER_PATHS)
    except KeyUnavailableError as error:
        raise SecretError(str(error)) from error
    if key is None:
        raise SecretError(
            "cannot find the key of the secrets: there is none in this data folder; restore secrets.key from a backup,"
            " set security.secrets_key as on the other machines, or give every secret its value again"
        )
    return key


def _opened(secret: Secret, key: SecretsKey) -> str:
    if secret.key_id != key.id:
        raise SecretError(
            f"cannot read the secret {secret.name!r}: it is encrypted with another key than this machine's; give it"
            " its value again, or set security.secrets_key to the same text on every machine"
        )
    try:
        return unseal(key.raw, secret.name, bytes(secret.sealed))
    except SealError as error:
        raise SecretError(f"cannot read the secret {secret.name!r}: {error}; give it its value again") from error
