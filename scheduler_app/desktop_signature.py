"""How the tray proves to the web service that it is of this installation: a signature over each request.

The tray reads the installation's key, as every service does, so it needs no account, no cookie and no password.
"""

import hashlib
import hmac

HEADER = "X-Scheduler-Desktop"
LIFETIME = 60.0
"""Seconds a signed request is good for; both ends are on one machine, with one clock."""
# Keeps this signature from being valid for anything else that is signed with the same key.
_PURPOSE = b"desktop-request:"


def sign(key: str, method: str, path: str, body: bytes, now: float) -> str:
    """Return the header's value for one request, made at *now* (epoch seconds)."""
    moment = str(int(now))
    return f"{moment}.{_digest(key, method, path, body, moment)}"


def is_signed(key: str, method: str, path: str, body: bytes, header: str, now: float) -> bool:
    """Tell whether *header* was made by `sign()` for this very request, not long before *now*."""
    moment, _, digest = header.partition(".")
    if not hmac.compare_digest(digest.encode(), _digest(key, method, path, body, moment).encode()):
        return False
    return abs(now - int(moment)) <= LIFETIME  # whoever signed it wrote a number


def _digest(key: str, method: str, path: str, body: bytes, moment: str) -> str:
    content = b"\0".join([moment.encode(), method.encode(), path.encode(), body])
    return hmac.new(key.encode(), _PURPOSE + content, hashlib.sha256).hexdigest()
