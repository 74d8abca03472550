"""Sees every change of the database when it is committed, and compares it with the plain model."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from beat_config import adoption
from jobs.states import ACTIVE, FINAL, TRANSITIONS, State
from tests.simulation.model import COUNTED, Definition, Policy, decide, utc
from tests.simulation.processes import Activity

SCHEDULES = """
SELECT t.id AS "id", t.enabled AS "enabled", t.one_off AS "one_off", t.start_time AS "start", t.expires AS "end",
    i.every AS "every", i.period AS "period",
    c.minute || ' ' || c.hour || ' ' || c.day_of_month || ' ' || c.month_of_year || ' ' || c.day_of_week AS "line",
    c.timezone AS "zone", k.clocked_time AS "once",
    p.next_fire_at AS "cursor", p.anchor AS "anchor", p.catch_up AS "catch_up", p.catch_up_window AS "window",
    p.catch_up_cap AS "cap", p.grace AS "grace", p.overlap AS "overlap"
FROM django_celery_beat_periodictask t
LEFT JOIN django_celery_beat_intervalschedule i ON i.id = t.interval_id
LEFT JOIN django_celery_beat_crontabschedule c ON c.id = t.crontab_id
LEFT JOIN django_celery_beat_clockedschedule k ON k.id = t.clocked_id
LEFT JOIN beat_config_schedulepolicy p ON p.schedule_id = t.id
"""
RUNS = """
SELECT id, schedule_id, fire_time, attempt, origin, state, covers, covers_until, reason, created_at, lease_until,
    expires_at
