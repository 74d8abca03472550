"""One supervisor from lock to unlock: everything that surrounds the loop."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast, get_args

from scheduler_app.config import Config
from scheduler_app.paths import Paths
from scheduler_app.supervisor.control import ControlServer
from scheduler_app.supervisor.instance import Instance
from scheduler_app.supervisor.loop import Supervisor, Verb
from scheduler_app.supervisor.output import RotatingFile
from scheduler_app.supervisor.ports import choose_port, web_address
from scheduler_app.supervisor.readiness import database_kind
from scheduler_app.supervisor.service import ServiceSet, SupervisorError

STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Each means a clean stop, where the system knows it; a second one a quick stop."""

MakeServices = Callable[[Config, Paths, Mapping[str, str], int], ServiceSet]
Snapshot = Callable[[], dict[str, Any]]


def supervise(
    config: Config,
    environment: Mapping[str, str],
    make_services: MakeServices,
    *,
    on_start: Callable[[Snapshot], None] = lambda _snapshot: None,
    on_stop: Callable[[str], None] = lambda _reason: None,
) -> None:
    """Run the services of *config* until they are asked to stop. To be called in the main thread, for the signals.

    *on_start* is given the way to ask for snapshots, from another thread. Raises SupervisorError, AlreadyRunningError,
    FolderError or BrokerError; then no process is left.
    """
    paths = Paths.of(config)
    paths.prepare()
    with Instance(paths) as instance:
        port = choose_port(config.web.host, config.web.port, paths.web_port)
        url = web_address(config.web.host, port)
        database_url = config.database.url
        about = {
            "pid": os.getpid(),
            "started": time.time(),
            "url": url,
            "version": program_version(),
            "data_folder": str(paths.data),
            "database": database_kind(database_url.reveal() if database_url is not None else None),
        }

        def open_log(name: str) -> RotatingFile:
            return RotatingFile(paths.logs / f"{name}.log", max_size=config.logs.max_size, keep=config.logs.keep)

        services = make_services(config, paths, environment, port)
        supervisor = Supervisor(services, open_log=open_log, about=about, on_stop=on_stop)
        with stopped_by_signals(supervisor.request_stop), closing(ControlServer(paths, _answers(supervisor))):
            instance.announce(url)
            on_start(supervisor.snapshot)
            supervisor.run()
        if supervisor.problem:
            raise SupervisorError(supervisor.problem)


def program_version() -> str:
    """Return the installed version, from the name of its .dist-info folder."""
    # importlib.metadata would say the same, and its parsers of e-mail and zip files would stay in memory: 1.2 MB.
    for place in sys.path:
        for folder in Path(place).glob("scheduler_app-*.dist-info"):
            return folder.name.removeprefix("scheduler_app-").removesuffix(".dist-info")
    return "(from sources)"


@contextmanager
def stopped_by_signals(request_stop: Callable[[str], None]) -> Iterator[None]:
    """Turn the stop signals into calls of *request_stop*; outside the main thread there are none to turn."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in STOP_SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda received, _frame: request_stop(signal.Signals(received).name))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _answers(supervisor: Supervisor) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        verb, service = request.get("do"), request.get("service")
        if verb == "status":
            return supervisor.snapshot()
        if verb == "stop" and service is None:
            supervisor.request_stop("asked through the control channel")
            return {}
        if verb in get_args(Verb) and isinstance(service, str):
            supervisor.command(cast("Verb", verb), service)
            return {}
        raise SupervisorError(f"cannot do {verb!r}: known are status, stop, and start, stop or restart of one service")

    return answer
