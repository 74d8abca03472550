"""`scheduler-app service`: have the system itself start everything and keep it running."""

import os

from scheduler_app import platforms
from scheduler_app.config import NOT_SETTINGS, PREFIX, Config
from scheduler_app.paths import Paths
from scheduler_app.platforms import ServiceManagerError

PLACES = frozenset({f"{PREFIX}DATA_FOLDER", f"{PREFIX}CONFIG"})
"""Variables that are handed on as options."""


def install(config: Config, *, system: bool) -> str:
    """Hand everything over to the system's service manager; return what the person should know."""
    paths = Paths.of(config)
    paths.prepare()
    places = ["--data", str(paths.data)]
    if config.source is not None:
        places += ["--config", str(config.source)]
    left_out = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in NOT_SETTINGS | PLACES)
    if left_out:
        raise ServiceManagerError(
            f"cannot install it with the settings in {', '.join(left_out)}: the system starts it without these"
            f" variables; write them into {config.source or paths.data / 'scheduler.toml'}, unset them, and try again"
        )
    argv = [platforms.windowless_python(), "-m", "scheduler_app", *places, "run", "--headless"]
    return platforms.background_service(paths.data, system=system).install(argv)


def remove(config: Config, *, system: bool) -> str:
    removed = platforms.background_service(config.data.folder, system=system).remove()
    return "It is stopped and removed." if removed else "Nothing was installed."


def status(config: Config, *, system: bool) -> str:
    """Return the service manager's word, "not installed" where it knows nothing of it."""
    return platforms.background_service(config.data.folder, system=system).status()
