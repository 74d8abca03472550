"""The planner: what happens to the fires that have come due. A pure decision; it reads no clock and writes nothing.

Every due fire gets exactly one decision: its own, or its share of one coalesced record that names what it covers. What
runs is always the newest part of what is due, oldest first; what is missed lies before it, in one record.

catch-up   runs                                          is missed
none       fires not later than the grace                all older ones
latest     the newest fire, not older than the window    all others
all        fires not older than the window               all older ones

A fire within the grace counts as on time, whatever the window. One plan runs at most `cap` fires (the newest ones, so
that a backlog never costs the fire that is due right now).

A fire whose time lies in a blackout is skipped, however late it is noticed, and counts for none of the rules above:
"the latest" is the latest outside of blackouts. Records never overlap; in a backlog that alternates with blackouts
for long, one record holds what was missed or skipped alike, and says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import zip_longest
from typing import Literal

from beat_config.blackouts import Blackout, next_window, window_at
from beat_config.triggers import Trigger, TriggerError, as_utc
from beat_config.wording import lateness

CatchUp = Literal["none", "latest", "all"]

# Visiting a cron fire costs some 20 µs: counting a schedule that was off for a year stops after 20 ms ("at least").
COUNT_LIMIT = 1_000
# Alternating with blackouts a long backlog has two records a night; so many are told apart, the rest in one.
MOST_STRETCHES = 10
TICK = timedelta(microseconds=1)
ONE_SECOND = timedelta(seconds=1)


class Verdict(StrEnum):
    RUN = "run"
    MISSED = "missed"
    SKIPPED = "skipped"


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


def plan(trigger: Trigger, *, due: datetime, now: datetime, policy: Policy, blackouts: Sequence[Blackout] = ()) -> Plan:
    """Decide what happens to *due* (the stored cursor) and every later fire up to *now*, and when the next one is.

    The next fire is strictly after *now*; None when the trigger is exhausted. A clock that stands before *due* (it was
    set back) gives nothing to do and leaves the cursor where it is.
    """
    due, now = as_utc(due), as_utc(now)
    if now < due:
        return Plan((), next_fire_at=due)
    following = trigger.after(due)
    if following is None or following > now:  # by far the most frequent case: one fire is due
        return Plan((_decide_one(due, now, policy, blackouts),), next_fire_at=following)
    return Plan(tuple(_decide_several(trigger, due, now, policy, blackouts)), next_fire_at=trigger.after(now))


def overtaken(trigger: Trigger, *, due: datetime, until: datetime, what: str) -> Fire:
    """Decide on *due* and every later fire up to *until*: the schedule was *what* then, and they were not recorded yet.

    Nothing of it runs: who changes a schedule does not expect what it was to go on.
    """
    stretch = _stretch(trigger, as_utc(due), as_utc(until), "", COUNT_LIMIT)
    several = stretch.last > stretch.first
    fires = f"these {stretch.fires} were" if several else "this run was"
    last = stretch.last if several else None
    return Fire(stretch.first, Verdict.MISSED, f"the schedule was {what} before {fires} recorded", stretch.count, last)


def _decide_one(due: datetime, now: datetime, policy: Policy, blackouts: Sequence[Blackout]) -> Fire:
    window = window_at(blackouts, due) if blackouts else None
    if window is not None:
        return Fire(due, Verdict.SKIPPED, window.reason)
    if _may_run(due, now, policy):
        return _run(due, now, policy)
    return _Stretch(due, due, 1, complete=True, reason="").record(now - due, _why(due, now, policy))


def _decide_several(
    trigger: Trigger, due: datetime, now: datetime, policy: Policy, blackouts: Sequence[Blackout]
) -> Iterator[Fire]:
    running = _running(trigger, due, now, policy, blackouts)
    end = running[0] - TICK if running else now
    for stretch in _left_out(trigger, due, end, blackouts):
        yield stretch.record(now - due, _why(stretch.last, now, policy))
    for fire, following in zip_longest(running, running[1:]):
        yield _run(fire, now, policy)
        end = now if following is None else following - TICK
        # Without a blackout whatever comes due after the first that runs is run, too.
        if blackouts and (first := trigger.after(fire)) is not None:
            for stretch in _left_out(trigger, first, end, blackouts):
                yield stretch.record(now - due, "")


def _running(
    trigger: Trigger, due: datetime, now: datetime, policy: Policy, blackouts: Sequence[Blackout]
) -> list[datetime]:
    """Return the fires that the policy runs: the newest that lie in no blackout, oldest first."""
    most = 1 if policy.catch_up == "latest" else policy.cap
    running: list[datetime] = []
    until = now
    while until >= due and len(running) < most:
        newest = _newest(trigger, due, until)
        if not _may_run(newest, now, policy):
            break
        window = window_at(blackouts, newest)
        if window is None:
            running.append(newest)
        until = (newest if window is None else window.start) - TICK
    return running[::-1]


def _may_run(fire: datetime, now: datetime, policy: Policy) -> bool:
    late = now - fire
    return late <= policy.grace or (policy.catch_up != "none" and late <= policy.window)


def _run(fire: datetime, now: datetime, policy: Policy) -> Fire:
    late = now - fire
    return Fire(fire, Verdict.RUN, "" if late <= policy.grace else f"caught up, {lateness(late)} late")


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Fires from `first` to `last` that share one record; `count` is a lower bound unless `complete`.

    `reason` is that of the blackout that they lie in, empty for none, and None where some lie in one, others perhaps
    not.
    """

    first: datetime
    last: datetime
    count: int
    complete: bool
    reason: str | None

    @property
    def fires(self) -> str:
        return f"{'' if self.complete else 'at least '}{self.count:,} fire{'s' * (self.count != 1)}"

    def record(self, off: timedelta, why: str) -> Fire:
        fires = self.fires
        until = self.last if self.last > self.first else None
        if self.reason:
            reason = self.reason if until is None else f"{self.reason}; {fires} skipped"
            return Fire(self.first, Verdict.SKIPPED, reason, self.count, until)
        if not why:
            return Fire(self.first, Verdict.SKIPPED, f"several blackouts; {fires} skipped", self.count, until)
        what = "missed" if self.reason is not None else "missed or in a blackout"
        reason = f"not running for {lateness(off)}; {fires} {what} ({why})"
        return Fire(self.first, Verdict.MISSED, reason, self.count, until)


