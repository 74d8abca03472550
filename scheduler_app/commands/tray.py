"""The tray icon from the command line: in the foreground, or beside what `run` and `start` began."""

import os
import signal
import subprocess
from pathlib import Path

from scheduler_app import platforms
from scheduler_app.commands.problems import CommandProblem
from scheduler_app.config import Config
from scheduler_app.paths import Paths


class TrayError(CommandProblem):
    """The icon cannot be shown; str() says why."""


def show_tray(config: Config, *, start: bool) -> None:
    """Show the icon until the person quits, the session ends or the process gets SIGTERM. Raises TrayError."""
    from scheduler_app.desktop.icons import NoDesktopError  # noqa: PLC0415 - `status` needs no Pillow
    from scheduler_app.desktop.tray import Tray, TrayRunningError  # noqa: PLC0415 - as above

    Paths.of(config).prepare()
    try:
        tray = Tray(config, start=start)
        signal.signal(signal.SIGTERM, lambda _number, _frame: tray.quit())
        tray.run()
    except (NoDesktopError, TrayRunningError) as error:
        raise TrayError(str(error)) from error


def launch_tray(config: Config) -> "subprocess.Popen[bytes] | None":
    """Show the icon in a process of its own, where there is a display; None where there is none.

    One that is shown already stays, and the new one ends by itself.
    """
    if not platforms.has_display():
        return None
    argv = [platforms.windowless_python(), "-m", "scheduler_app", "tray"]
    with Path(Paths.of(config).logs / "tray.log").open("ab") as output:
        return platforms.spawn_detached(argv, env={**os.environ, **config.as_environment()}, output=output)
