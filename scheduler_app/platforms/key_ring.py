"""`python -m scheduler_app.platforms.key_ring get|set NAME`: the system's own store of passwords.

A process of its own, because such a store may ask a person to unlock it, and then waits for ever: whoever asks ends
this one after a while. Counted are macOS' keychain, Windows' Credential Manager, and on other systems the Secret
Service (GNOME Keyring, KWallet, KeePassXC), if its default collection is there and unlocked: opening a locked one
brings up a window.
"""

import subprocess
import sys
from typing import Any

SERVICE = "scheduler-app"
LIMIT = 5.0
NOT_THERE = 3
NO_STORE = 4


class KeyRingError(Exception):
    """The store cannot be used just now; str() says why."""


def get(name: str) -> str | None:
    """Return the password kept as *name*; None when there is none. Raises KeyRingError."""
    code, answer = _ask("get", name)
    return None if code == NOT_THERE else answer


def put(name: str, password: str) -> None:
    """Keep *password* as *name*. Raises KeyRingError."""
    _ask("set", name, password)


def _ask(verb: str, name: str, password: str = "") -> tuple[int, str]:
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __spec__.name, verb, name],
            input=password,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise KeyRingError(f"it does not answer within {LIMIT:g} s; it may wait for somebody to unlock it") from None
    except OSError as error:
        raise KeyRingError(f"cannot start a process to ask it: {error}") from error
    if done.returncode not in (0, NOT_THERE):
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise KeyRingError(lines[-1])
    return done.returncode, done.stdout


def _store() -> Any:
    """Return the store, or leave with the reason why there is none that can be used without asking anybody."""
    if sys.platform == "darwin":
        from keyring.backends import macOS  # noqa: PLC0415 - each system has its own

        keychain: Any = macOS.Keyring
        return keychain()
    if sys.platform == "win32":
        from keyring.backends import Windows  # noqa: PLC0415

        vault: Any = Windows.WinVaultKeyring
        return vault()
    import os  # noqa: PLC0415

    if not os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        _leave("there is no desktop session here")
    import secretstorage  # noqa: PLC0415
    from keyring.backends import SecretService  # noqa: PLC0415

    with secretstorage.dbus_init() as bus:
        if not secretstorage.check_service_availability(bus):
            _leave("this desktop has no Secret Service")
        # Not get_default_collection(), which makes one, and asks for its password.
        if secretstorage.Collection(bus, "/org/freedesktop/secrets/aliases/default").is_locked():
            _leave("it is locked")
    backend: Any = SecretService.Keyring
    return backend()


def _leave(why: str) -> None:
    sys.stderr.write(f"{why}\n")
    sys.exit(NO_STORE)


def main(verb: str, name: str) -> int:
    try:
        store = _store()
        if verb == "set":
            store.set_password(SERVICE, name, sys.stdin.read())
        else:
            found = store.get_password(SERVICE, name)
            if found is None:
                return NOT_THERE
            sys.stdout.write(found)
    except Exception as error:  # noqa: BLE001 - a dozen libraries below, and every failure means: not usable
        _leave(str(error) or type(error).__name__)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
