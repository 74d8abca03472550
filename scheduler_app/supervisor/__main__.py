"""The detached supervisor: `python -m scheduler_app.supervisor`, started by `scheduler-app start`."""

import os
import sys

from scheduler_app import platforms
from scheduler_app.broker import BrokerError
from scheduler_app.config import ConfigError, load
from scheduler_app.paths import FolderError
from scheduler_app.supervisor.instance import ALREADY_RUNNING, AlreadyRunningError
from scheduler_app.supervisor.main import supervise
from scheduler_app.supervisor.service import SupervisorError
from scheduler_app.supervisor.services import application_services


def main() -> int:
    platforms.write_any_character()
    try:
        supervise(load(), os.environ, application_services)
    except AlreadyRunningError as error:
        print(error, file=sys.stderr)  # noqa: T201  # as below
        return ALREADY_RUNNING
    except (ConfigError, FolderError, BrokerError, SupervisorError) as error:
        print(error, file=sys.stderr)  # noqa: T201  # whoever started this reads it from there
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
