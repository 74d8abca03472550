"""Django and the database for verbs that work on them: no running scheduler is needed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import django

from scheduler_app.commands.problems import CommandProblem
from scheduler_app.config import Config


def use_django(config: Config) -> None:
    os.environ |= {"DJANGO_SETTINGS_MODULE": "scheduler_app.settings", **config.as_environment()}
    django.setup()


@contextmanager
def opened(config: Config) -> Iterator[None]:
    """Have Django use the database of *config*, which is made where there is none yet.

    Raises CommandProblem where it cannot be used, or is of another version: a scheduler of that one may be running.
    """
    use_django(config)
    from django.db import DatabaseError, connection  # noqa: PLC0415 - Django is set up by now

    try:
        if _is_new():
            _make()
        yield
    except DatabaseError as error:
        where = connection.settings_dict["NAME"]
        raise CommandProblem(
            f"cannot use the database {where}: {str(error).strip()}; scheduler-app doctor looks at the installation"
        ) from error
    finally:
        connection.close()


def _is_new() -> bool:
    """Tell whether the database holds nothing of ours; CommandProblem where it is of another version."""
    from django.db import connection  # noqa: PLC0415
    from django.db.migrations.loader import MigrationLoader  # noqa: PLC0415

    loader = MigrationLoader(connection)
    applied = set(loader.applied_migrations)
    known = set(loader.disk_migrations)
    where = connection.settings_dict["NAME"]
    if not applied:
        return True
    if newer := sorted((app, name) for app, name in applied - known if app in loader.migrated_apps):
        raise CommandProblem(
            f"cannot use the database {where}: a newer version of this program has changed it"
            f" ({'.'.join(newer[0])}); install that version again, or use another database"
        )
    if known - applied - set(loader.replacements):
        raise CommandProblem(
            f"cannot use the database {where}: it is of an older version of this program; scheduler-app restart"
            " brings it up to date"
        )
    return False


def _make() -> None:
    done = subprocess.run([sys.executable, "-m", "scheduler_app.migrate"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandProblem(done.stderr.strip())
