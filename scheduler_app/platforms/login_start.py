"""Start at login where a desktop follows freedesktop.org, and on macOS: a file in the system's own place."""

import hashlib
import os
import plistlib
from collections.abc import Sequence
from pathlib import Path

# Desktop Entry Specification, "The Exec key": these need a quoted argument, and a backslash inside of it.
_ESCAPED = '"`$\\'


def login_start_name(data_folder: Path) -> str:
    """Return a name of its own for each installation of this user."""
    digest = hashlib.sha256(os.fsencode(str(data_folder.absolute()).lower())).hexdigest()[:8]
    return f"scheduler-app-{digest}"


class DesktopEntry:
    """A file in the autostart folder (freedesktop.org's Desktop Application Autostart Specification)."""

    def __init__(self, name: str) -> None:
        configuration = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        self._file = Path(configuration) / "autostart" / f"{name}.desktop"

    def is_on(self) -> bool:
        """Tell whether it is there, and not switched off by the desktop's own settings."""
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return False
        off = {"hidden=true", "x-gnome-autostart-enabled=false"}
        return not any(line.replace(" ", "").lower() in off for line in lines)

    def switch_on(self, argv: Sequence[str]) -> None:
        command = " ".join(_quoted(argument) for argument in argv)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(
            "[Desktop Entry]\nType=Application\nName=Scheduler\nComment=Runs jobs on a schedule\n"
            f"Exec={command}\nTerminal=false\n",
            encoding="utf-8",
        )

    def switch_off(self) -> None:
        self._file.unlink(missing_ok=True)


class LaunchAgent:
    """A property list in the user's LaunchAgents, which launchd reads at login (launchd.plist(5))."""

    def __init__(self, name: str) -> None:
        self._label = f"local.{name}"
        self._file = Path.home() / "Library" / "LaunchAgents" / f"{self._label}.plist"

    def is_on(self) -> bool:
        return self._file.exists()

    def switch_on(self, argv: Sequence[str]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        content = {"Label": self._label, "ProgramArguments": list(argv), "RunAtLoad": True}
        self._file.write_bytes(plistlib.dumps(content))

    def switch_off(self) -> None:
        self._file.unlink(missing_ok=True)


def _quoted(argument: str) -> str:
    escaped = "".join(f"\\{letter}" if letter in _ESCAPED else letter for letter in argument)
    # The value is a string, in which a backslash is written twice; a percent sign begins a field code.
    return '"' + escaped.replace("\\", "\\\\").replace("%", "%%") + '"'