def _left_out(
    trigger: Trigger, first: datetime | None, end: datetime, blackouts: Sequence[Blackout]
) -> Iterator[_Stretch]:
    """Yield the fires from *first*, which is one, to *end*, in stretches of those inside one blackout or outside all.

    Neighbours with one reason are one stretch. When there are too many stretches or fires, one holds all that remain.
    """
    open_stretch: _Stretch | None = None
    stretches, to_count = 0, COUNT_LIMIT
    while first is not None and first <= end:
        last, reason = _extent(first, end, blackouts)
        stretch = _stretch(trigger, first, last, reason, to_count)
        joins = open_stretch is not None and open_stretch.reason == reason
        if last < end and not (stretch.complete and (joins or stretches < MOST_STRETCHES)):
            stretch, joins, last = _stretch(trigger, first, end, None, to_count), False, end
        if stretch.count <= to_count:  # a larger number has been reckoned, not visited
            to_count -= stretch.count
        if joins and open_stretch is not None:
            open_stretch = replace(
                open_stretch, last=stretch.last, count=open_stretch.count + stretch.count, complete=stretch.complete
            )
        else:
            if open_stretch is not None:
                yield open_stretch
            open_stretch, stretches = stretch, stretches + 1
        first = trigger.after(last) if last < end else None
    if open_stretch is not None:
        yield open_stretch


def _extent(first: datetime, end: datetime, blackouts: Sequence[Blackout]) -> tuple[datetime, str]:
    """Return up to when what holds at *first* goes on to hold, at most *end*, and the reason of the blackout or ''."""
    window = next_window(blackouts, first)
    if window is None:
        return end, ""
    if window.start <= first:
        return min(end, window.end - TICK), window.reason
    return min(end, window.start - TICK), ""


def _stretch(trigger: Trigger, first: datetime, end: datetime, reason: str | None, limit: int) -> _Stretch:
    later = trigger.count(first, end, limit=max(0, limit - 1))
    last = first if later == (0, True) else _newest(trigger, first, end)
    return _Stretch(first, last, later.fires + 1, later.complete, reason)


def _why(newest: datetime, now: datetime, policy: Policy) -> str:
    """Return why the policy does not run the *newest* of the missed fires."""
    if _may_run(newest, now, policy):
        return "only the latest is run" if policy.catch_up == "latest" else f"at most {policy.cap:,} are run at once"
    if policy.catch_up == "none":
        return "catch-up is off"
    return f"older than the catch-up window of {lateness(policy.window)}"


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
