"""What starts the program without anybody signing in, and keeps it running: systemd, or launchd on macOS.

Each writes its own system's file and has it take effect; `ServiceManagerError` says what the system said.
"""

import os
import plistlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from scheduler_app.platforms.background import ServiceManagerError, ask, insist

assert sys.platform != "win32"  # noqa: S101 - mypy skips the rest there

STOP_LIMIT = 90
"""Seconds for a clean stop; running jobs may finish in them."""
SYSTEM_UNITS = Path("/etc/systemd/system")
# systemd.service(5), "Command lines", and systemd.unit(5), "Specifiers".
_IN_UNITS = str.maketrans({"\\": "\\\\", '"': '\\"', "%": "%%", "$": "$$"})


class SystemdUnit:
    """A unit of the user's own systemd, or of the system's (systemd.unit(5))."""

    def __init__(self, name: str, *, system: bool) -> None:
        self._unit = f"{name}.service"
        self._system = system
        configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        self.file = (SYSTEM_UNITS if system else configuration / "systemd" / "user") / self._unit

    def install(self, argv: Sequence[str]) -> str:
        """Write the unit, start it, and have it started at boot (or, the user's, at login); return what to know."""
        _find("systemctl", "systemd does not run here; start it from what does, with: scheduler-app run --headless")
        _write(self.file, self._content(argv))
        self._control("daemon-reload")
        self._control("enable", "--now", self._unit)
        if self._system:
            return f"It runs as {self._unit} from now on, and after every boot."
        return (
            f"It runs as {self._unit} from now on, and whenever you sign in; `loginctl enable-linger` has it run"
            " from boot on, and after you sign out."
        )

    def remove(self) -> bool:
        """Stop it and take the unit away; False when there is none."""
        if not self.file.exists():
            return False
        self._control("disable", "--now", self._unit)
        self.file.unlink()
        self._control("daemon-reload")
        return True

    def status(self) -> str:
        """Return systemd's own word: active, inactive, failed, …; "not installed" where there is no unit."""
        if not self.file.exists():
            return "not installed"
        _find("systemctl", "systemd does not run here")
        done = ask(["systemctl", *self._scope(), "is-active", self._unit])
        return done.stdout.strip() or done.stderr.strip()

    def _control(self, *arguments: str) -> None:
        insist(["systemctl", *self._scope(), *arguments])

    def _scope(self) -> list[str]:
        return [] if self._system else ["--user"]

    def _content(self, argv: Sequence[str]) -> str:
        command = " ".join(f'"{argument.translate(_IN_UNITS)}"' for argument in argv)
        user = f"User={os.getuid()}\n" if self._system else ""
        return (
            "[Unit]\nDescription=Scheduler: runs jobs on a schedule\nAfter=network.target\n\n"
            # Only the supervisor is asked to stop, and it stops the others in their order.
            f"[Service]\nType=exec\n{user}ExecStart={command}\nKillMode=mixed\nTimeoutStopSec={STOP_LIMIT}\n"
            f"Restart=on-failure\nRestartSec=5\n\n"
            f"[Install]\nWantedBy={'multi-user.target' if self._system else 'default.target'}\n"
        )


class LaunchdAgent:
    """An agent of the user's launchd, kept alive (launchd.plist(5))."""

    def __init__(self, name: str) -> None:
        self._label = f"local.{name}.service"
        self.file = Path.home() / "Library" / "LaunchAgents" / f"{self._label}.plist"

    def install(self, argv: Sequence[str]) -> str:
        content = {
            "Label": self._label,
            "ProgramArguments": list(argv),
            "RunAtLoad": True,
            # Started again when it fails, not when it was asked to stop.
            "KeepAlive": {"SuccessfulExit": False},
            "ExitTimeOut": STOP_LIMIT,
        }
        _write(self.file, plistlib.dumps(content).decode())
        self._control("bootstrap", self._domain(), str(self.file))
        return f"It runs as {self._label} from now on, and whenever you sign in."

    def remove(self) -> bool:
        if not self.file.exists():
            return False
        self._control("bootout", f"{self._domain()}/{self._label}")
        self.file.unlink()
        return True

    def status(self) -> str:
        if not self.file.exists():
            return "not installed"
        return (
            "active" if ask(["launchctl", "print", f"{self._domain()}/{self._label}"]).returncode == 0 else "inactive"
        )

    def _domain(self) -> str:
        return f"gui/{os.getuid()}"

    def _control(self, *arguments: str) -> None:
        insist(["launchctl", *arguments])


def _find(program: str, otherwise: str) -> None:
    if shutil.which(program) is None:
        raise ServiceManagerError(f"cannot use {program}: {otherwise}")


def _write(file: Path, content: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ServiceManagerError(f"cannot write {file}: {error.strerror or error}") from error
