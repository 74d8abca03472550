"""Small real services for the supervisor's tests: programs that behave well or badly, and a supervisor around them."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from scheduler_app.supervisor.loop import Supervisor
from scheduler_app.supervisor.output import RotatingFile
from scheduler_app.supervisor.service import BrokerInUse, Service, ServiceSet
from scheduler_app.supervisor.states import Limits
from tests.waiting import wait_until

TIMEOUT = 20.0

# Each program is told its folder, and says there that it is ready by a file with the name of its launch.
PRELUDE = """
import os, signal, subprocess, sys, threading, time
from pathlib import Path
folder = Path(sys.argv[1])
def ready():
    (folder / os.environ["SCHEDULER_SERVICE_ID"]).touch()
def serve():
    ready()
    for line in sys.stdin:
        if line.strip() == "stop":
            break
def sleep_for_ever():
    while True:
        time.sleep(60)
"""

PROGRAMS = {
    "serves": "print('up', flush=True); serve(); print('down', flush=True)",
    "crashes": "print('\\n'.join(f'line {n}' for n in range(30)), flush=True); sys.exit(3)",
    "crashes until told": "serve() if (folder / 'repaired').exists() else sys.exit(3)",
    "is never ready": "print('thinking', flush=True); sys.stdin.readline()",
    "ignores everything": "signal.signal(signal.SIGTERM, signal.SIG_IGN); ready(); sleep_for_ever()",
    "stops when asked twice": "ready(); sys.stdin.readline(); sys.stdin.readline(); (folder / 'twice').touch()",
    "stops slowly": "serve(); (folder / 'asked').touch()\nwhile not (folder / 'may end').exists(): time.sleep(0.05)",
    "forks and crashes": (
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "(folder / 'grandchild').write_text(str(p.pid)); ready(); sys.stdin.readline(); os._exit(9)"
    ),
    "prints without end": "ready()\nwhile True: os.write(1, b'x' * 99 + b'\\n')",
    "prints one endless line": "ready()\nwhile True: os.write(1, b'x' * 65536)",
    "shows its pulse": (
        "from scheduler_app import pulse\npulse.INTERVAL = 0\n"
        "threading.Thread(target=lambda: (sys.stdin.readline(), os._exit(0)), daemon=True).start(); ready()\n"
        "while True: pulse.show(); time.sleep(0.02)"
    ),
    "succeeds": "print('done', flush=True)",
    "fails": "print('the database is from a newer version', file=sys.stderr); sys.exit(1)",
}

QUICK = Limits(ready=10, stop=5, insist=5, kill=5, healthy=30, backoff_first=0.05, backoff_cap=0.1, failed_retry=None)


class Supervised:
    """A supervisor in a thread, with what tests ask about it."""

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        self.supervisor = supervisor
        self.folder = folder
        self.thread = threading.Thread(target=supervisor.run, name="supervisor")
        self.thread.start()

    def snapshot(self) -> dict[str, Any]:
        return self.supervisor.snapshot()

    def service(self, name: str) -> dict[str, Any]:
        return next(service for service in self.snapshot()["services"] if service["name"] == name)

    def wait_for(self, name: str, state: str) -> dict[str, Any]:
        def in_state() -> dict[str, Any] | None:
            service = self.service(name)
            return service if service["state"] == state else None

        return wait_until(in_state, TIMEOUT, f"{name} {state}")

    def wait_for_overall(self, state: str) -> dict[str, Any]:
        def in_state() -> dict[str, Any] | None:
            snapshot = self.snapshot()
            return snapshot if snapshot["state"] == state else None

        return wait_until(in_state, TIMEOUT, f"everything {state}")

    def wait_for_file(self, name: str) -> Path:
        path = self.folder / name
        wait_until(path.exists, TIMEOUT, f"the file {name}")
        return path

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self) -> None:
        self.supervisor.request_stop("the test ends")
        self.join()

    def join(self) -> None:
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive(), "the supervisor has not ended"


def program(folder: Path, behaviour: str, name: str = "one", **options: Any) -> Service:
    """Return a service that behaves as PROGRAMS says."""
    argv = (sys.executable, "-c", PRELUDE + PROGRAMS[behaviour], str(folder))
    runs_once = options.get("limits", QUICK).runs_once
    probe = None if runs_once else lambda instance: (folder / instance).exists()
    options = {"step": f"Starting {name}", "environment": dict(os.environ), "probe": probe, "limits": QUICK, **options}
    return Service(name=name, argv=argv, **options)


def service_set(*services: Service, without: Callable[[str], ServiceSet] | None = None) -> ServiceSet:
    return ServiceSet(services, BrokerInUse("embedded", "for a test"), without)


@contextmanager
def supervised(folder: Path, services: ServiceSet, *, max_size: int = 1_000_000) -> Iterator[Supervised]:
    """Run *services*; afterwards nothing may be left of them."""
    before = set(psutil.Process().children(recursive=True))
    supervisor = Supervisor(
        services, open_log=lambda name: RotatingFile(folder / f"{name}.log", max_size=max_size, keep=2), about={}
    )
    running = Supervised(supervisor, folder)
    try:
        yield running
    finally:
        for _ in range(3):
            supervisor.request_stop("the test ends")
        running.thread.join(TIMEOUT)
        left = [process for process in psutil.Process().children(recursive=True) if process not in before]
        for process in left:
            with suppress(psutil.Error):
                process.kill()
    assert not running.thread.is_alive(), "the supervisor has not ended"
    assert left == []
