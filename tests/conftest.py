"""The database and the data folder that the tests use, and what is done about tests that cannot run here."""

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import servers

_RESOURCES = pytest.StashKey[ExitStack]()


def pytest_addoption(parser):
    parser.addoption(
        "--no-missing", action="store_true", help="a test that cannot run here fails instead of being skipped"
    )
    parser.addoption("--soak", action="store_true", help="long forms of the tests that kill things at random")
    parser.addoption("--database", choices=("sqlite", "postgresql"), default="sqlite", help="which database to test on")


def pytest_configure(config):
    """Give Django a configuration of its own before pytest-django sets it up: nothing of the user's is touched."""
    resources = config.stash[_RESOURCES] = ExitStack()
    folder = Path(tempfile.mkdtemp(prefix="scheduler-tests-"))
    resources.callback(shutil.rmtree, folder, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith("SCHEDULER_")]:
        del os.environ[name]
    os.environ |= {
        "SCHEDULER_DATA_FOLDER": str(folder / "data"),
        "SCHEDULER_BROKER_KIND": "embedded",
        "SCHEDULER_GENERAL_TIME_ZONE": "Europe/Berlin",
        "DJANGO_SETTINGS_MODULE": "scheduler_app.settings",
    }
    if config.getoption("database") == "postgresql":
        try:
            os.environ["SCHEDULER_DATABASE_URL"] = resources.enter_context(servers.postgresql(folder / "postgresql"))
        except servers.MissingServer as reason:
            resources.close()
            strict = config.getoption("no_missing")
            pytest.exit(f"the tests cannot run on PostgreSQL here: {reason}", returncode=1 if strict else 0)
    from django.conf import settings

    # A file, not memory: threads have connections of their own. Reading the settings here also tells
    # pytest-django, whose turn comes after this, that there are some.
    test = {"NAME": str(folder / "test.sqlite3")} if config.getoption("database") == "sqlite" else {}
    settings.DATABASES["default"]["TEST"] = test


def pytest_unconfigure(config):
    resources = config.stash.get(_RESOURCES, None)
    if resources is not None:
        resources.close()


def pytest_runtest_setup(item):
    for marker in item.iter_markers("needs"):
        missing = servers.missing(marker.args[0])
        if missing is None:
            continue
        if item.config.getoption("no_missing"):
            pytest.fail(f"cannot run here: {missing}", pytrace=False)
        pytest.skip(missing)
