"""Encryption of one secret: AES-256-GCM (NIST SP 800-38D), which also notices that something was changed.

The name goes into it: a value cannot be put under another name in the database.
"""

import os

_NONCE = 12
_VERSION = b"\x01"


class SealError(Exception):
    """What is sealed cannot be opened: another key, another name, or damaged."""


def seal(key: bytes, name: str, value: str) -> bytes:
    """Return *value*, encrypted with *key* for *name*; different each time."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - 30 ms, for those with secrets

    nonce = os.urandom(_NONCE)
    return _VERSION + nonce + AESGCM(key).encrypt(nonce, value.encode(), name.encode())


def unseal(key: bytes, name: str, sealed: bytes) -> str:
    """Return what `seal` was given; SealError when key, name and *sealed* do not belong together."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    if sealed[:1] != _VERSION:
        raise SealError("it was stored by another version of this program")
    nonce, rest = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
    try:
        return AESGCM(key).decrypt(nonce, rest, name.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise SealError("it is damaged, or was stored under another name or key") from error
