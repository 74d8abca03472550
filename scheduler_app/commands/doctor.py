"""The check-up: one line for each thing that has to be right, and what to do where it is not.

Looks and changes nothing: what the first start will make is said, not made.
"""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scheduler_app import ballast, platforms, secrets_key, sqlite
from scheduler_app.broker import BrokerError, choose
from scheduler_app.config import Config, ConfigError, Secret, load
from scheduler_app.paths import Paths
from scheduler_app.secrets_key import KeyUnavailableError
from scheduler_app.supervisor.control import NotRunningError, ask
from scheduler_app.supervisor.service import SupervisorError

SUPPORTED = ((3, 11), (3, 13))
LITTLE_SPACE = 500_000_000
"""Bytes; RabbitMQ refuses messages when less than 200 MB are free."""


@dataclass(frozen=True, slots=True)
class Check:
    level: Literal["ok", "warning", "problem"]
    subject: str
    finding: str
    to_do: str = ""

    def __str__(self) -> str:
        advice = f"; {self.to_do}" if self.to_do else ""
        return f"{self.level:<8} {self.subject}: {self.finding}{advice}"


def check_up(config_file: Path | None, data_folder: Path | None) -> Iterator[Check]:
    """Yield the checks in an order in which each explains those that follow."""
    yield python_version(sys.version_info[:2])
    yield sqlite_version()
    try:
        config = load(config_file, data_folder)
    except ConfigError as error:
        for problem in error.problems:
            yield Check("problem", "Configuration", str(problem))
        return
    yield Check("ok", "Configuration", str(config.source or "defaults, no scheduler.toml"))
    paths = Paths.of(config)
    yield from data_folder_state(paths.data)
    yield broker_choice(config, paths)
    if config.broker.url is not None and config.broker.kind != "embedded":
        yield named_broker(config.broker.url)
    yield from job_files(paths.jobs)
    yield from secrets(config, paths)
    yield history(config, paths)
    yield from services(paths)


def python_version(version: tuple[int, ...]) -> Check:
    oldest, newest = SUPPORTED
    if oldest <= version <= newest:
        return Check("ok", "Python", f"{platform.python_version()} ({sys.executable})")
    supported = f"{oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}"
    return Check(
        "problem",
        "Python",
        f"{version[0]}.{version[1]} is not supported",
        f"make the virtual environment with Python {supported}",
    )


def sqlite_version() -> Check:
    sqlite.use_safe_sqlite()
    import sqlite3  # noqa: PLC0415  # only now is it certain which SQLite this name means

    if sqlite.is_affected(sqlite3.sqlite_version_info):
        return Check(
            "warning",
            "SQLite",
            f"{sqlite.describe()} can damage a database that several processes write (WAL-reset bug)",
            "install pysqlite3 into this environment, or use PostgreSQL (database.url)",
        )
    return Check("ok", "SQLite", sqlite.describe())


def data_folder_state(folder: Path) -> Iterator[Check]:
    subject = "Data folder"
    if not folder.exists():
        yield Check("ok", subject, f"{folder} does not exist yet; the first start makes it")
        return
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        reason = "cannot be written" if folder.is_dir() else "is a file, not a folder"
        yield Check("problem", subject, f"{folder} {reason}", "give it to your user, or choose another with --data")
        return
    free = shutil.disk_usage(folder).free
    if free < LITTLE_SPACE:
        yield Check("warning", subject, f"{folder} has {free // 1_000_000} MB left", "make room on its disk")
        return
    yield Check("ok", subject, str(folder))


def broker_choice(config: Config, paths: Paths) -> Check:
    if not paths.data.is_dir():
        return Check("ok", "Broker", "chosen at the first start", _rabbitmq_advice())
    try:
        choice = choose(config, paths)
    except BrokerError as error:
        return Check("problem", "Broker", str(error))
    except OSError as error:
        return Check("problem", "Broker", f"cannot be chosen: {error}", "see the data folder above")
    advice = _rabbitmq_advice() if choice.kind == "embedded" and config.broker.kind == "auto" else ""
    return Check("ok", "Broker", f"{choice.kind} ({choice.reason})", advice)


