"""Start at login on Windows: a value below the user's Run key."""

import contextlib
import subprocess
import sys
from collections.abc import Sequence

assert sys.platform == "win32"  # noqa: S101 - mypy skips the rest elsewhere

import winreg  # noqa: E402 - below the assertion, so that mypy does not look for it elsewhere

RUN = r"Software\Microsoft\Windows\CurrentVersion\Run"


class RunKey:
    def __init__(self, name: str) -> None:
        self._name = name

    def is_on(self) -> bool:
        try:
            with winreg.OpenKey(winreg.HKEY_CURRENT_USER, RUN) as key:
                winreg.QueryValueEx(key, self._name)
        except FileNotFoundError:
            return False
        return True

    def switch_on(self, argv: Sequence[str]) -> None:
        with winreg.CreateKey(winreg.HKEY_CURRENT_USER, RUN) as key:
            winreg.SetValueEx(key, self._name, 0, winreg.REG_SZ, subprocess.list2cmdline(argv))

    def switch_off(self) -> None:
        with (
            contextlib.suppress(FileNotFoundError),
            winreg.OpenKey(winreg.HKEY_CURRENT_USER, RUN, access=winreg.KEY_SET_VALUE) as key,
        ):
            winreg.DeleteValue(key, self._name)
