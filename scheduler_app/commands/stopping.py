"""Stopping the running supervisor and waiting until it has really gone."""

import threading
import time
from collections.abc import Callable

import psutil

from scheduler_app.config import Config
from scheduler_app.paths import Paths
from scheduler_app.supervisor.control import NotRunningError, ask
from scheduler_app.supervisor.service import SupervisorError

LOOK_INTERVAL = 0.1
SLOW_STOP = 1.0
STOP_MARGIN = 60.0
"""Seconds beyond the worker's own limit that all the rest, kills included, may take."""

ENDING = frozenset({"stopping", "insisting", "killing"})

_look_again = threading.Event()
"""Never set: nobody hurries this wait but Ctrl-C."""


def stop_all(config: Config, tell: Callable[[str], None], *, now: bool = False) -> None:
    """Ask for a stop and return when the supervisor has ended; raise NotRunningError when there is none.

    *now* does not let running jobs finish: they are interrupted, and run again where their schedule says so.
    """
    paths = Paths.of(config)
    pid = int(ask(paths, {"do": "status"})["pid"])
    ask(paths, {"do": "stop"})
    if now:
        ask(paths, {"do": "stop"})
    asked = time.monotonic()
    told: set[str] = set()
    while _is_alive(pid):
        waited = time.monotonic() - asked
        if waited > config.worker.stop_limit + STOP_MARGIN:
            raise SupervisorError(
                f"cannot stop the scheduler: process {pid} is still there after {waited:.0f} s; "
                f"see {paths.logs / 'supervisor.log'}"
            )
        if waited > SLOW_STOP:
            for name in sorted(_ending(paths) - told):
                tell(f"Waiting for {name} to end …")
                told.add(name)
        _look_again.wait(LOOK_INTERVAL)


def _ending(paths: Paths) -> set[str]:
    try:
        services = ask(paths, {"do": "status"})["services"]
    except NotRunningError:
        return set()
    return {service["name"] for service in services if service["state"] in ENDING}


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
