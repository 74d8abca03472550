"""The planner: what happens to the fires that have come due. A pure decision; it reads no clock and writes nothing.

Every due fire gets exactly one decision: its own, or its share of one coalesced record that names what it covers. What
runs is always the newest part of what is due, oldest first; what is missed lies before it, in one record.

catch-up   runs                                          is missed
none       fires not later than the grace                all older ones
latest     the newest fire, not older than the window    all others
all        fires not older than the window               all older ones

A fire within the grace counts as on time, whatever the window. One plan runs at most `cap` fires (the newest ones, so
that a backlog never costs the fire that is due right now).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile
from typing import Literal

from beat_config.triggers import Trigger, TriggerError, as_utc
from beat_config.wording import lateness

CatchUp = Literal["none", "latest", "all"]

# Visiting a cron fire costs some 20 µs: counting a schedule that was off for a year stops after 20 ms ("at least").
COUNT_LIMIT = 1_000
TICK = timedelta(microseconds=1)
ONE_SECOND = timedelta(seconds=1)


class Verdict(StrEnum):
    RUN = "run"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens to fires noticed late: `grace` is still on time, `window` how far back catching up goes."""

    catch_up: CatchUp = "latest"
    window: timedelta = timedelta(days=1)
    cap: int = 100
    grace: timedelta = timedelta(seconds=60)

    def __post_init__(self) -> None:
        if self.catch_up not in {"none", "latest", "all"}:
            raise TriggerError(
                f"cannot use the catch-up {self.catch_up!r}: allowed are none, latest and all",
                field="catch_up",
                value=str(self.catch_up),
            )
        for name in ("window", "grace"):
            length: timedelta = getattr(self, name)
            if length < timedelta(0):
                raise TriggerError(
                    f"cannot use a {name} of {length.total_seconds():g} s: it cannot be negative",
                    field=name,
                    value=str(length),
                )
        if self.cap < 1:
            raise TriggerError(
                f"cannot use a cap of {self.cap}: at least 1 fire must be allowed", field="cap", value=str(self.cap)
            )


@dataclass(frozen=True, slots=True)
class Fire:
    """One decision: for the fire at `fire_time` or, where `count` > 1, for all `count` fires from there to `until`.

    `count` is a lower bound where the reason says "at least"; `fire_time` and `until` are always exact.
    """

    fire_time: datetime
    verdict: Verdict
    reason: str = ""
    count: int = 1
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    fires: tuple[Fire, ...]
    next_fire_at: datetime | None


def plan(trigger: Trigger, *, due: datetime, now: datetime, policy: Policy) -> Plan:
    """Decide what happens to *due* (the stored cursor) and every later fire up to *now*, and when the next one is.

    The next fire is strictly after *now*; None when the trigger is exhausted. A clock that stands before *due* (it was
    set back) gives nothing to do and leaves the cursor where it is.
    """
    due, now = as_utc(due), as_utc(now)
    if now < due:
        return Plan((), next_fire_at=due)
    following = trigger.after(due)
    if following is None or following > now:  # by far the most frequent case: one fire is due
        newest_first = [due]
    else:
        newest_first = list(islice(_newest_first(trigger, due, now), _most(policy)))
        following = trigger.after(now)
    running = list(takewhile(lambda fire: _may_run(fire, now, policy), newest_first))[::-1]
    missed = () if running and running[0] == due else (_missed(trigger, due, now, running, policy),)
    return Plan((*missed, *(_run(fire, now, policy) for fire in running)), next_fire_at=following)


def _most(policy: Policy) -> int:
    return 1 if policy.catch_up == "latest" else policy.cap


def _may_run(fire: datetime, now: datetime, policy: Policy) -> bool:
    late = now - fire
    return late <= policy.grace or (policy.catch_up != "none" and late <= policy.window)


def _run(fire: datetime, now: datetime, policy: Policy) -> Fire:
    late = now - fire
    return Fire(fire, Verdict.RUN, "" if late <= policy.grace else f"caught up, {lateness(late)} late")


def _missed(trigger: Trigger, due: datetime, now: datetime, running: list[datetime], policy: Policy) -> Fire:
    """Return the one record for every fire from *due* to the first that runs."""
    end = running[0] - TICK if running else now
    later = trigger.count(due, end, limit=COUNT_LIMIT - 1)
    newest = _newest(trigger, due, end) if later.fires else due
    count = later.fires + 1
    fires = f"{'' if later.complete else 'at least '}{count:,} fire{'s' * (count != 1)}"
    reason = f"not running for {lateness(now - due)}; {fires} missed ({_why(newest, now, policy)})"
    return Fire(due, Verdict.MISSED, reason, count, until=newest if later.fires else None)


def _why(newest: datetime, now: datetime, policy: Policy) -> str:
    """Return why the policy does not run the *newest* of the missed fires."""
    if _may_run(newest, now, policy):
        return "only the latest is run" if policy.catch_up == "latest" else f"at most {policy.cap:,} are run at once"
    if policy.catch_up == "none":
        return "catch-up is off"
    return f"older than the catch-up window of {lateness(policy.window)}"


def _newest_first(trigger: Trigger, due: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the fires from *until* back to *due*, which counts as one."""
    while until >= due:
        newest = _newest(trigger, due, until)
        yield newest
        until = newest - TICK


def _newest(trigger: Trigger, due: datetime, until: datetime) -> datetime:
    """Return the newest fire in (due, until], or *due* when there is none.

    Asks the trigger some dozen times, however many fires lie between: first ever larger steps back from *until* until
    one holds a fire, then halving what remains.
    """
    step, empty_from = ONE_SECOND, until
    while True:
        start = max(due, until - min(step, until - due))
        fire = trigger.after(start)
        if fire is not None and fire <= until:
            newest = fire
            break
        if start == due:
            return due
        step, empty_from = 2 * step, start
    while True:
        following = trigger.after(newest)
        if following is None or following > until:
            return newest
        newest = following
        middle = newest + (empty_from - newest) / 2
        following = trigger.after(middle)
        if following is not None and following <= until:
            newest = following
        else:
            empty_from = middle
