"""One wine for all tests in this folder, and one installation that they share: each start costs seconds."""

import pytest
from filelock import FileLock

from tests.servers import free_port
from tests.windows import wine

GREET = '''
import sys
from jobs import JobFailed, job

@job
def greet(name: str) -> None:
    """Greet on both streams and fail."""
    print(f"Grüße an {name} ✓")
    print("Fehler: größer als 数", file=sys.stderr)
    raise JobFailed("nobody answered", 3)
'''


@pytest.fixture(scope="session")
def running_wine():
    """Keep wine's server between programs, which saves a second each, and end all that is left in it."""
    # Two test runs in one checkout share the prefix: the second waits.
    with FileLock(wine.HOME / "in-use.lock"):
        wine.server("--kill")  # of a test run that was killed
        assert wine.server("--persistent") == 0
        try:
            yield
        finally:
            wine.server("--kill")


@pytest.fixture(scope="module")
def installation(running_wine, tmp_path_factory):
    """Two solo workers, the embedded broker, and a data folder as a user called Jürgen has it."""
    data = tmp_path_factory.mktemp("wine") / "Jürgen Groß 数" / "Scheduler data"
    installation = wine.Installation(data, free_port(), "[worker]\nprocesses = 2\n")
    (data / "jobs" / "greeting.py").write_text(GREET, encoding="utf-8")
    return installation


@pytest.fixture(scope="module")
def started(installation):
    installation.start()
    return installation


@pytest.fixture(scope="module")
def inside(started):
    with started.inside() as inside:
        yield inside