def named_broker(address: Secret) -> Check:
    """Log in to the broker of broker.url."""
    from scheduler_app.commands.named_broker import introduce  # noqa: PLC0415  # kombu, which no other check needs

    try:
        shown, product, version = introduce(address)
    except BrokerError as error:
        return Check("problem", "Broker", str(error), "check broker.url, and that the broker runs")
    if product != "RabbitMQ" or not platforms.is_supported_rabbitmq(version):
        to_do = f"use RabbitMQ {platforms.SUPPORTED_RABBITMQ}, nothing else has been tried"
        return Check("warning", "Broker", f"{shown} is {product} {version}".strip(), to_do)
    # AMQP cannot ask for it, and without the node's own tools nothing else can.
    to_do = (
        "for runs of more than half an hour raise its consumer_timeout, which is 30 minutes unless somebody changed"
        " it: the broker disconnects the worker then, and the run goes on all the same"
    )
    return Check("ok", "Broker", f"RabbitMQ {version} at {shown} lets us in", to_do)


def _rabbitmq_advice() -> str:
    if platforms.find_rabbitmq() is not None:
        return ""
    return f"for RabbitMQ: {platforms.rabbitmq_install_hint()}"


def job_files(folder: Path) -> Iterator[Check]:
    if not folder.is_dir():
        yield Check("ok", "Jobs", f"{folder} does not exist yet; built-in jobs only")
        return
    from jobs.discovery import discover  # noqa: PLC0415  # pydantic: half a second that no other check needs

    registry = discover(folder)
    for problem in registry.problems:
        yield Check("warning", "Jobs", f"{problem.file}: {problem.message}", "its jobs cannot run until it is repaired")
    if not registry.problems:
        yield Check("ok", "Jobs", f"{len(registry)} known, own ones in {folder}")


def secrets(config: Config, paths: Paths) -> Iterator[Check]:
    try:
        key = secrets_key.find(config, paths)
    except KeyUnavailableError as error:
        yield Check("problem", "Secrets", str(error))
        return
    if key is not None:
        yield Check("ok", "Secrets", f"encrypted with a key {secrets_key.in_words(key.place, paths)}")
    if config.database.url is None and not paths.database.exists():
        return
    os.environ |= {"DJANGO_SETTINGS_MODULE": "scheduler_app.settings", **config.as_environment()}
    import django  # noqa: PLC0415 - half a second that no other check needs

    django.setup()
    from django.db import DatabaseError  # noqa: PLC0415 - Django is set up by now

    from jobs import secret_check, vault  # noqa: PLC0415

    try:
        unreadable, finding = vault.unreadable(), secret_check.check()
    except (DatabaseError, OSError) as error:
        yield Check("problem", "Secrets", f"cannot look into the database: {error}")
        return
    if key is None and not unreadable:
        yield Check("ok", "Secrets", "none yet; the first one makes a key")
        return
    for reason in dict.fromkeys(unreadable.values()):
        yield Check("warning", "Secrets", reason, "runs that need it fail until then")
    if finding.found:
        yield Check("warning", "Secrets", str(finding), "give them other values, at their origin, too")
    else:
        yield Check("ok", "Secrets", str(finding))


def history(config: Config, paths: Paths) -> Check:
    kept = config.retention
    number, output = f"{kept.runs_per_schedule:,} runs of a schedule", f"{kept.output / 1e6:,.0f} MB of output"
    full = ballast.problem(paths.ballast, kept.ballast) if config.database.url is None and paths.data.is_dir() else ""
    if full:
        return Check("problem", "History", full)
    return Check("ok", "History", f"kept for {kept.days} days, {number}, {output}")


def services(paths: Paths) -> Iterator[Check]:
    try:
        snapshot = ask(paths, {"do": "status"})
    except NotRunningError:
        yield Check("warning", "Services", "not running", "`scheduler-app start` starts them")
        return
    except SupervisorError as error:
        yield Check("problem", "Services", str(error))
        return
    for service in snapshot["services"]:
        yield _service(service)


def _service(service: dict[str, Any]) -> Check:
    subject = f"Service {service['name']}"
    if service["state"] in ("ready", "done"):
        return Check("ok", subject, service["state"])
    if service["state"] == "failed":
        see = f"`scheduler-app logs {service['name']}` shows why"
        return Check("problem", subject, service["reason"], see)
    return Check("warning", subject, f"{service['state']} {service['reason']}".strip())
