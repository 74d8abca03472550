"""An installation of its own for a test: data folder, database, and workers as people start them."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import closing, contextmanager
from pathlib import Path

from scheduler_app import embedded_queue
from tests.waiting import wait_until

# The module the program uses itself: two SQLite libraries in one process undo each other's file locks.
sqlite3 = embedded_queue.sqlite3
ROOT = Path(__file__).resolve().parent.parent
KEY = "the key of a test's installation, as long as one has to be"
READY, STOP = 60, 30


class Installation:
    """SQLite below *folder*; *broker* is the address of a RabbitMQ, None the embedded broker."""

    def __init__(self, folder, broker=None, **variables):
        self.folder = folder
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
        chosen = {"SCHEDULER_BROKER_URL": broker} if broker else {"SCHEDULER_BROKER_KIND": "embedded"}
        self.environment = {
            **clean,
            "DJANGO_SETTINGS_MODULE": "scheduler_app.settings",
            "SCHEDULER_DATA_FOLDER": str(folder),
            "SCHEDULER_SECURITY_KEY": KEY,
            **chosen,
            **variables,
        }
        self.broker = broker or f"embedded://{folder / 'broker.sqlite3'}"
        self._run("-m", "scheduler_app.migrate")

    def _run(self, *arguments):
        done = subprocess.run(
            [sys.executable, *arguments], env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def python(self, code):
        """Run *code* with Django set up; return what it prints."""
        return self._run("-c", "import django; django.setup()\n" + textwrap.dedent(code)).strip()

    def rows(self, statement, *values):
        with closing(sqlite3.connect(self.folder / "scheduler.sqlite3", timeout=20)) as database:
            return database.execute(statement, values).fetchall()

    @contextmanager
    def process(self, name, *command, **variables):
        """Have *command* run, a Python module and its arguments; end it as a service manager does."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=self.environment | variables,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            yield process
            assert process.poll() is None, f"{name} has ended: {log.read_text()[-3000:]}"
            process.send_signal(signal.SIGTERM)
            process.wait(STOP)
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def worker(self, name, *options, **variables):
        """Have a worker run; yield when it is ready."""
        before = self.services()
        command = ("celery", "-A", "scheduler_app", "worker", "--loglevel=INFO", f"--hostname={name}@%h", *options)
        with self.process(name, *command, **variables) as process:
            wait_until(lambda: process.poll() is not None or self.services() > before, READY, f"{name} is ready")
            assert process.poll() is None, f"{name} has ended: {self.log(name)[-3000:]}"
            yield process

    def services(self):
        return self.rows("SELECT count(*) FROM jobs_service")[0][0]

    def state(self, run_id):
        return self.rows("SELECT state FROM jobs_run WHERE id = ?", run_id)[0][0]

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()
