"""Sees every change of the database when it is committed, and compares it with the plain model."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from beat_config.models import LOOK_NOW
from jobs.states import ACTIVE, FINAL, TRANSITIONS, State
from tests.simulation.model import COUNTED, Decision, Definition, Lane, Policy, decide, share, utc
from tests.simulation.people import BLACKOUTS
from tests.simulation.processes import Activity

SCHEDULES = """
SELECT t.id AS "id", t.enabled AS "enabled", t.one_off AS "one_off", t.start_time AS "start", t.expires AS "end",
    i.every AS "every", i.period AS "period",
    c.minute || ' ' || c.hour || ' ' || c.day_of_month || ' ' || c.month_of_year || ' ' || c.day_of_week AS "line",
    c.timezone AS "zone", k.clocked_time AS "once", s.event AS "event", s.latitude AS "latitude",
    s.longitude AS "longitude", p.every_nth_week AS "weeks", p.weeks_from AS "weeks_from", p.spread AS "spread",
    (SELECT blackout_id FROM beat_config_schedulepolicy_blackouts WHERE schedulepolicy_id = t.id) AS "blackout",
    p.next_fire_at AS "cursor", p.look_at AS "look_at", p.anchor AS "anchor",
    p.catch_up AS "catch_up", p.catch_up_window AS "window", p.catch_up_cap AS "cap", p.grace AS "grace",
    p.overlap AS "overlap", p.concurrency_key AS "key", p.when_wrong AS "when_wrong", p.attempts AS "attempts"
FROM django_celery_beat_periodictask t
LEFT JOIN django_celery_beat_intervalschedule i ON i.id = t.interval_id
LEFT JOIN django_celery_beat_crontabschedule c ON c.id = t.crontab_id
LEFT JOIN django_celery_beat_clockedschedule k ON k.id = t.clocked_id
LEFT JOIN django_celery_beat_solarschedule s ON s.id = t.solar_id
LEFT JOIN beat_config_schedulepolicy p ON p.schedule_id = t.id
"""
RUNS = """
SELECT id, schedule_id, fire_time, attempt, max_attempts, origin, state, covers, covers_until, reason, lease_until,
    expires_at, dispatch_at, exclusive_key, cancel_requested_at
