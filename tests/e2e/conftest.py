"""The program as people get it: a wheel in an empty environment, started by its own command, used in a browser."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests import processes, servers
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")
READY_TIMEOUT = 60.0
# As root, in containers, and without a network of its own, Chromium needs to be told.
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass
class System:
    """A running `scheduler-app run` and what it said."""

    process: subprocess.Popen
    lines: list[str]
    address: str
    sign_in: str
    data: Path

    def stop(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        with self.process.stdout:
            self.process.send_signal(signal.SIGINT)
            return self.process.wait(30)


@pytest.fixture(scope="session", autouse=True)
def _database_beside_playwright():
    """Let tests use the database while a browser is open: Django takes playwright's event loop for a view of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """The folder of the programs of an environment that holds our wheel and what it needs, and nothing else of ours."""
    folder = tmp_path_factory.mktemp("installed")
    programs = folder / "venv" / "bin"
    do(sys.executable, *PIP, "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("scheduler_app-*.whl")
    do(sys.executable, "-m", "venv", folder / "venv")
    do(programs / "python", *PIP, "install", wheel)
    return programs


def do(*command: object) -> None:
    """Run *command*; fail with all it said when it does not succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def start(installed, tmp_path):
    """Start the installed program: start(environment…) gives a System; all are stopped, and must leave no process."""
    systems = []

    def run(**environment: str) -> System:
        data = tmp_path / "data"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SCHEDULER_", "DJANGO_"))}
        process = subprocess.Popen(
            [installed / "scheduler-app", "run", "--headless", "--data", data],
            env=clean | environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        system = until_ready(process, data)
        systems.append(system)
        return system

    yield run
    for system in systems:
        with system.process.stdout:
            if system.process.poll() is None:
                family = processes.family(system.process.pid)
                assert system.stop() == 0, "\n".join(system.lines)
                assert [child for child in family if not processes.is_gone(child)] == []


def until_ready(process: subprocess.Popen, data: Path, timeout: float = READY_TIMEOUT) -> System:
    lines: list[str] = []
    said: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout:
            lines.append(line.rstrip())
            said.put(line)
        said.put(None)

    threading.Thread(target=read, daemon=True).start()
    found = {}

    def both() -> bool:
        while not said.empty():
            line = said.get()
            assert line is not None, "it ended:\n" + "\n".join(lines)
            if match := re.match(r"(Ready|Sign in): (\S+)", line):
                found[match[1]] = match[2]
        return len(found) == 2

    wait_until(both, timeout, "the program says that it is ready")
    return System(process, lines, found["Ready"].rstrip("/"), found["Sign in"], data)


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=servers.chromium(), args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A fresh window; anything the page complains about (scripts, the content security policy) fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    complaints = page.complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_default_timeout(15_000)
    yield page
    context.close()
    assert complaints == []
