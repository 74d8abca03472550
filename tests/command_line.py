"""`scheduler-app` as somebody types it, as a process of its own."""

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class CommandLine:
    """The command with a data folder of its own, the embedded broker and SQLite."""

    def __init__(self, folder, **variables):
        self.data = folder / "data"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "DJANGO_SETTINGS_MODULE"):
            kept.pop(name, None)
        self.environment = {
            **kept,
            "SCHEDULER_DATA_FOLDER": str(self.data),
            "SCHEDULER_BROKER_KIND": "embedded",
            "SCHEDULER_SECURITY_KEY_STORE": "file",
            "SCHEDULER_WEB_PORT": str(free_port()),
            "USER": "anna",
            "LOGNAME": "anna",
            **variables,
        }

    def argv(self, *words):
        return [sys.executable, "-m", "scheduler_app", *words]

    def __call__(self, *words, code=0, given=None, **options):
        """Run one command to its end; return what it said on both streams."""
        done = subprocess.run(
            self.argv(*words),
            env=self.environment,
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words):
        return json.loads(self(*words, "--json").stdout)

    @contextmanager
    def started(self):
        """Have everything run in the background meanwhile."""
        self("start", "--headless", "--no-browser")
        try:
            yield self
        finally:
            self("stop", "--now")
