"""Notices that this process or the machine stood still, or that the clock was set: leases say nothing for a while then.

A lease ends by the wall clock. After a suspend, a stop of all processes or a jump of the clock every lease seems to
have run out, although the workers go on: they renew theirs within the time between two renewals, once they run again.
"""

from datetime import datetime

from jobs.holding import RENEWALS_A_LEASE
from jobs.services import INTERVAL

# A worker looks at its clock five times a second; its database may be slow just then.
ALLOWANCE = 5.0


class Standstill:
    """*lease* is in seconds."""

    def __init__(self, lease: float) -> None:
        self._renewal = lease / RENEWALS_A_LEASE
        # What is shorter ends no lease of a worker that lives; a pause between two questions is none at all.
        self._shortest = max(lease - self._renewal, INTERVAL + ALLOWANCE)
        self._last: tuple[datetime, float] | None = None
        self._over_at = float("-inf")

    def is_over(self, wall: datetime, steady: float) -> bool:
        """Tell whether an expired lease means a dead worker, at *wall* and at *steady*, the monotonic clock's seconds.

        To be asked every INTERVAL seconds: what lies between two questions is what it looks at.
        """
        if self._last is not None:
            passed = steady - self._last[1]
            set_by = (wall - self._last[0]).total_seconds() - passed
            if max(passed, set_by) >= self._shortest:
                self._over_at = steady + self._renewal + ALLOWANCE
        self._last = wall, steady
        return steady >= self._over_at
