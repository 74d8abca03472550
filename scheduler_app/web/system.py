"""What this installation is: versions, places, database, broker, and the configuration in force, secrets masked."""

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from beat_config.readable import text
from jobs import services
from jobs.keeping import limits
from scheduler_app.config import Config, masked

PACKAGES = ("scheduler-app", "django", "django-unfold", "django-celery-beat", "celery", "kombu")


@require_safe
@permission_required("jobs.view_service", raise_exception=True)
def system(request: HttpRequest) -> HttpResponse:
    """Show it, as a table and as text to copy."""
    config: Config = settings.SCHEDULER
    parts = {"Versions": versions(), "Places": places(config), "Now": now_running(), "History is kept": kept(config)}
    settings_ = [(name, text(shown.value), shown.origin) for name, shown in masked(config).items()]
    lines = [f"{name}: {value}" for facts in parts.values() for name, value in facts.items()]
    lines += [f"{name} = {value} ({origin})" for name, value, origin in settings_ if origin != "default"]
    context = {
        **admin.site.each_context(request),
        "title": "System",
        "parts": parts,
        "settings": settings_,
        "file": config.source or settings.SCHEDULER_PATHS.data / "scheduler.toml",
        "text": "\n".join(lines),
    }
    return render(request, "web/system.html", context)


def versions() -> Mapping[str, str]:
    found = {package: version(package) for package in PACKAGES}
    with connection.cursor() as cursor:
        cursor.execute("SELECT sqlite_version()" if connection.vendor == "sqlite" else "SHOW server_version")
        row = cursor.fetchone()
    database = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(connection.vendor, connection.vendor)
    return {**found, "Python": sys.version.split()[0], database: str(row[0]), "System": platform.platform()}


def places(config: Config) -> Mapping[str, str]:
    paths = settings.SCHEDULER_PATHS
    name = connection.settings_dict
    server = f"{name['HOST']}:{name['PORT'] or 'default port'}/" if name.get("HOST") else ""
    return {
        "Data folder": str(paths.data),
        "Folder of own jobs": str(paths.jobs),
        "Logs": str(paths.logs),
        "Configuration": str(config.source or "no file"),
        "Database": f"{server}{name['NAME']}",
        "Message broker": _broker(config),
        "Time zone": settings.TIME_ZONE,
    }


def now_running() -> Mapping[str, str]:
    now = timezone.now()
    return {
        f"{service.get_kind_display()} on {service.host}": f"process {service.pid}, since "
        f"{timezone.localtime(service.started_at):%Y-%m-%d %H:%M:%S}"
        for service in services.alive(now).order_by("kind", "host", "pid")
    } or {"Services": "none has given a sign of life lately"}


def kept(config: Config) -> Mapping[str, str]:
    most = limits()
    return {
        "For": f"{most.age.days} days",
        "Of each schedule": f"{most.runs_per_schedule:,} runs",
        "Output of all runs": f"{most.output / 1e6:,.0f} MB",
        "Held back for a full disk": f"{config.retention.ballast / 1e6:,.0f} MB",
    }


def _broker(config: Config) -> str:
    """Return where messages go, without user and password."""
    if config.broker.url is None:
        return f"{config.broker.kind} (no address is configured)"
    address = urlsplit(config.broker.url.reveal())
    return urlunsplit((address.scheme, address.netloc.rpartition("@")[2], address.path, "", ""))
