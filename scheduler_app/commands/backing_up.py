"""`scheduler-app backup`: everything in one file, while it runs."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from jobs import vault
from scheduler_app import sqlite
from scheduler_app.commands.backup_file import DATABASE, JOBS, BackupWriter, new_file
from scheduler_app.commands.problems import CommandProblem
from scheduler_app.config import Config
from scheduler_app.paths import Paths
from scheduler_app.supervisor.main import program_version

SHORTEST_PASSPHRASE = 8


@dataclass(frozen=True, slots=True)
class Made:
    size: int
    secrets: int
    job_files: int
    left_out: tuple[str, ...]  # why, of each


def back_up(config: Config, target: Path, passphrase: str) -> Made:
    """Write the backup *target*; raise CommandProblem where that cannot be."""
    if config.database.url is not None:
        raise CommandProblem(
            "cannot back up a database of a server: dump it by pg_dump, or the job back_up_postgresql, and keep"
            " scheduler.toml, secrets.key, secret.key and the jobs folder with it"
        )
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise CommandProblem(f"cannot use the passphrase: it has less than {SHORTEST_PASSPHRASE} characters")
    paths = Paths.of(config)
    unreadable, secrets = vault.unreadable(), vault.values()
    jobs = list(_job_files(paths.jobs))
    private = {
        "secrets": secrets,
        "secret_key": paths.secret_key.read_text(encoding="ascii") if config.security.key is None else None,
        "configuration": config.source.read_text(encoding="utf-8") if config.source is not None else None,
    }
    with (
        new_file(target) as file,
        tempfile.TemporaryDirectory(prefix=".backup-", dir=target.absolute().parent) as folder,
    ):
        copy = Path(folder, DATABASE)
        _copy_database(paths.database, copy)
        writer = BackupWriter(file)
        writer.add(DATABASE, copy)
        for name, source in jobs:
            writer.add(name, source)
        applied = sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())
        facts = {"program": program_version(), "made_at": timezone.now().isoformat(), "migrations": applied}
        writer.finish(facts, private, passphrase)
    left_out = tuple(dict.fromkeys(unreadable.values()))
    return Made(target.stat().st_size, len(secrets), len(jobs), left_out)


def _copy_database(database: Path, copy: Path) -> None:
    """Copy the database as it is at one moment; whoever writes to it meanwhile does not wait."""
    sqlite.use_safe_sqlite()
    import sqlite3  # noqa: PLC0415 - only now is it certain which SQLite this name means

    copy.touch(mode=0o600)
    with (
        contextlib.closing(sqlite3.connect(database, timeout=20)) as live,
        contextlib.closing(sqlite3.connect(copy)) as new,
    ):
        live.backup(new)
        new.execute("PRAGMA journal_mode = DELETE")


def _job_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of one's own jobs with their names in the backup; what Python makes of them is left out."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts:
            yield JOBS + path.relative_to(folder).as_posix(), path