FROM jobs_run
"""


# Alternating with blackouts a backlog has more stretches than the product tells apart.
FEW = 9
# The activities that decide what is due; whatever else looks at a schedule only moves its cursor.
DECIDING = frozenset({"record", "tick"})
WAITING_OR_REPLACED = frozenset({"pending", "cancelled"})


class Violation(BaseException):
    """An invariant does not hold: the product is wrong, or the model is. No `except Exception` of either catches it."""


@dataclass
class Reign:
    """What the rows of a schedule said until a change that nobody has looked at yet."""

    definition: Definition
    until: datetime


@dataclass
class Tracked:
    """What is known of a schedule: `definition` is what the cursor was computed from, `seen` what its rows say."""

    seen: Definition
    # Where its first reign since somebody looked last begins, unless it goes on from a cursor.
    since: datetime
    definition: Definition | None = None
    past: list[Reign] = field(default_factory=list)
    cursor: datetime | None = None
    look_at: datetime | None = LOOK_NOW
    anchor: datetime | None = None
    # Since the cursor was last set by an edit: the instants that were due, and the rows that speak for them.
    due: int = 0
    covered: int = 0

    @property
    def settled(self) -> bool:
        return not self.past and self.definition == self.seen


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
        lanes = self._lanes()
        new = self._observe_runs(activity)
        rows = {row["id"]: row for row in self._query(SCHEDULES)}
        for number in [number for number in self.schedules if number not in rows]:
            self.world.log(f"  schedule {number} is gone")
            del self.schedules[number]
        for number in sorted(rows, key=self._turn):
            self._observe_schedule(number, rows[number], new.pop(number, []), lanes, activity)
        if new:
            raise Violation(f"schedules that do not exist have fired: {sorted(new)}")

    def overdue(self, now: datetime) -> list[int]:
        """Return the schedules that a look at *now* should have decided on, or that it should have looked at."""
        return [
            number
            for number, each in self.schedules.items()
            # One that fires once is switched off when it has fired, which is a change like any other.
            if (each.look_at is not None and each.look_at <= now and not (each.seen.one_off and not each.seen.enabled))
            or (each.settled and each.seen.enabled and each.cursor is not None and each.cursor <= now)
        ]

    def expired(self, now: datetime) -> list[int]:
        """Return the runs that cannot be going on or waiting at *now* any more, but are said to."""
        active = [self.runs[number] for number in sorted(self.active)]
        ends = [(run["id"], run["lease_until"] if run["state"] == "running" else run["expires_at"]) for run in active]
        return [number for number, end in ends if end is not None and end < now]

    def signs_of_life(self) -> list[datetime]:
        return [row["seen_at"] for row in self._query("SELECT seen_at FROM jobs_service")]

    def unsettled(self) -> dict[int, Tracked]:
        """Return the schedules whose rows have changed and whose cursor does not follow them."""
        return {
            number: each
            for number, each in self.schedules.items()
            if not each.settled and not (each.seen.enabled and each.seen.broken)
        }

    def _turn(self, number: int) -> tuple[bool, datetime, int]:
        """Return what the recorder sorts a batch by."""
        look_at = self.schedules[number].look_at if number in self.schedules else None
        return look_at is None, look_at or LOOK_NOW, number

    def _lanes(self) -> dict[str, Lane]:
        """Return what goes on under each exclusive key."""
        lanes: dict[str, Lane] = {}
        active = [self.runs[number] for number in sorted(self.active)]
        for run in sorted(active, key=lambda run: run["state"] != "running"):
            if run["exclusive_key"] is None:
                lanes[_beside(run["schedule_id"])] = Lane(busy=True)
                continue
            if run["exclusive_key"] not in lanes:
                lanes[run["exclusive_key"]] = Lane(busy=True)
            elif run["state"] == "pending" and run["dispatch_at"] is None:
                lanes[run["exclusive_key"]].waiting += 1
        return lanes

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
        interrupted: list[dict[str, Any]] = []
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
                    if run["state"] == "interrupted" and before["cancel_requested_at"] is None:
                        interrupted.append(run)
                continue
            self.newest = run["id"]
            self._check_new(run, activity)
            if run["origin"] == "schedule" and run["attempt"] == 1:
                new.setdefault(run["schedule_id"], []).append(run)
        for run in interrupted:
            following = (run["schedule_id"], run["fire_time"], run["attempt"] + 1)
            if (following in self.fires) != (run["attempt"] < run["max_attempts"]):
                raise Violation(
                    f"of run {run['id']} {run['max_attempts']} attempts were wanted, this was {run['attempt']}"
                )
        self._check_alone()
        return new

    def _check_alone(self) -> None:
        running = [self.runs[number] for number in sorted(self.active)]
        keys = [run["exclusive_key"] for run in running if run["state"] == "running" and run["exclusive_key"]]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise Violation(f"two runs go on at the same time under {sorted(twice)}")

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
        if run["attempt"] > 1:
            self._check_again(run)
        elif run["fire_time"] > max(activity.moments):
            raise Violation(f"run {run['id']} is recorded at {activity.now}, before its time {run['fire_time']}")

    def _check_again(self, run: dict[str, Any]) -> None:
        before = [
            each
            for each in self.runs.values()
            if each["schedule_id"] == run["schedule_id"]
            and each["fire_time"] == run["fire_time"]
            and each["attempt"] == run["attempt"] - 1
        ]
        if [each["state"] for each in before] != ["interrupted"] or run["attempt"] > run["max_attempts"]:
            raise Violation(f"run {run['id']} is attempt {run['attempt']} of {run['max_attempts']} after {before}")

    def _check_move(self, before: dict[str, Any], run: dict[str, Any], activity: Activity) -> None:
        old, new = State(before["state"]), State(run["state"])
        self.world.log(f"  run {run['id']}: {old} → {new} {run['reason']}")
        if new not in TRANSITIONS[old]:
            raise Violation(f"run {run['id']} went from {old} to {new}")
        if new is State.RUNNING and run["origin"] == "schedule" and self._is_switched_off(run["schedule_id"]):
            raise Violation(f"run {run['id']} starts, but its schedule was disabled or deleted before")
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

    def _is_switched_off(self, number: int) -> bool:
        tracked = self.schedules.get(number)
        return tracked is None or not (tracked.seen.enabled or tracked.seen.one_off)

    # Schedules

    def _observe_schedule(
        self, number: int, row: dict[str, Any], fired: list[dict[str, Any]], lanes: dict[str, Lane], activity: Activity
    ) -> None:
        definition = _definition(row)
        if number not in self.schedules:
            self.schedules[number] = Tracked(definition, self.world.clock, anchor=row["anchor"])
        tracked = self.schedules[number]
        try:
            # What was decided before the clock was set back is looked at again and fires nothing.
            as_it_was = (tracked.cursor, tracked.anchor, tracked.seen)
            moved = activity.what in DECIDING and (row["cursor"], row["anchor"], definition) != as_it_was
            if fired or moved or row["look_at"] not in (tracked.look_at, LOOK_NOW):
                self._check_look(tracked, definition, row, fired, lanes, activity)
            else:
                self._check_change(tracked, definition, row, activity)
        except Violation as violation:
            raise Violation(f"schedule {number}: {violation}\n  it is {tracked}\n  its rows say {row}") from None
        if row["cursor"] != tracked.cursor:
            self.world.log(f"  schedule {number}: cursor {_shown(tracked.cursor)} → {_shown(row['cursor'])}")
        tracked.cursor, tracked.look_at, tracked.anchor = row["cursor"], row["look_at"], row["anchor"]
        if tracked.covered != tracked.due:
            raise Violation(f"schedule {number}: {tracked.due} fires were due, {tracked.covered} are covered")

    def _check_change(self, tracked: Tracked, definition: Definition, row: dict[str, Any], activity: Activity) -> None:
        """Nobody has looked at the schedule: its cursor stays, and where its rows have changed it is marked."""
        if (row["cursor"], row["anchor"]) != (tracked.cursor, tracked.anchor):
            raise Violation(f"{activity} moved the cursor to {row['cursor']} (anchor {row['anchor']})")
        if definition != tracked.seen and row["look_at"] != LOOK_NOW:
            raise Violation(f"{activity} has changed it, but beat looks at it at {row['look_at']}")
        self._change(tracked, definition)

    def _change(self, tracked: Tracked, definition: Definition) -> None:
        """The rows say something else now: what they said until now still has fires to decide."""
        if replace(definition, one_off=tracked.seen.one_off) != tracked.seen:
            tracked.past.append(Reign(tracked.seen, self.world.clock))
        elif tracked.settled:
            tracked.definition = definition
        tracked.seen = definition

    def _check_look(
        self,
        tracked: Tracked,
        definition: Definition,
        row: dict[str, Any],
        fired: list[dict[str, Any]],
        lanes: dict[str, Lane],
        activity: Activity,
    ) -> None:
        """Somebody has looked at the schedule: its cursor starts anew where its rows have changed, or what is due fires."""
        is_due = tracked.cursor is not None and tracked.cursor <= activity.now
        if tracked.settled and is_due and activity.what in DECIDING:
            self._check_decisions(tracked, row, fired, lanes, activity.now)
            return
        if tracked.settled:
            if definition != tracked.seen:
                raise Violation(f"looking at it has changed the schedule to {definition}")
            # An exhausted one may be looked at again after the clock was set back.
            anew = definition.enabled and tracked.cursor is None
            places = [definition.first_after(tracked.anchor, told) for told in activity.moments] if anew else []
            if fired or row["anchor"] != tracked.anchor or row["cursor"] not in (tracked.cursor, *places):
                raise Violation(f"{activity} at {activity.now} moved it though nothing was due: {_rows(fired)}")
            return
        moments = [activity.now] if activity.what in DECIDING else activity.moments
        complaints = [self._restart(tracked, row, fired, lanes, told, activity) for told in moments]
        if all(complaints):
            raise Violation(complaints[0])

    def _restart(
        self,
        tracked: Tracked,
        row: dict[str, Any],
        fired: list[dict[str, Any]],
        lanes: dict[str, Lane],
        now: datetime,
        activity: Activity,
    ) -> str:
        """Return what is wrong with a look at *now* at a schedule that has changed; empty for nothing.

        What came due before a change fires no more: it is recorded as missed, a record a change. What the rows say today
        holds since the last change; what has come due since then is decided as ever, if it is beat that looks.
        """
        owed, since = _owed(tracked, now)
        mine = {run["fire_time"]: run for run in fired}
        # What was decided before the clock was set back is not decided again.
        known = [each for each in owed if each.fire_time not in mine and (row["id"], each.fire_time, 1) in self.fires]
        for each in owed:
            if each in known:
                continue
            run = mine.pop(each.fire_time, None)
            if run is None or not _says(run, each):
                return f"it has changed; a look at {now} should record {each}, recorded {_rows(fired)}"
        definition = tracked.seen
        fires = definition.enabled and not definition.broken
        anchor = (definition.start or since) if fires else since
        cursor = definition.fires_first(anchor, since)
        if row["anchor"] != anchor:
            return f"it has changed; a look at {now} should move the anchor to {anchor}"
        is_due = cursor is not None and cursor <= now and activity.what in DECIDING
        if not is_due and (mine or row["cursor"] != cursor or _definition(row) != definition):
            return f"it has changed; a look at {now} should move the cursor to {cursor}, recorded {_rows(fired)}"
        # What is broken has no cursor; the next one starts from when it is repaired.
        tracked.definition = None if definition.enabled and definition.broken else definition
        tracked.since, tracked.cursor, tracked.anchor = since, cursor, anchor
        tracked.past.clear()
        tracked.due = tracked.covered = 0
        if is_due:
            self._check_decisions(tracked, row, list(mine.values()), lanes, now)
            return ""
        if definition.enabled and definition.broken:
            return "" if row["look_at"] is not None and row["look_at"] > now else "it is broken, but not postponed"
        return "" if row["look_at"] == cursor else f"it fires at {cursor}, but is looked at at {row['look_at']}"

    def _check_decisions(
        self, tracked: Tracked, row: dict[str, Any], fired: list[dict[str, Any]], lanes: dict[str, Lane], now: datetime
    ) -> None:
        definition, cursor, fires = tracked.seen, tracked.cursor, _rows(fired)
        if not definition.enabled:
            raise Violation(f"a disabled schedule has fired: {fires}")
        due = definition.instants(tracked.anchor, cursor, now)
        if due[:1] != [cursor]:
            raise Violation(f"the cursor {cursor} is no instant of its trigger; recorded {fires}")
        policy, counted = _policy(row), definition.counted
        lane = _lane(row, policy, lanes)
        before = f"{lane}"
        expected = decide(due, now, policy, lane, counted=counted)
        # What was decided before (the clock was set back and the schedule edited) is not decided again.
        mine = {run["fire_time"] for run in fired}
        again = {each.fire_time for each in expected} - mine
        known = {fire for fire in again if (row["id"], fire, 1) in self.fires}
        lane.uncertain |= bool(known)
        rest = [each for each in expected if each.fire_time not in known]
        if policy.blackout is not None and (len(expected) > FEW or (counted and len(due) >= COUNTED)):
            rest = _roughly(rest, due, fired)
        agree = len(rest) == len(fired) and all(
            self._agrees(each, run, policy, lane)
            for each, run in zip(rest, sorted(fired, key=lambda run: run["fire_time"]), strict=False)
        )
        if not agree:
            raise Violation(f"at {now} with cursor {cursor}, {before}: expected {rest}, recorded {fires}")
        following = definition.first_after(tracked.anchor, now)
        after = definition
        if definition.one_off and any(each.begins for each in expected):
            following, after = None, definition.disabled()
        if row["cursor"] != following or row["look_at"] != (following if after == definition else LOOK_NOW):
            raise Violation(f"after the fires up to {now} the cursor is {row['cursor']}, not {following}: {fires}")
        if _definition(row) != after:
            raise Violation(f"recording has changed the schedule to {_definition(row)}")
        if after != definition:
            tracked.cursor = None
            self._change(tracked, after)
        if len(expected) <= FEW and (not counted or len(due) < COUNTED):
            tracked.due += len(due) - sum(each.covers for each in expected if each.fire_time in known)
            tracked.covered += sum(run["covers"] for run in fired)

    def _agrees(self, each: Decision, run: dict[str, Any], policy: Policy, lane: Lane) -> bool:
        if (run["fire_time"], run["covers"], run["covers_until"]) != (each.fire_time, each.covers, each.until):
            return False
        if not each.begins:
            return run["state"] == each.state or (lane.uncertain and run["state"] in {"pending", "cancelled"})
        if run["state"] in WAITING_OR_REPLACED and run["max_attempts"] != policy.attempts:
            return False
        if lane.uncertain:
            return run["state"] in {"skipped", *WAITING_OR_REPLACED}
        # Another schedule may replace it in the same transaction.
        return run["state"] == each.state or (lane.shared and run["state"] == "cancelled")

    # The end

    def check_decided(self, now: datetime) -> None:
        """All faults are over and beat has looked: every edit is in force, every fire is decided."""
        if unsettled := self.unsettled():
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
        bool(row["enabled"]), bool(row["one_off"]), row["start"], row["end"], period, row["line"], row["zone"], row["once"],
        sun=(row["event"], row["latitude"], row["longitude"]) if row["event"] else None,
        weeks=row["weeks"],
        weeks_from=row["weeks_from"],
        spread=(spread := timedelta(microseconds=row["spread"])),
        offset=share(row["id"], spread),
    )  # fmt: skip


def _owed(tracked: Tracked, now: datetime) -> tuple[list[Decision], datetime]:
    """Return the records that a look at *now* owes for what the rows said before, and since when they say this."""
    since, anchor, first = min(tracked.since, now), tracked.anchor, tracked.cursor
    looked = tracked.definition is not None
    owed = []
    for reign in tracked.past:
        if not looked:
            anchor = reign.definition.start or since
            first = reign.definition.fires_first(anchor, since)
        looked, since = False, min(reign.until, now)
        due = reign.definition.instants(anchor, first, since) if first is not None and first <= since else []
        if due:
            covers = min(len(due), COUNTED) if reign.definition.counted else len(due)
            owed.append(Decision(due[0], "missed", covers, due[-1] if len(due) > 1 else None))
    return owed, since


def _roughly(expected: list[Decision], due: list[datetime], fired: list[dict[str, Any]]) -> list[Decision]:
    """Return what is expected when the records of what does not run are not told apart: they name all of it, once."""
    begun = [each for each in expected if each.own]
    others = [run for run in fired if run["fire_time"] not in {each.fire_time for each in begun}]
    spans = [(run["fire_time"], run["covers_until"] or run["fire_time"]) for run in others]
    left_out = set(due) - {each.fire_time for each in begun}
    if [sum(start <= fire <= end for start, end in spans) for fire in sorted(left_out)] != [1] * len(left_out):
        raise Violation(f"{len(left_out)} fires do not run, and the records {_rows(others)} name others")
    plain = [Decision(run["fire_time"], run["state"], run["covers"], run["covers_until"]) for run in others]
    return sorted([*begun, *plain], key=lambda each: each.fire_time)


def _says(run: dict[str, Any], each: Decision) -> bool:
    said = (run["fire_time"], run["state"], run["covers"], run["covers_until"])
    return said == (each.fire_time, each.state, each.covers, each.until)


def _policy(row: dict[str, Any]) -> Policy:
    return Policy(
        row["catch_up"],
        timedelta(microseconds=row["window"]),
        row["cap"],
        timedelta(microseconds=row["grace"]),
        row["overlap"],
        row["attempts"] if row["when_wrong"] == "crash" else 1,
        None if row["blackout"] is None else BLACKOUTS[row["blackout"] - 1],
    )


def _key(row: dict[str, Any]) -> str:
    return row["key"] or f"schedule:{row['id']}"


def _lane(row: dict[str, Any], policy: Policy, lanes: dict[str, Lane]) -> Lane:
    lane = Lane() if policy.overlap == "allow" else lanes.setdefault(_key(row), Lane())
    lane.shared = bool(row["key"])
    if policy.overlap == "skip" and not lane.busy:  # it may have begun when two were still allowed
        return lanes.get(_beside(row["id"]), lane)
    return lane


def _beside(schedule: int | None) -> str:
    return f"runs of {schedule} without a key"


def _rows(runs: list[dict[str, Any]]) -> list[str]:
    return [_row(run) for run in runs]


def _row(run: dict[str, Any]) -> str:
    many = f" × {run['covers']} until {_shown(run['covers_until'])}" if run["covers"] > 1 else ""
    return f"{_shown(run['fire_time'])}{many} {run['state']} ({run['reason']})"


def _shown(moment: datetime | None) -> str:
    return (
        "–"
        if moment is None
        else f"{moment:%m-%d %H:%M:%S}" + (f".{moment.microsecond:06}" if moment.microsecond else "")
    )
