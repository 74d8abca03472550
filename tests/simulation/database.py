"""A real SQLite file, a connection of its own for every simulated thread, and a hook at every call of it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TABLES = (
    "jobs_service", "beat_config_timezonedata", "beat_config_schedulepolicy_blackouts", "beat_config_blackout",
    "jobs_runoutput", "jobs_run", "beat_config_schedulepolicy", "django_celery_beat_periodictask",
    "django_celery_beat_periodictasks", "django_celery_beat_intervalschedule", "django_celery_beat_crontabschedule",
    "django_celery_beat_clockedschedule", "django_celery_beat_solarschedule", "sqlite_sequence",
)  # fmt: skip


class SimulatedCrash(BaseException):
    """The simulated process was killed here."""


@contextmanager
def installation() -> Iterator[Path]:
    """Set Django up on a data folder of its own; yield the path of a migrated database file to copy."""
    folder = Path(tempfile.mkdtemp(prefix="scheduler-simulation-"))
    for name in [name for name in os.environ if name.startswith("SCHEDULER_")]:
        del os.environ[name]
    os.environ |= {
        "SCHEDULER_DATA_FOLDER": str(folder / "data"),
        "SCHEDULER_BROKER_KIND": "embedded",
        "SCHEDULER_GENERAL_TIME_ZONE": "Europe/Berlin",
        "SCHEDULER_LOGS_LEVEL": "error",
        "DJANGO_SETTINGS_MODULE": "scheduler_app.settings",
    }
    try:
        import django

        django.setup()
        import logging

        from django.core.management import call_command
        from django.db import connection

        # A simulated fault is the normal case here; what matters is in the trace.
        logging.disable(logging.CRITICAL)
        call_command("migrate", interactive=False, verbosity=0)
        template = Path(connection.settings_dict["NAME"])
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        yield template
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Database:
    """One file, wiped between seeds."""

    def __init__(self, template: Path, folder: Path) -> None:
        self.path = folder / "simulation.sqlite3"
        shutil.copy(template, self.path)
        self.observer = self.connect(None)

    def connect(self, hooks, clock=None):
        """Return a new connection, as a thread of a process would have it; *hooks* sees each call (see Slot)."""
        from django.db import connections
        from django.db.backends.sqlite3.base import DatabaseWrapper

        class Connection(DatabaseWrapper):
            def _commit(self):
                if hooks is None or self.connection is None:
                    return super()._commit()
                try:
                    hooks.before_commit()
                except SimulatedCrash:
                    # Django's way out would commit: leaving a transaction open while switching autocommit on does.
                    self.connection.rollback()
                    raise
                result = super()._commit()
                hooks.committed()
                return result

            @property
            def is_like_new(self):
                """Opening another takes as long as some ten statements."""
                open_still = self.in_atomic_block or self.needs_rollback or self.connection.in_transaction
                return not open_still and self.get_autocommit()

        pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA foreign_keys=ON;"
        base = connections.settings["default"]
        made = Connection(
            {**base, "NAME": str(self.path), "OPTIONS": {**base["OPTIONS"], "init_command": pragmas}}, "default"
        )
        if hooks is not None:
            made.execute_wrappers.append(hooks.call)
        made.ensure_connection()
        if clock is not None:  # what the SQL triggers and the columns' defaults call "now"
            made.connection.create_function("strftime", 2, lambda _form, _now: f"{clock():%Y-%m-%d %H:%M:%S.%f}")
        return made

    def wipe(self) -> None:
        raw = self.observer.connection
        raw.execute("PRAGMA foreign_keys=OFF")
        for table in TABLES:
            raw.execute(f"DELETE FROM {table}")
        raw.execute("PRAGMA foreign_keys=ON")

    def close(self) -> None:
        self.observer.close()
