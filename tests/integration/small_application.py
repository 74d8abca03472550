"""A small application in place of Django and Celery, for the command line's tests: migrate, web and one worker.

Its processes run under scheduler_app.launch, so the lifeline is the real one. PYTHONPATH has this folder and a
sitecustomize.py that calls install(); SMALL_WORKER and SMALL_MIGRATE choose how they behave.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

SERVICE_ID = "SCHEDULER_SERVICE_ID"


def install():
    """Let a supervisor of this process run the small application."""
    from scheduler_app.supervisor import services

    services.application_services = small_services


def small_services(config, paths, environment, port):
    from scheduler_app.supervisor.readiness import http_ok, service_row
    from scheduler_app.supervisor.service import BrokerInUse, Service, ServiceSet
    from scheduler_app.supervisor.states import Limits

    def service(name, *arguments, **options):
        argv = (sys.executable, "-m", "scheduler_app.launch", "small_application", name, str(paths.data), *arguments)
        return Service(name, f"Starting {name}", argv, {**environment, **config.as_environment()}, **options)

    limits = Limits(backoff_first=0.05, backoff_cap=0.1, failed_retry=None)
    after_migrate = {"needs": frozenset({"migrate"}), "limits": limits}
    services = (
        service("migrate", limits=replace(limits, runs_once=True)),
        service("web", str(port), probe=http_ok("127.0.0.1", port, "/health/"), **after_migrate),
        service("worker-1", probe=service_row(None, paths.database), **after_migrate),
    )
    return ServiceSet(services, BrokerInUse("embedded", "for a test"))


def database(data):
    return sqlite3.connect(data / "scheduler.sqlite3", isolation_level=None)


def migrate(data):
    if os.environ.get("SMALL_MIGRATE") == "fails":
        sys.exit("cannot use the database: it is from a newer version")
    database(data).execute("CREATE TABLE IF NOT EXISTS jobs_service (instance text unique)")


def web(port):
    # Not above: the supervisor imports this module too, and its memory is measured.
    import http.server

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health/" else 404)
            self.end_headers()
            self.wfile.write(os.environ[SERVICE_ID].encode())

    http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()


def worker(data):
    behaviour = os.environ.get("SMALL_WORKER", "")
    if behaviour == "crashes":
        print("out of order")  # noqa: T201
        sys.exit(7)
    if behaviour == "ignores everything":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    database(data).execute("INSERT INTO jobs_service VALUES (?)", (os.environ[SERVICE_ID],))
    print("working", flush=True)  # noqa: T201
    while True:
        threading.Event().wait(60)


def main():
    name, data, *arguments = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if name == "migrate":
        migrate(Path(data))
    elif name == "web":
        web(int(arguments[0]))
    else:
        worker(Path(data))


if __name__ == "__main__":
    main()
