"""Beat's own scheduler class without Celery's process around it: its dispatching thread and its clock are ours."""

from contextlib import ExitStack, contextmanager
from functools import lru_cache
from types import SimpleNamespace
from unittest import mock

from beat_config import scheduler, time_zones
from scheduler_app.celery import app

# Longer than beat judges no lease after a jump of the clock, and than it lets its chores wait then.
PATIENCE = 40.0
# So often it looks in that time: to it, a longer silence means that the machine stood still.
TICKS = 8


zone_digests = lru_cache(maxsize=1)(time_zones.digests)


@contextmanager
def outside_world(world):
    """Give the scheduler class a clock that never jumps, and nothing that leaves this process."""
    with ExitStack() as stack:
        clock = SimpleNamespace(monotonic=lambda: world.monotonic)
        stack.enter_context(mock.patch.object(scheduler, "time", clock))
        # What a beat that starts reads 600 files for.
        stack.enter_context(mock.patch.object(scheduler.time_zones, "digests", zone_digests))
        for name in ("Publisher", "DispatchThread", "KeepingThread"):
            stack.enter_context(mock.patch.object(scheduler, name))
        scheduler.DispatchThread.return_value.broker_away_since = None
        scheduler.DispatchThread.return_value.broker_problem = ""
        yield


def make() -> scheduler.DueScheduler:
    return scheduler.DueScheduler(app)
