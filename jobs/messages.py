"""What travels through the broker: which run to claim, until when, and a signature. Never what is to be executed."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

TASK_NAME = "scheduler.run"
# A run that waits longer is sent again long before, so that only what somebody kept outlives this.
LIFETIME = timedelta(days=1)
# Ours have some 600 bytes.
LARGEST_BODY = 16_384
_SAID = ("run_id", "attempt", "fire_time", "expires", "signature")
# Celery's form of a message, as `json.dumps` writes it; the last part says that nothing is to be done after the task.
# Filled in, for thousands make a burst, and what is filled in are numbers, moments and hexadecimal digits.
_BODY = (
    '[[], {"run_id": %d, "attempt": %d, "fire_time": "%s", "expires": "%s", "signature": "%s"},'
    ' {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
)


class MessageError(Exception):
    """A message that names no run, or was not signed with this installation's key."""


class MessageExpired(MessageError):  # noqa: N818 - nobody's mistake: it came too late
    """A message of ours whose time is over."""


@dataclass(frozen=True, slots=True)
class Message:
    """Names a run by its id, attempt and fire time: a restored database gives ids out again."""

    run_id: int
    attempt: int
    fire_time: datetime | None
    expires: datetime

    @property
    def task_id(self) -> str:
        """What Celery, its events and its logs call the message."""
        return f"run-{self.run_id}-{self.attempt}"

    @classmethod
    def of_run(
        cls, run_id: int, attempt: int, *, fire_time: datetime | None, expires_at: datetime | None, now: datetime
    ) -> "Message":
        """Return the message that is sent at *now*; it expires with its run, at the latest after LIFETIME."""
        latest = now + LIFETIME
        return cls(run_id, attempt, fire_time, latest if expires_at is None else min(expires_at, latest))

    def seal(self, key: str) -> dict[str, Any]:
        """Return the keyword arguments of the Celery message, signed with *key*."""
        return dict(zip(_SAID, self._said(key), strict=True))

    def body(self, key: str) -> bytes:
        """Return what is sent, in Celery's form; the same bytes for the same message."""
        return (_BODY % self._said(key)).encode()

    def _said(self, key: str) -> tuple[int, int, str, str, str]:
        fire_time = self.fire_time.isoformat() if self.fire_time else ""
        expires = self.expires.isoformat()
        signature = _signature(key, self.run_id, self.attempt, fire_time, expires)
        return self.run_id, self.attempt, fire_time, expires, signature


def run_of(task_id: str) -> int:
    """Return the run that a message with this task id names."""
    return int(task_id.split("-")[1])


def unseal(key: str, said: Mapping[str, object]) -> Message:
    """Return the message that *said* is, when its signature is right; raise MessageError otherwise."""
    if set(said) != set(_SAID):
        raise MessageError(f"cannot read the message: it says {', '.join(sorted(said)) or 'nothing'}")
    run_id, attempt, fire_time, expires, signature = (said[name] for name in _SAID)
    if not (
        type(run_id) is int
        and type(attempt) is int
        and isinstance(fire_time, str)
        and isinstance(expires, str)
        and isinstance(signature, str)
    ):
        raise MessageError(f"cannot read the message: what it says is of the wrong type ({dict(said)})")
    expected = _signature(key, run_id, attempt, fire_time, expires)
    if not hmac.compare_digest(expected.encode(), signature.encode(errors="replace")):
        raise MessageError(
            f"cannot accept the message for run {run_id}: its signature does not fit this installation's key;"
            " machines that share a broker need the same security.key"
        )
    due = datetime.fromisoformat(fire_time) if fire_time else None
    return Message(run_id, attempt, due, datetime.fromisoformat(expires))


def _signature(key: str, run_id: int, attempt: int, fire_time: str, expires: str) -> str:
    text = f"{TASK_NAME}:{run_id}:{attempt}:{fire_time}:{expires}"
    return hmac.digest(key.encode(), text.encode(errors="replace"), "sha256").hex()
