"""The person whose account of the operating system this installation runs under."""

import getpass
import re


def name() -> str:
    """Return the account's name as a user's name may be; "" where it has none."""
    try:
        return re.sub(r"[^\w.@+-]", "", getpass.getuser())
    except (OSError, ImportError):  # no name for this user id, as in some containers; Windows before Python 3.13
        return ""


def at_the_tray() -> str:
    """Return who acts when the tray asks for something: it runs under the same account."""
    return f"{name()} at the tray".strip()


def at_the_command_line() -> str:
    """Return who acts when somebody types a verb."""
    return f"{name()} at the command line".strip()
