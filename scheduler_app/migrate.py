"""`python -m scheduler_app.migrate`: bring the database to this version's tables, or say why not."""

import os
import sys
from pathlib import Path

import django

EXIT_NEWER = 3


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_app.settings")
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 - Django is set up by now
    from django.db import DatabaseError, connection  # noqa: PLC0415
    from django.db.migrations.executor import MigrationExecutor  # noqa: PLC0415

    try:
        _only_for_its_owner(connection)
        executor = MigrationExecutor(connection)
        unknown = sorted(
            f"{app}.{name}"
            for app, name in executor.loader.applied_migrations
            if app in executor.loader.migrated_apps and (app, name) not in executor.loader.disk_migrations
        )
        if unknown:
            _say(
                f"cannot use the database {_name(connection)}: a newer version of this program has changed it"
                f" ({', '.join(unknown)}); install that version again, or use another database"
            )
            return EXIT_NEWER
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=1)
    except DatabaseError as error:
        _say(
            f"cannot use the database {_name(connection)}: {str(error).strip()};"
            " check database.url, and that the server runs and lets this user in"
        )
        return 1
    return 0


def _only_for_its_owner(connection: object) -> None:
    """Make SQLite's file before SQLite does, which would let others read it; its WAL gets the same permissions."""
    if connection.vendor == "sqlite":  # type: ignore[attr-defined]
        file = Path(connection.settings_dict["NAME"])  # type: ignore[attr-defined]
        if not file.exists():
            file.touch(mode=0o600)


def _name(connection: object) -> str:
    settings = connection.settings_dict  # type: ignore[attr-defined]
    host = f"{settings['HOST']}:{settings['PORT'] or 'default port'}/" if settings.get("HOST") else ""
    return f"{host}{settings['NAME']}"


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - the supervisor shows what is said here


if __name__ == "__main__":
    sys.exit(main())
