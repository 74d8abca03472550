"""Set everything up on first use, then start: python3 packaging/run.py [options of `scheduler-app run`]."""

import os
import subprocess
import sys

from environment import ROOT, check_python, prepare


def main() -> int:
    check_python()
    python = prepare(ROOT / ".venv", ".")
    command = [str(python), "-m", "scheduler_app", "run", *sys.argv[1:]]
    if os.name != "nt":
        os.execv(command[0], command)
    try:
        return subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        # The scheduler got the same Ctrl-C and has said what it did.
        return 130


if __name__ == "__main__":
    sys.exit(main())
