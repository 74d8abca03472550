"""`scheduler-app restore`: a backup in place of what is there, which is kept aside."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db.migrations.loader import MigrationLoader

from jobs.sealing import seal
from scheduler_app import platforms, secrets_key, sqlite
from scheduler_app.commands.backup_file import DATABASE, JOBS, BackupReader
from scheduler_app.commands.problems import CommandProblem
from scheduler_app.config import Config, load
from scheduler_app.paths import Paths
from scheduler_app.supervisor.instance import Instance

_CONFIGURATION, _SECRET_KEY = "scheduler.toml", "secret.key"
_NO_NEED = 1.1  # of the room that the files take


@dataclass(frozen=True, slots=True)
class Restored:
    made_at: str
    secrets: int
    aside: Path | None  # where what was there before is


def restore(config: Config, source: Path, passphrase: str, *, now: datetime) -> Restored:
    """Put the backup *source* in place of what is in the data folder of *config*.

    Everything is checked and unpacked beside it first. Raises CommandProblem, and AlreadyRunningError.
    """
    if config.database.url is not None:
        raise CommandProblem("cannot restore into a database of a server: take database.url out of the configuration")
    paths = Paths.of(config)
    paths.prepare()
    with Instance(paths), BackupReader(source) as backup:
        private = backup.private(passphrase)
        _refuse_newer(source, backup.manifest["migrations"])
        _require_room(paths.data, backup.size)
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=paths.data) as folder:
            staged = Path(folder)
            for name in backup.names:
                backup.extract(name, staged / name)
            (staged / JOBS).mkdir(mode=0o700, exist_ok=True)
            _write(staged / _CONFIGURATION, private["configuration"])
            _write(staged / _SECRET_KEY, private["secret_key"])
            restored = _configuration(staged / _CONFIGURATION, paths.data)
            _make_ready(staged / DATABASE, private["secrets"], restored)
            aside = paths.data / f"before-restore-{now:%Y%m%d-%H%M%S}"
            kept = _replace(_moves(staged, paths, Paths.of(restored)), aside)
        return Restored(backup.manifest["made_at"], len(private["secrets"]), aside if kept else None)


def _refuse_newer(source: Path, applied: list[str]) -> None:
    loader = MigrationLoader(None)
    known = {f"{app}.{name}" for app, name in loader.disk_migrations}
    if newer := sorted(each for each in applied if each not in known and each.split(".")[0] in loader.migrated_apps):
        raise CommandProblem(
            f"cannot restore {source}: a newer version of this program made it ({newer[0]}); install that version"
        )


def _require_room(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size * _NO_NEED:
        raise CommandProblem(
            f"cannot restore: it takes {size / 1e6:,.0f} MB in {folder}, which are not free; make room"
        )


def _write(path: Path, text: str | None) -> None:
    if text is not None:
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")


def _configuration(file: Path, data: Path) -> Config:
    """Return the configuration as it will be; ConfigError where it cannot be used here."""
    return load(file if file.exists() else Path(os.devnull), data)


def _make_ready(database: Path, secrets: Mapping[str, str], config: Config) -> None:
    """Look whether *database* is whole, and encrypt the secrets in it with the key of this installation."""
    sqlite.use_safe_sqlite()
    import sqlite3  # noqa: PLC0415 - only now is it certain which SQLite this name means

    key = secrets_key.find_or_make(config, Paths.of(config)) if secrets else None
    try:
        with contextlib.closing(sqlite3.connect(database)) as staged, staged:
            found = staged.execute("PRAGMA quick_check").fetchone()[0]
            if found != "ok":
                raise CommandProblem(f"cannot restore: the database in the backup is damaged ({found})")
            for name, value in secrets.items():
                assert key is not None  # noqa: S101 - there are secrets
                staged.execute(
                    "UPDATE jobs_secret SET sealed = ?, key_id = ? WHERE name = ?",
                    (seal(key.raw, name, value), key.id, name),
                )
    except sqlite3.DatabaseError as error:
        raise CommandProblem(f"cannot restore: the database in the backup cannot be read ({error})") from error
    platforms.restrict_to_owner(database)


def _moves(staged: Path, before: Paths, after: Paths) -> Iterator[tuple[Path | None, Path]]:
    """Yield what comes from where, None for nothing, and the place that it takes; the database last."""
    yield staged / JOBS, after.jobs
    yield _if_there(staged / _CONFIGURATION), before.data / _CONFIGURATION
    if secret_key := _if_there(staged / _SECRET_KEY):
        yield secret_key, before.secret_key
    for ending in ("-wal", "-shm"):  # of the former database: the new one must not read them
        yield None, before.database.with_name(before.database.name + ending)
    yield None, before.embedded_broker
    yield staged / DATABASE, before.database


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


def _replace(moves: Iterator[tuple[Path | None, Path]], aside: Path) -> bool:
    """Move what is there *aside* and the new in its place, all or none; tell whether there was anything."""
    done: list[tuple[Path, Path]] = []
    try:
        for new, place in moves:
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
            if place.exists():
                aside.mkdir(mode=0o700, exist_ok=True)
                _move(place, aside / place.name, done)
            if new is not None:
                _move(new, place, done)
    except OSError as error:
        for source, target in reversed(done):
            shutil.move(target, source)
        raise CommandProblem(
            f"cannot restore: {error.filename or 'a file'} cannot be moved ({error.strerror}); all is as before"
        ) from error
    return aside.exists()


def _move(source: Path, target: Path, done: list[tuple[Path, Path]]) -> None:
    shutil.move(source, target)
    done.append((source, target))
