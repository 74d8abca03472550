"""One-time login links: a short-lived, signed token that stands in the fragment of an address.

A fragment is not sent to the server and is not written to its log; the sign-in page posts it. Here is only what
can be decided without a database: that a token was minted by a holder of the key and has not expired. Whoever
checks it has to remember the nonce, so that a link works once.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets

LIFETIME = 600.0
"""Seconds a link stays valid: time to copy it from a terminal into a browser."""

# Keeps this signature from being valid for anything else that is signed with the same key.
_PURPOSE = b"login-link:"


class LoginTokenError(Exception):
    """The link does not sign anybody in; str() says why and what to do."""


def mint(key: str, now: float, lifetime: float = LIFETIME) -> str:
    """Return a new token that *check* accepts with the same *key* until *now* + *lifetime* (epoch seconds)."""
    content = json.dumps({"e": int(now + lifetime), "n": secrets.token_hex(16)}, separators=(",", ":"))
    payload = base64.urlsafe_b64encode(content.encode()).rstrip(b"=")
    return f"{payload.decode()}.{_signature(key, payload)}"


def check(key: str, token: str, now: float) -> str:
    """Return the nonce of *token*, which the caller accepts once; raise LoginTokenError for any other token."""
    payload, separator, signature = token.strip().encode("utf-8", "replace").rpartition(b".")
    if not separator:
        raise LoginTokenError("cannot sign in: the link is not complete; copy all of it, or ask for a new one")
    if not hmac.compare_digest(_signature(key, payload).encode(), signature):
        raise LoginTokenError(
            "cannot sign in: the link was not made by this installation or is not complete; "
            "`scheduler-app open` makes a new one"
        )
    expiry, nonce = _content(payload)
    if now >= expiry:
        raise LoginTokenError("cannot sign in: the link has expired; `scheduler-app open` makes a new one")
    return nonce


def _signature(key: str, payload: bytes) -> str:
    return hmac.new(key.encode(), _PURPOSE + payload, hashlib.sha256).hexdigest()


def _content(payload: bytes) -> tuple[float, str]:
    try:
        content = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        return float(content["e"]), str(content["n"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise LoginTokenError("cannot sign in: the link was signed here but says nothing that can be read") from error
