"""Jobs run as a worker runs them: in a child of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from jobs.discovery import find
from jobs.errors import JobFailed
from jobs.lent import settings as lent_settings

LIMIT = 60


def run_job(job, parameters, *, folder=None, environment=None, lent=None):
    """Run a job in a child as a worker does; return (exit code, stdout as bytes, stderr)."""
    environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    request = {"job": job, "parameters": parameters, "folder": str(folder) if folder else None, "lent": lent or {}}
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "jobs.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | (environment or {}),
        start_new_session=True,
    )
    with child:
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()
        stdin, child.stdin = child.stdin, None
        out, err = child.communicate(timeout=LIMIT)
        stdin.close()
    return child.returncode, out, err.decode()


def call_job(job, lent=None, /, **parameters):
    """Call a job in this very process, which is quicker; return the sentence with which it failed, "" when it did not.

    Its parameters go the whole way of a run's: validated when saved, and again before the call.
    """
    found = find(job, None)
    lent_settings.clear()
    lent_settings.update(lent or {})
    try:
        found.call(json.loads(json.dumps(found.validate(parameters))))
    except JobFailed as failure:
        return failure.message
    finally:
        lent_settings.clear()
    return ""
