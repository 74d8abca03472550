"""What a worker that was killed has left running: ended, and proven to be, before its run counts as interrupted."""

import logging
import socket
from datetime import datetime, timedelta
from typing import Any

from jobs import terms
from jobs.models import Run
from scheduler_app import platforms
from scheduler_app.platforms import Root

logger = logging.getLogger(__name__)

# Nobody here can look at another machine's processes. There the job's own process ends its tree as soon as its worker
# has gone (its lifeline, jobs/child.py); this long after the lease it has, or that machine is not running at all.
OTHER_MACHINE = timedelta(seconds=10)


def process_of(tree: platforms.ProcessTree) -> dict[str, Any]:
    """Return what a claim says of the process that executes it."""
    return {"host": socket.gethostname(), **tree.root._asdict()}


def are_gone(run: Run, now: datetime) -> bool:
    """End what is left of *run*, whose lease has expired; tell whether nothing of it can be running any more."""
    process = (run.terms or {}).get(terms.PROCESS)
    if process is None:
        return True
    if process["host"] != socket.gethostname():
        return run.lease_until is None or run.lease_until + OTHER_MACHINE < now
    if platforms.end_tree(Root.from_json(process)):
        return True
    logger.warning("run %s stays as it is: its processes cannot be ended (process %s)", run.pk, process["pid"])
    return False
