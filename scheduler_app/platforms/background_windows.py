"""What starts the program at log-on on Windows, and starts it again when it fails: a task of the Task Scheduler."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from scheduler_app.platforms.background import ask, insist

assert sys.platform == "win32"  # noqa: S101 - mypy skips the rest elsewhere

SCHTASKS = str(Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "schtasks.exe")
# learn.microsoft.com, "Task Scheduler Schema": without these limits a task ends after three days, or on battery.
TASK = """<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>Scheduler: runs jobs on a schedule</Description></RegistrationInfo>
  <Triggers><LogonTrigger><Enabled>true</Enabled><UserId>{user}</UserId></LogonTrigger></Triggers>
  <Principals>
    <Principal id="Author"><UserId>{user}</UserId><LogonType>InteractiveToken</LogonType></Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure><Interval>PT1M</Interval><Count>999</Count></RestartOnFailure>
  </Settings>
  <Actions Context="Author"><Exec><Command>{command}</Command><Arguments>{arguments}</Arguments></Exec></Actions>
</Task>
"""


class LogonTask:
    def __init__(self, name: str, user: str) -> None:
        self._name = name
        self._user = user

    def install(self, argv: Sequence[str]) -> str:
        content = TASK.format(
            user=escape(self._user), command=escape(argv[0]), arguments=escape(subprocess.list2cmdline(argv[1:]))
        )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "task.xml"
            file.write_text(content, encoding="utf-16")
            self._control("/Create", "/TN", self._name, "/XML", str(file), "/F")
        self._control("/Run", "/TN", self._name)
        return f"It runs as the task {self._name} from now on, and whenever you sign in."

    def remove(self) -> bool:
        if self.status() == "not installed":
            return False
        self._control("/Delete", "/TN", self._name, "/F")
        return True

    def status(self) -> str:
        done = ask(
            [SCHTASKS, "/Query", "/TN", self._name, "/FO", "CSV", "/NH"],
            encoding="oem",
            flags=subprocess.CREATE_NO_WINDOW,
        )
        if done.returncode != 0:
            return "not installed"
        return done.stdout.strip().rpartition(",")[2].strip('"').lower()

    def _control(self, *arguments: str) -> None:
        insist([SCHTASKS, *arguments], encoding="oem", flags=subprocess.CREATE_NO_WINDOW)