FROM jobs_run
"""


SWEEPS = hasattr(adoption, "sweep")


class Violation(AssertionError):  # noqa: N818 - the product is wrong, or the model is
    """An invariant does not hold."""


@dataclass
class Tracked:
    """What is known of a schedule: `definition` is what the cursor was computed from, `seen` what its rows say."""

    definition: Definition
    seen: Definition
    cursor: datetime | None = None
    anchor: datetime | None = None
    # The anchor in the rows, whether or not the cursor was computed from it.
    stored: datetime | None = None
    # Whether the rows have changed to something that gives the very same cursor: adopted or not, nobody can tell.
    ambiguous: bool = False
    # Since the cursor was last set by an edit: the instants that were due, and the rows that speak for them.
    due: int = 0
    covered: int = 0

    @property
    def settled(self) -> bool:
        idle = not self.seen.enabled and self.cursor is None
        return self.definition == self.seen or self.ambiguous or idle


@dataclass
class Observer:
    world: Any
    schedules: dict[int, Tracked] = field(default_factory=dict)
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    active: set[int] = field(default_factory=set)
    fires: set[tuple[int, datetime, int]] = field(default_factory=set)
    newest: int = 0

    def observe(self, activity: Activity) -> None:
        """Check what *activity* has just committed."""
        busy = {self.runs[number]["schedule_id"] for number in self.active}
        new = self._observe_runs(activity)
        rows = {row["id"]: row for row in self._query(SCHEDULES)}
        for number in [number for number in self.schedules if number not in rows]:
            self.world.log(f"  schedule {number} is gone")
            del self.schedules[number]
        for number, row in rows.items():
            self._observe_schedule(number, row, new.pop(number, []), number in busy, activity)
        if new:
            raise Violation(f"schedules that do not exist have fired: {sorted(new)}")

    def overdue(self, now: datetime) -> list[int]:
        """Return the schedules whose cursor is not later than *now* though nothing keeps them from being decided."""
        return [
            number
            for number, each in self.schedules.items()
            if each.settled and each.seen.enabled and each.cursor is not None and each.cursor <= now
        ]

    def expired(self, now: datetime) -> list[int]:
        """Return the runs that cannot be going on or waiting at *now* any more, but are said to."""
        active = [self.runs[number] for number in sorted(self.active)]
        ends = [(run["id"], run["lease_until"] if run["state"] == "running" else run["expires_at"]) for run in active]
        return [number for number, end in ends if end is not None and end < now]

    def signs_of_life(self) -> list[datetime]:
        return [row["seen_at"] for row in self._query("SELECT seen_at FROM jobs_service")]

    def unsettled(self, now: datetime) -> dict[int, Tracked]:
        """Return the schedules whose rows have changed and whose cursor ought to follow them by now, but does not.

        As long as there is a sweep, it finds what was switched; another edit without a signal (by update(), or by a
        process that was killed between the save and its signal) is found when the schedule is due by its old trigger.
        """
        return {
            number: each
            for number, each in self.schedules.items()
            if not each.settled
            and not each.seen.broken
            and not (SWEEPS and (each.cursor is None or each.cursor > now) and each.seen.enabled)
        }

    def _query(self, sql: str, *values) -> list[dict[str, Any]]:
        cursor = self.world.database.observer.connection.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [
            {name: utc(value) if isinstance(value, datetime) else value for name, value in zip(names, row, strict=True)}
            for row in cursor
        ]

    # Runs

    def _observe_runs(self, activity: Activity) -> dict[int, list[dict[str, Any]]]:
        new: dict[int, list[dict[str, Any]]] = {}
        known = ",".join(map(str, sorted(self.active)))
        for run in self._query(f"{RUNS} WHERE id > ? OR id IN ({known}) ORDER BY id", self.newest):
            before = self.runs.get(run["id"])
            self.runs[run["id"]] = run
            if run["state"] in ACTIVE:
                self.active.add(run["id"])
            else:
                self.active.discard(run["id"])
            if before is not None:
                if before["state"] != run["state"]:
                    self._check_move(before, run, activity)
                continue
            self.newest = run["id"]
            self._check_new(run, activity)
            if run["origin"] == "schedule" and run["attempt"] == 1:
                new.setdefault(run["schedule_id"], []).append(run)
        return new

    def _check_new(self, run: dict[str, Any], activity: Activity) -> None:
        due = "by hand" if run["fire_time"] is None else f"due {_shown(run['fire_time'])}"
        many = f" covers {run['covers']} until {_shown(run['covers_until'])}" if run["covers"] > 1 else ""
        self.world.log(f"  run {run['id']} of {run['schedule_id']}: {due} {run['state']}{many} {run['reason']}")
        if run["fire_time"] is None:
            return
        key = (run["schedule_id"], run["fire_time"], run["attempt"])
        if key in self.fires:
            raise Violation(f"two runs for the fire {key}")
        self.fires.add(key)
        if run["fire_time"] > activity.now:
            raise Violation(f"run {run['id']} is recorded at {activity.now}, before its time {run['fire_time']}")

    def _check_move(self, before: dict[str, Any], run: dict[str, Any], activity: Activity) -> None:
        old, new = State(before["state"]), State(run["state"])
        self.world.log(f"  run {run['id']}: {old} → {new} {run['reason']}")
        if new not in TRANSITIONS[old]:
            raise Violation(f"run {run['id']} went from {old} to {new}")
        if new is State.QUEUED and run["id"] not in self.world.broker.taken_over:
            raise Violation(f"run {run['id']} is marked queued, but the broker never got it")
        if (
            new is State.INTERRUPTED
            and activity.what in {"chores", "tick"}
            and not (before["lease_until"] and before["lease_until"] < activity.now)
        ):
            raise Violation(f"run {run['id']} is interrupted, but its lease goes until {before['lease_until']}")
        if new is State.MISSED and not (run["expires_at"] and run["expires_at"] <= activity.now):
            raise Violation(f"run {run['id']} is missed, but expires at {run['expires_at']}")

    # Schedules

    def _observe_schedule(
        self, number: int, row: dict[str, Any], fired: list[dict[str, Any]], busy: bool, activity: Activity
    ) -> None:
        definition = _definition(row)
        tracked = self.schedules.setdefault(number, Tracked(definition, definition))
        try:
            if fired:
                self._check_fires(tracked, row, fired, busy, activity)
            elif (row["cursor"], row["anchor"]) != (tracked.cursor, tracked.stored):
                self._check_cursor(tracked, definition, row, activity)
            elif definition not in (tracked.seen, tracked.definition) and not definition.broken:
                tracked.ambiguous = definition.enabled and any(
                    row["anchor"] is not None and row["cursor"] == definition.first_after(row["anchor"], told)
                    for told in activity.told
                )
        except Violation as violation:
            raise Violation(f"schedule {number}: {violation}\n  it is {tracked}\n  its rows say {row}") from None
        if row["cursor"] != tracked.cursor:
            self.world.log(f"  schedule {number}: cursor {_shown(tracked.cursor)} → {_shown(row['cursor'])}")
        if not fired:
            tracked.seen = definition
        tracked.cursor, tracked.stored = row["cursor"], row["anchor"]
        if tracked.covered != tracked.due:
            raise Violation(f"schedule {number}: {tracked.due} fires were due, {tracked.covered} are covered")

    def _check_fires(
        self, tracked: Tracked, row: dict[str, Any], fired: list[dict[str, Any]], busy: bool, activity: Activity
    ) -> None:
        now, cursor = activity.now, tracked.cursor
        fires = [_row(run) for run in fired]
        if activity.what not in {"record", "tick"}:
            raise Violation(f"{activity} recorded {fires}")
        if not tracked.seen.enabled:
            raise Violation(f"a disabled schedule has fired: {fires}")
        if not tracked.settled:
            raise Violation(f"it has fired by a trigger that it no longer has: {fires}")
        if tracked.ambiguous:
            tracked.definition, tracked.anchor, tracked.ambiguous = tracked.seen, row["anchor"], False
        if cursor is None or cursor > now:
            raise Violation(f"nothing was due at {now}, the cursor is {cursor}; recorded {fires}")
        self._check_decisions(tracked, row, fired, busy, now)

    def _check_decisions(
        self, tracked: Tracked, row: dict[str, Any], fired: list[dict[str, Any]], busy: bool, now: datetime
    ) -> None:
        definition, cursor, fires = tracked.definition, tracked.cursor, [_row(run) for run in fired]
        due = definition.instants(tracked.anchor, cursor, now)
        if due[:1] != [cursor]:
            raise Violation(f"the cursor {cursor} is no instant of its trigger; recorded {fires}")
        expected = decide(due, now, _policy(row), busy=busy, counted=definition.period is None)
        started = any("pending" in decision.states for decision in expected)
        # What was decided before (the clock was set back and the schedule edited) is not decided again.
        mine = {run["fire_time"] for run in fired}
        again = {each.fire_time for each in expected} - mine
        known = {fire for fire in again if (row["id"], fire, 1) in self.fires}
        rest = [each for each in expected if each.fire_time not in known]
        agree = len(rest) == len(fired) and all(
            (run["fire_time"], run["covers"], run["covers_until"]) == (each.fire_time, each.covers, each.until)
            and (run["state"] in each.states or (known and run["state"] == "skipped"))
            for each, run in zip(rest, sorted(fired, key=lambda run: run["fire_time"]), strict=False)
        )
        if not agree:
            raise Violation(f"at {now} with cursor {cursor}, busy {busy}: expected {rest}, recorded {fires}")
        following = definition.first_after(tracked.anchor, now)
        after = definition
        if definition.one_off and started:
            following, after = None, definition.disabled()
        if row["cursor"] != following:
            raise Violation(f"after the fires up to {now} the cursor is {row['cursor']}, not {following}: {fires}")
        if _definition(row) != after:
            raise Violation(f"recording has changed the schedule to {_definition(row)}")
        tracked.definition = tracked.seen = after
        if definition.period is not None or len(due) < COUNTED:
            tracked.due += len(due) - sum(each.covers for each in expected if each.fire_time in known)
            tracked.covered += sum(run["covers"] for run in fired)

    def _check_cursor(self, tracked: Tracked, definition: Definition, row: dict[str, Any], activity: Activity) -> None:
        """The cursor moved and nothing was recorded: an edit, or what was due had been decided before."""
        now, cursor, anchor = activity.now, row["cursor"], row["anchor"]
        unchanged = definition == tracked.definition and not tracked.ambiguous and not definition.broken
        if unchanged and cursor == tracked.cursor:
            return
        if unchanged and tracked.cursor is not None and definition.enabled:
            due = definition.instants(tracked.anchor, tracked.cursor, now)
            expected = decide(due, now, _policy(row), busy=False, counted=definition.period is None)
            decided = due and all((row["id"], each.fire_time, 1) in self.fires for each in expected)
            if decided and cursor == definition.first_after(tracked.anchor, now):
                return
            raise Violation(f"the cursor moved from {tracked.cursor} to {cursor} at {now}, but nothing was recorded")
        if definition.broken:
            if cursor is None or cursor > now:
                tracked.definition, tracked.ambiguous = definition, False
                return
        elif not definition.enabled:
            if cursor is None:
                tracked.definition, tracked.ambiguous = definition, False
                return
        elif any(
            anchor in (tracked.anchor, tracked.stored, told, definition.start)
            and cursor == definition.first_after(anchor, told)
            for told in activity.told
        ):
            tracked.definition, tracked.anchor, tracked.ambiguous = definition, anchor, False
            tracked.due = tracked.covered = 0
            return
        elif cursor is None or cursor <= now:
            return  # a mark: to be looked at
        expected = None if definition.broken or not definition.enabled else definition.first_after(anchor, now)
        raise Violation(f"an edit at {now} moved the cursor to {cursor} (anchor {anchor}), not to {expected}")

    # The end

    def check_decided(self, now: datetime) -> None:
        """All faults are over and beat has looked: every edit is in force, every fire is decided."""
        if unsettled := self.unsettled(now):
            raise Violation(f"the edits of these were never taken up: {unsettled}")
        if overdue := self.overdue(now):
            raise Violation(f"the schedules {overdue} were never decided up to {now}")

    def check_over(self, ledger: dict[int, list[str]]) -> None:
        """Time has gone on: every run is over; *ledger*: who started it."""
        stored = {run["id"]: run for run in self._query(RUNS)}
        for number, run in stored.items():
            if run["state"] not in FINAL:
                raise Violation(f"run {number} is {run['state']} for ever")
            if self.runs.get(number, run)["state"] != run["state"]:
                raise Violation(f"run {number} was {self.runs[number]['state']} and is {run['state']} now")
            if run["state"] == "skipped" and ledger.get(number):
                raise Violation(f"run {number} is {run['state']}, but was started by {ledger[number]}")
            if run["state"] in {"succeeded", "failed", "timed_out"} and not ledger.get(number):
                raise Violation(f"run {number} is {run['state']}, but nobody started it")
        if lost := set(self.runs) - set(stored):
            raise Violation(f"the runs {sorted(lost)} are gone")


def _definition(row: dict[str, Any]) -> Definition:
    period = None if row["every"] is None else timedelta(**{row["period"]: row["every"]})
    return Definition(
        bool(row["enabled"]), bool(row["one_off"]), row["start"], row["end"], period, row["line"], row["zone"], row["once"]
    )  # fmt: skip


def _policy(row: dict[str, Any]) -> Policy:
    return Policy(
        row["catch_up"],
        timedelta(microseconds=row["window"]),
        row["cap"],
        timedelta(microseconds=row["grace"]),
        row["overlap"],
    )


def _row(run: dict[str, Any]) -> str:
    many = f" × {run['covers']} until {_shown(run['covers_until'])}" if run["covers"] > 1 else ""
    return f"{_shown(run['fire_time'])}{many} {run['state']} ({run['reason']})"


def _shown(moment: datetime | None) -> str:
    return (
        "–"
        if moment is None
        else f"{moment:%m-%d %H:%M:%S}" + (f".{moment.microsecond:06}" if moment.microsecond else "")
    )
