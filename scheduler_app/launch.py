"""`python -m scheduler_app.launch MODULE [ARG…]` runs MODULE as `python -m MODULE [ARG…]` does, on a lifeline.

The lifeline is read only when SCHEDULER_SERVICE_ID is set and stdin is a pipe, that is, by a service of the
supervisor. By hand, under cron or systemd, and in a container, where stdin is a terminal, the null device or
somebody else's pipe, the module runs as if started directly.
"""

import os
import runpy
import sys

from scheduler_app import lifeline, platforms


def main() -> None:
    if len(sys.argv) < 2:  # noqa: PLR2004 - the program's own name and the module
        sys.exit("cannot launch: no module is named; use python -m scheduler_app.launch MODULE [ARG…]")
    platforms.write_any_character()
    if os.environ.get("SCHEDULER_SERVICE_ID") and lifeline.is_attached():
        lifeline.start()
    # sys.path[0] is the current folder already, as -m put it there; run_module sets argv[0] to the module's file.
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
