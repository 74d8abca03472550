"""What a command line is made of: a list of arguments on POSIX, one text on Windows."""

import shlex
import sys


def split(command: str) -> list[str] | str:
    """Return *command* as subprocess starts it without a shell; ValueError when its quotation marks do not match.

    On Windows it stays one text: each program splits its own command line there, and not all by the same rules.
    """
    return command if sys.platform == "win32" else shlex.split(command)
