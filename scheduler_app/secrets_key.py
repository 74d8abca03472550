"""The key that secrets are encrypted with, and where it is kept.

By configuration (security.secrets_key); else in the system's keyring where there is one that can be used without
asking anybody; else in the file secrets.key of the data folder, for its owner only. That file is there in the second
case, too: it then says which entry of the keyring holds the key.
"""

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from scheduler_app.config import Config
from scheduler_app.paths import FolderError, Paths, make_once
from scheduler_app.platforms import key_ring

_SIZE = 32
Place = Literal["configuration", "keyring", "file"]


class KeyUnavailableError(Exception):
    """There is a key, and it cannot be had; str() says why and what to do."""


@dataclass(frozen=True, slots=True)
class SecretsKey:
    raw: bytes
    place: Place

    @property
    def id(self) -> str:
        """What tells keys apart and gives nothing of them away."""
        return hmac.new(self.raw, b"scheduler-app key id", hashlib.sha256).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"<SecretsKey {self.id} of the {self.place}>"


def find(config: Config, paths: Paths) -> SecretsKey | None:
    """Return the key; None when none has been made yet. Raises KeyUnavailableError."""
    if config.security.secrets_key is not None:
        return SecretsKey(_derived(config.security.secrets_key.reveal()), "configuration")
    try:
        words = paths.secrets_key.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnavailableError(f"cannot read the key of the secrets in {paths.secrets_key}: {error}") from error
    match words:
        case ["keyring", name]:
            return _from_keyring(name)
        case ["file", text]:
            return _decoded(text, "file", f"the file {paths.secrets_key}")
    raise KeyUnavailableError(
        f"cannot read the key of the secrets: the file {paths.secrets_key} is damaged; restore it from a backup, or"
        " delete it and give every secret its value again"
    )


def find_or_make(config: Config, paths: Paths) -> SecretsKey:
    """Return the key, made on first use; several processes at once return the same one.

    Raises KeyUnavailableError, and FolderError where the file cannot be written.
    """
    found = find(config, paths)
    if found is not None:
        return found
    made = SecretsKey(os.urandom(_SIZE), "file")
    text = base64.urlsafe_b64encode(made.raw).decode()
    in_keyring = config.security.key_store == "auto" and _put_into_keyring(made.id, text)
    try:
        make_once(paths.secrets_key, lambda: f"keyring {made.id}\n" if in_keyring else f"file {text}\n")
    except OSError as error:
        raise FolderError(
            f"cannot keep the key of the secrets in {paths.secrets_key}: {error.strerror or error}; make room, or make"
            " the folder yours and writable"
        ) from error
    key = find(config, paths)
    assert key is not None  # noqa: S101 - one of the processes has made it
    return key


def in_words(place: Place, paths: Paths) -> str:
    return {
        "configuration": "in the configuration (security.secrets_key)",
        "keyring": "in the system's keyring",
        "file": f"in the file {paths.secrets_key}, readable for its owner only",
    }[place]


@lru_cache(maxsize=8)  # an entry never changes: its name is made from the key
def _from_keyring(name: str) -> SecretsKey:
    try:
        text = key_ring.get(name)
    except key_ring.KeyRingError as error:
        raise KeyUnavailableError(
            f"cannot get the key of the secrets from the system's keyring: {error}; sign in at the desktop, or set"
            ' security.key_store = "file" before secrets are made on a machine where nobody does'
        ) from error
    if text is None:
        raise KeyUnavailableError(
            "cannot find the key of the secrets in the system's keyring any more; restore the keyring, or delete the"
            " file secrets.key in the data folder and give every secret its value again"
        )
    return _decoded(text, "keyring", "the system's keyring")


def _put_into_keyring(name: str, text: str) -> bool:
    try:
        key_ring.put(name, text)
        return key_ring.get(name) == text
    except key_ring.KeyRingError:
        return False


def _decoded(text: str, place: Place, where: str) -> SecretsKey:
    try:
        raw = base64.urlsafe_b64decode(text)
    except ValueError:
        raw = b""
    if len(raw) != _SIZE:
        raise KeyUnavailableError(f"cannot use the key of the secrets in {where}: it is damaged; restore it")
    return SecretsKey(raw, place)


def _derived(text: str) -> bytes:
    # Long and random by its check in the configuration, so nothing has to be made slow here.
    return hmac.new(b"scheduler-app secrets", text.encode(), hashlib.sha256).digest()
