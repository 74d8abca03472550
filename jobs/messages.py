"""What travels through the broker: which run to claim, and a signature. Never what is to be executed."""

import hmac
from dataclasses import dataclass
from typing import Any

TASK_NAME = "scheduler.run"


class MessageError(Exception):
    """A message that names no run, or was not signed with this installation's key."""


@dataclass(frozen=True, slots=True)
class Message:
    run_id: int
    attempt: int

    @property
    def task_id(self) -> str:
        """What Celery, its events and its logs call the message."""
        return f"run-{self.run_id}-{self.attempt}"

    @classmethod
    def of_task_id(cls, task_id: str) -> "Message":
        _, run_id, attempt = task_id.split("-")
        return cls(int(run_id), int(attempt))

    def seal(self, key: str) -> dict[str, Any]:
        """Return the keyword arguments of the Celery message, signed with *key*."""
        return {"run_id": self.run_id, "attempt": self.attempt, "signature": self._signature(key)}

    def _signature(self, key: str) -> str:
        text = f"{TASK_NAME}:{self.run_id}:{self.attempt}"
        return hmac.digest(key.encode(), text.encode(), "sha256").hex()


def unseal(key: str, *, run_id: object, attempt: object, signature: object) -> Message:
    """Return the message when *signature* is right; raise MessageError otherwise."""
    if not (type(run_id) is int and type(attempt) is int and isinstance(signature, str)):
        raise MessageError(f"cannot read the message: run_id = {run_id!r}, attempt = {attempt!r} are no whole numbers")
    message = Message(run_id, attempt)
    if not hmac.compare_digest(message._signature(key).encode(), signature.encode(errors="replace")):  # noqa: SLF001
        raise MessageError(
            f"cannot accept the message for run {run_id}: its signature does not fit this installation's key;"
            " machines that share a broker need the same security.key"
        )
    return message
