"""A genuine Windows Python under wine, made by packaging/test.py, and an installation of the program in it."""

import json
import os
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
HOME = ROOT / ".venv-test-wine"
PYTHON = HOME / "python" / "python.exe"
COMMAND_LIMIT = 300.0
"""Seconds; a start takes twenty on a quiet machine, and several times that on a busy one."""
LAST_WORDS = 1.0


def environment(**variables):
    """Return what a Windows program gets: nothing of this Python, nothing of a display."""
    foreign = ("SCHEDULER_", "DJANGO_", "PYTHON", "WINE", "DISPLAY", "WAYLAND_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | json.loads((HOME / "environment.json").read_text(encoding="utf-8")) | variables


def server(option):
    """Call wine's own server with *option*; return its exit code, 2 where there was none to end."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(["wineserver", option], env=environment(), check=False, **quiet).returncode


def windows_path(path):
    return "Z:" + str(path).replace("/", "\\")


class Program:
    """A Windows program with its output in memory. Only pipes: what it writes to a Unix file, wine mixes up."""

    def __init__(self, *arguments, env, stdin=subprocess.DEVNULL):
        self._received = []
        self.process = subprocess.Popen(
            ["wine", str(PYTHON), *arguments],
            env=env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with suppress(OSError, ValueError):  # end() has closed it
            while received := self.process.stdout.read(4096):
                self._received.append(received)

    @property
    def output(self):
        return b"".join(self._received).decode().replace("\r\n", "\n")

    def wait(self, limit=COMMAND_LIMIT):
        """Return the exit code, when the last line has been read."""
        code = self.process.wait(limit)
        # No longer than a moment: under wine, what it left running still holds the pipe.
        self._reader.join(LAST_WORDS)
        return code

    def end(self):
        self.process.kill()
        self.process.wait()
        self._reader.join(LAST_WORDS)
        self.process.stdout.close()


class Inside:
    """Calls the functions of inside.py in one process that stays."""

    def __init__(self, env):
        script = windows_path(Path(__file__).with_name("inside.py"))
        self._process = subprocess.Popen(
            ["wine", str(PYTHON), script],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._complaints = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self):
        self._complaints.extend(self._process.stderr)

    def __getattr__(self, name):
        def call(**arguments):
            self._process.stdin.write(json.dumps([name, arguments]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
            assert line, f"the Windows side ended while it was asked for {name}: {''.join(self._complaints)}"
            reply = json.loads(line)
            assert "error" not in reply, reply
            return reply["answer"]

        return call

    def close(self):
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self._process.stdout.close()
        self._process.stderr.close()


class Installation:
    """The program with a data folder of its own, as a Windows user has it."""

    def __init__(self, data, port, toml=""):
        self.data = data
        self.port = port
        (data / "jobs").mkdir(parents=True)
        (data / "scheduler.toml").write_text(
            f'[broker]\nkind = "embedded"\n[web]\nport = {port}\n{toml}', encoding="utf-8"
        )
        self.environment = environment(SCHEDULER_DATA_FOLDER=windows_path(data))

    def __call__(self, *arguments, code=0):
        """Run one command to its end and return its output."""
        program = self.program(*arguments)
        try:
            assert program.wait() == code, program.output
        finally:
            program.end()
        return program.output

    def program(self, *arguments):
        return Program("-m", "scheduler_app", *arguments, env=self.environment)

    def start(self):
        said = self("start", "--headless")
        assert "Ready: " in said, said

    @property
    def supervisor(self):
        return json.loads((self.data / "run" / "supervisor.json").read_text(encoding="utf-8"))["pid"]

    @contextmanager
    def inside(self):
        inside = Inside(self.environment | {"DJANGO_SETTINGS_MODULE": "scheduler_app.settings"})
        try:
            yield inside
        finally:
            inside.close()


def wait_for_state(inside, run_id, states, limit):
    """Return the run when it is in one of *states*."""

    def look():
        (run,) = inside.runs(pk=run_id)
        return run if run["state"] in states else None

    return wait_until(look, limit, f"run {run_id} {' or '.join(states)}")


def still_grows(file, moment=1.0):
    """Tell whether *file* is being written: heartbeats come every 0.1 s."""
    size = file.stat().st_size
    deadline = time.monotonic() + moment
    while time.monotonic() < deadline:
        if file.stat().st_size != size:
            return True
        time.sleep(0.05)
    return False
