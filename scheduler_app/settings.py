"""Django's settings, out of the one Config; importing this module reads the configuration."""

import hashlib
import importlib.util
import sys
from datetime import timedelta
from pathlib import Path

import dj_database_url
from tzlocal import get_localzone_name

from scheduler_app import sqlite
from scheduler_app.config import Config, ConfigError, Problem, load
from scheduler_app.paths import Paths, secret_key
from scheduler_app.web.appearance import UNFOLD

__all__ = ["UNFOLD"]


def _add_apps_of_others(config: Config) -> None:
    """Make the apps of celery.apps importable; ConfigError names one that is not there."""
    if config.celery.path is not None:
        sys.path.append(str(config.celery.path))
    where = config.origins.get("celery.apps", "")
    missing = [app for app in config.celery.apps if importlib.util.find_spec(app.partition(".")[0]) is None]
    if missing:
        raise ConfigError(
            Problem(
                where,
                f"cannot use celery.apps = {app!r}: there is no such package; correct it, install it into this "
                "environment, or name the folder it is in as celery.path",
            )
            for app in missing
        )


# Before anything imports Django's SQLite back-end.
sqlite.use_safe_sqlite()

SCHEDULER: Config = load()
SCHEDULER_PATHS = Paths.of(SCHEDULER)
SCHEDULER_PATHS.prepare()

_add_apps_of_others(SCHEDULER)

SECRET_KEY = secret_key(SCHEDULER, SCHEDULER_PATHS)
DEBUG = False

# Exact names: the admin listens on loopback, and any other Host header is somebody's DNS trick.
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", *SCHEDULER.web.allowed_hosts]
if SCHEDULER.web.host not in {"0.0.0.0", "::"}:  # noqa: S104 - "everywhere" is no name to be asked by
    ALLOWED_HOSTS.append(SCHEDULER.web.host)
# Cookies do not tell ports apart: without names of their own, two installations sign each other out.
_INSTALLATION = hashlib.sha256(str(SCHEDULER_PATHS.data).encode()).hexdigest()[:8]

INSTALLED_APPS = [
    "scheduler_app.web.apps.WebConfig",  # first: its start page takes the place of Unfold's
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin.apps.SimpleAdminConfig",  # urls.py finds the pages: beat and workers do without them
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "jobs.apps.JobsConfig",
    "beat_config.apps.BeatConfig",
    *SCHEDULER.celery.apps,
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "scheduler_app.web.middleware.SecurityHeaders",
    "scheduler_app.api.problems.Problems",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "scheduler_app.urls"
WSGI_APPLICATION = "scheduler_app.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def _database() -> dict[str, object]:
    url = SCHEDULER.database.url
    if url is not None and not url.reveal().startswith("sqlite:"):
        return {**dj_database_url.parse(url.reveal(), conn_max_age=60, conn_health_checks=True)}
    name = dj_database_url.parse(url.reveal())["NAME"] if url is not None else SCHEDULER_PATHS.database
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            # A transaction that starts by reading and then writes fails at once when somebody wrote in
            # between, however long the time-out: so each takes the write lock when it begins.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
        },
    }


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en-us"
USE_I18N = True
USE_TZ = True
TIME_ZONE = SCHEDULER.general.time_zone or get_localzone_name() or "UTC"
CELERY_TIMEZONE = TIME_ZONE
DJANGO_CELERY_BEAT_TZ_AWARE = True

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
# The style and script of the API's page. Not as an application: each process would import it, and pydantic, for 12 MB.
STATICFILES_DIRS = [("ninja", Path(str(importlib.util.find_spec("ninja").origin)).parent / "static" / "ninja")]  # type: ignore[union-attr]  # it is a dependency
WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = int(timedelta(hours=1).total_seconds())

LOGIN_URL = "/login/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
SESSION_COOKIE_NAME = f"scheduler_session_{_INSTALLATION}"
CSRF_COOKIE_NAME = f"scheduler_csrf_{_INSTALLATION}"
SESSION_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_AGE = int(timedelta(days=30).total_seconds())
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": SCHEDULER.logs.level.upper()},
}
