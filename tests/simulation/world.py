"""One seed: a world of two beats, a broker, workers and people, in which every step is drawn from the seed."""

import hashlib
import random
import traceback
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from django.db import connections

from beat_config import recorder, scheduler
from jobs import claims
from jobs.claims import Claim, Hold, Outcome
from jobs.dispatcher import Dispatcher
from jobs.models import Run
from jobs.publisher import BrokerUnavailable
from jobs.states import State
from tests.simulation import beat
from tests.simulation.broker import MOODS, Broker, FakePublisher, note_late
from tests.simulation.database import Database
from tests.simulation.observer import Observer, Violation
from tests.simulation.people import BEHIND_ITS_BACK, DAY, EDITS, HOUR, MINUTE, SECOND, People
from tests.simulation.processes import Activity, Process, Slot

LEASE = timedelta(seconds=30)
JUMPS = (10 * MINUTE, 40 * MINUTE, HOUR, DAY, -10 * MINUTE, -10 * MINUTE, -HOUR, -HOUR, -DAY)
# A quiet day, and the evenings before clock changes of the zones below.
STARTS = (
    datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
    datetime(2026, 3, 28, 22, 50, tzinfo=UTC),
    datetime(2026, 3, 28, 23, 50, tzinfo=UTC),
    datetime(2026, 10, 24, 22, 50, tzinfo=UTC),
    datetime(2026, 4, 4, 13, 20, tzinfo=UTC),
    datetime(2026, 11, 1, 4, 40, tzinfo=UTC),
)
MOST_SCHEDULES = 5
TRACE_SHOWN = 80
# Longer than a queued run waits to be sent again.
QUIET_ROUNDS, QUIET_ROUND = 4, 5 * MINUTE
# Of those that wait for each other, one ends a round.
MOST_QUIET_ROUNDS = 500


class Failure(Exception):  # noqa: N818 - what a seed has found
    """A seed that breaks an invariant; str() tells seed, step, what happened before, and how to see it again."""


class World:
    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.seed = seed
        self.chance = random.Random(seed)
        self.clock = self.chance.choice(STARTS)
        self.latest = self.clock
        # What no clock change moves.
        self.monotonic = 0.0
        self.calm = False
        self.trace: list[str] = []
        self.broker = Broker(self.chance)
        self.sending: dict[int, tuple[Activity, datetime]] = {}
        self.sent_late: set[int] = set()
        self.ledger: dict[int, list[str]] = {}
        self.starts: set[tuple[Any, ...]] = set()
        self.observer = Observer(self)
        database.wipe()
        self.beats = [Process(f"beat{n}", self, "recorder", "dispatcher") for n in (1, 2)]
        self.workers = [Process(f"worker{n}", self, "run") for n in (1, 2, 3)]
        self.people = Process("people", self, "admin")
        self.edits = People(self)
        self.slots = [slot for each in (*self.beats, *self.workers, self.people) for slot in each.slots.values()]
        self.dispatchers = {
            process.name: Dispatcher(FakePublisher(self, process.slots["dispatcher"]), "scheduler")
            for process in self.beats
        }

    # What simulated code calls

    def now(self) -> datetime:
        for slot in self.slots:
            if slot.running and self.clock not in slot.activity.told:
                slot.activity.told.append(self.clock)
        return self.clock

    def time(self) -> datetime:
        """Tell the database what time it is."""
        return self.clock

    def log(self, text: str) -> None:
        self.trace.append(text)

    def violated(self, sentence: str) -> None:
        raise Violation(sentence)

    def may_pause(self, activity: Activity) -> None:
        if not self.calm and self.chance.random() < 0.15:
            activity.pause()

    # Steps

    def run(self, steps: int) -> str:
        """Take *steps* steps, then let all faults end; return the hash of the trace. Raises Failure."""
        step = -1
        before = connections["default"]
        try:
            with mock.patch("django.utils.timezone.now", self.now), beat.outside_world(self):
                self.schedulers = {process.name: beat.make() for process in self.beats}
                self._calmly_by_people("blackouts", self.edits.make_blackouts)
                self._many(self._create, 1, 3)
                for step in range(steps):
                    self._step(step)
                step = steps
                self._come_to_rest()
        except Violation as problem:
            raise Failure(self._report(step, steps, str(problem))) from None
        except Exception:  # noqa: BLE001 - whatever the product raises is what the seed has found
            raise Failure(self._report(step, steps, traceback.format_exc())) from None
        finally:
            self._close()
            connections["default"] = before
        return self.digest()

    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]

    def _report(self, step: int, steps: int, what: str) -> str:
        shown = "\n".join(self.trace[-TRACE_SHOWN:])
        return (
            f"seed {self.seed}, step {step}: {what}\n\nThe last of what happened before:\n{shown}\n\n"
            f"Again: python -m tests.simulation --seed {self.seed} --steps {steps}"
        )

    def _close(self) -> None:
        for slot in self.slots:
            slot.close()

    def _step(self, number: int) -> None:
        kind = self.chance.choices([kind for kind, _ in STEPS], [weight for _, weight in STEPS])[0]
        if kind is World._work and not self._is_work():
            kind = World._record
        self.log(f"{number} {self.clock:%m-%d %H:%M:%S.%f} {kind.__name__.strip('_')}")
        kind(self)

    def _tick(self) -> None:
        self._pass(self.chance.choice([0.3, 1, 1, 5, 10, 20, 45, 90]))

    def _to_next_due(self) -> None:
        ahead = sorted(
            each.cursor
            for each in self.observer.schedules.values()
            if each.cursor is not None and each.cursor > self.clock and not each.seen.broken
        )
        if ahead:
            near = [cursor for cursor in ahead if cursor < ahead[0] + 3 * HOUR]
            self._set_clock(self.chance.choice([ahead[0], ahead[0], self.chance.choice(near)]))

    def _jump(self) -> None:
        self._set_clock(self.clock + self.chance.choice(JUMPS))

    def _live_again(self) -> None:
        """The clock is set back to before a fire, and somebody switches that schedule off and on: it comes due again."""
        there = self.observer.schedules
        fires = sorted(
            (fire, number)
            for number, fire, _ in self.observer.fires
            if number in there and self.clock - DAY < fire <= self.clock
        )
        slot = self.people.slots["admin"]
        if fires and slot.idle:
            fire, number = self.chance.choice(fires)
            self._set_clock(fire - SECOND)
            self._start(self.people, slot, f"restart {number}", lambda _: self.edits.restart(number))

    def _set_clock(self, moment: datetime) -> None:
        self.clock = moment
        self.latest = max(self.latest, moment)
        self.log(f"  it is {moment:%m-%d %H:%M:%S.%f}")

    def _record(self) -> None:
        process = self.chance.choice(self.beats)
        self._start_or_go_on(process, "recorder", "record", recorder.record_due)

    def _chores(self) -> None:
        process = self.chance.choice(self.beats)
        self._start_or_go_on(process, "recorder", "chores", do_chores)

    def _watch(self) -> None:
        """Look at a beat that nothing disturbs for half a minute: it does its chores, whatever the clock did before."""
        process = self.chance.choice(self.beats)
        slot = process.slots["recorder"]
        if not slot.idle or self.calm:
            return
        self.calm = True
        began = self.clock
        self._start(process, slot, "tick", lambda _: self._beat(process))
        for _ in range(beat.TICKS):
            self._pass(beat.PATIENCE / beat.TICKS)
            self._start(process, slot, "tick", lambda _: self._beat(process))
        self.calm = False
        if not any(began < seen <= self.clock for seen in self.observer.signs_of_life()):
            self.violated(f"{process.name} has done no chores for {beat.PATIENCE:g} s")
        if forgotten := self.observer.expired(began):
            self.violated(f"{process.name} has left the runs {forgotten}, whose lease or time was over")

    def _beat(self, process: Process) -> None:
        if self.schedulers[process.name].tick() == scheduler.RETRY:
            self.violated(f"{process.name} cannot use the database")

    def _pass(self, seconds: float) -> None:
        self.monotonic += seconds
        self._set_clock(self.clock + seconds * SECOND)

    def _dispatch(self) -> None:
        process = self.chance.choice(self.beats)
        self._start_or_go_on(process, "dispatcher", "send", lambda now: self._send(process, now))

    def _send(self, process: Process, now: datetime) -> int:
        try:
            return self.dispatchers[process.name].send_due(now)
        except BrokerUnavailable as error:
            self.log(f"  {process.name}: {error}")
            return 0

    def _work(self) -> None:
        able = [each for each in self.workers if self.broker.queue or not each.slots["run"].idle]
        worker = self.chance.choice(able)
        slot = worker.slots["run"]
        if slot.activity is not None:
            self._go_on(worker, slot)
        elif self.broker.queue:
            message = self.broker.deliver()
            self._start(worker, slot, f"work on {message}", lambda _: self._execute(worker.name, slot, message))

    def _is_work(self) -> bool:
        return bool(self.broker.queue) or any(not worker.slots["run"].idle for worker in self.workers)

    def _execute(self, name: str, slot: Slot, message: tuple[int, int]) -> None:
        slot.activity.message = message
        now = self.clock
        held = claims.claim(*message, worker=name, lease=LEASE, now=now)
        if held is None:
            return
        run = held.run
        if run.expires_at is not None and run.expires_at <= now:
            self.violated(f"{name} starts run {run.pk} at {now}, which expired at {run.expires_at}")
        key = (run.schedule_id, run.fire_time, run.attempt) if run.fire_time else (run.pk, run.attempt)
        self.log(f"  {name} starts run {run.pk}: {run.schedule_id} due {run.fire_time}")
        self.ledger.setdefault(run.pk, []).append(name)
        if key in self.starts:
            self.violated(f"{name} starts the fire {key} (run {run.pk}), which was started before")
        self.starts.add(key)
        while True:
            if not self.calm:
                slot.activity.pause()
            does = "finish" if self.calm else self.chance.choice(["finish", "renew", "look", "nothing", "nothing"])
            if does == "finish":
                state = self.chance.choice([State.SUCCEEDED, State.SUCCEEDED, State.FAILED, State.TIMED_OUT])
                written = claims.finish(held, Outcome(state), now=self.clock)
                self.log(f"  {name} finished run {run.pk}: {'written' if written else 'refused'}")
                return
            if does == "nothing":
                continue
            hold = claims.look(held) if does == "look" else claims.renew(held, lease=LEASE, now=self.clock)
            if hold is Hold.LOST:
                self.log(f"  {name} has lost run {run.pk}")
                return
            if hold is Hold.CANCEL:
                claims.finish(held, Outcome(State.CANCELLED), now=self.clock)
                return

    def _stranger(self) -> None:
        """A worker that held a run in another life (a restored virtual machine) tries to renew and finish it."""
        running = sorted(n for n in self.observer.active if self.observer.runs[n]["state"] == "running")
        slot = self.people.slots["admin"]
        if not running or not slot.idle:
            return
        run_id = self.chance.choice(running)

        def act(now: datetime) -> None:
            held = Claim(Run.objects.get(pk=run_id), uuid.UUID(int=self.chance.getrandbits(128)))
            if claims.renew(held, lease=LEASE, now=now) is not Hold.LOST:
                self.violated(f"a stranger has renewed run {run_id}")
            if claims.finish(held, Outcome(State.SUCCEEDED), now=now):
                self.violated(f"a stranger has finished run {run_id}")

        self._start(self.people, slot, f"stranger at run {run_id}", act)

    def _out_of_turn(self) -> None:
        """A message comes that was sent before its run was put back to wait for another."""
        waiting = sorted(n for n in self.observer.active if self.observer.runs[n]["state"] != "running")
        keys = {self.observer.runs[n]["exclusive_key"] for n in self.observer.active - set(waiting)} - {None}
        if early := [n for n in waiting if self.observer.runs[n]["exclusive_key"] in keys]:
            run_id = self.chance.choice(early)
            self.broker.queue.append((run_id, self.observer.runs[run_id]["attempt"]))

    def _mood(self) -> None:
        self.broker.mood = self.chance.choice(MOODS)
        self.log(f"  the broker {self.broker.mood}")

    def _kill(self) -> None:
        process = self.chance.choice([*self.beats, *self.workers])
        self._crash(process)

    def _edit(self) -> None:
        slot = self.people.slots["admin"]
        if slot.activity is not None:
            self._go_on(self.people, slot)
            return
        ids = sorted(self.observer.schedules)
        if (len(ids) < MOST_SCHEDULES and self.chance.random() < 0.3) or not ids:
            self._create()
            return
        edit = self.chance.choice(EDITS)
        number = self.chance.choice(ids)
        self._start(self.people, slot, f"{edit.__name__.strip('_')} {number}", lambda _: edit(self.edits, number))

    def _nobody(self) -> None:
        """No beat runs for hours, and other programs make and change schedules meanwhile."""
        slot = self.people.slots["admin"]
        if not slot.idle:
            return
        for process in self.beats:
            self._crash(process)
        self.calm = True
        for _ in range(self.chance.randint(2, 5)):
            self._pass(self.chance.choice([0.5, 10, 100, 1000, 5000]))
            ids = sorted(self.observer.schedules)
            if len(ids) < MOST_SCHEDULES and self.chance.random() < 0.3:
                self._start(self.people, slot, "create in bulk", lambda _: self.edits.create_in_bulk())
            elif ids:
                edit, number = self.chance.choice(BEHIND_ITS_BACK), self.chance.choice(ids)
                self._start(
                    self.people,
                    slot,
                    f"{edit.__name__.strip('_')} {number}",
                    lambda _, e=edit, n=number: e(self.edits, n),
                )
        self._pass(self.chance.choice([0.5, 10, 100, 1000, 5000]))
        self.calm = False

    def _create(self) -> None:
        slot = self.people.slots["admin"]
        if slot.idle:
            self._start(self.people, slot, "create", lambda _: self.edits.create_schedule())

    def _cancel(self) -> None:
        slot = self.people.slots["admin"]
        if self.observer.active and slot.idle:
            run_id = self.chance.choice(sorted(self.observer.active))
            self._start(self.people, slot, "cancel", lambda now: claims.cancel(run_id, by="somebody", now=now))

    # Activities

    def _start_or_go_on(self, process: Process, thread: str, what: str, action: Callable[[datetime], Any]) -> None:
        slot = process.slots[thread]
        if slot.activity is not None:
            self._go_on(process, slot)
        else:
            self._start(process, slot, what, action)

    def _start(self, process: Process, slot: Slot, what: str, action: Callable[[datetime], Any]) -> None:
        crash_in = self.chance.randrange(1, 20) if not self.calm and self.chance.random() < 0.12 else None
        now = self.clock
        slot.activity = Activity(slot, what, now, lambda: action(now), crash_in)
        self.log(f"  {slot.activity}")
        self._go_on(process, slot)

    def _go_on(self, process: Process, slot: Slot) -> None:
        activity = slot.activity
        if activity.pauses:
            self.log(f"  {activity} goes on")
            note_late(self, activity)
        activity.go_on()
        if not activity.over:
            return
        slot.tell(activity)
        if activity.crashed:
            self._crash(process)
            return
        slot.activity = None
        alone = activity.what == "record" and not activity.pauses
        if alone and (overdue := self.observer.overdue(activity.now)):
            self.violated(f"{activity} at {activity.now} has left the schedules {overdue} undecided")

    def _crash(self, process: Process) -> None:
        self.log(f"  {process.name} is killed")
        for slot in process.slots.values():
            message = None if slot.activity is None else slot.activity.message
            if message is not None and self.chance.random() < 0.7:  # not acknowledged: the broker delivers it again
                self.broker.queue.append(message)
        process.restart()
        if process in self.beats:
            self.schedulers[process.name] = beat.make()

    # The end

    def _calmly_by_people(self, what: str, action: Callable[[], Any]) -> None:
        self.calm = True
        self._start(self.people, self.people.slots["admin"], what, lambda _: action())
        self.calm = False

    def _many(self, action: Callable[[], None], low: int, high: int) -> None:
        for _ in range(self.chance.randint(low, high)):
            action()

    def _come_to_rest(self) -> None:
        self.log("all faults end")
        self.calm = True
        self.broker.mood = "fine"
        for process in (*self.beats, *self.workers, self.people):
            for slot in process.slots.values():
                if slot.activity is not None:
                    slot.activity.crash_in = None
                    self._go_on(process, slot)
        self._set_clock(self.latest + HOUR)
        for _ in range(3):
            self._calmly("chores", do_chores)
            self._calmly("record", recorder.record_due)
        self.observer.check_decided(self.clock)
        for number in sorted(self.observer.schedules):
            slot = self.people.slots["admin"]
            if self.observer.schedules[number].seen.enabled:
                self._start(self.people, slot, "disable", lambda _, number=number: self.edits.save_switched(number))
        rounds = 0
        while rounds < QUIET_ROUNDS or (self.observer.active and rounds < MOST_QUIET_ROUNDS):
            rounds += 1
            self._calmly("record", recorder.record_due)
            self._calmly("send", lambda now: self._send(self.beats[0], now), "dispatcher")
            while self.broker.queue:
                worker = self.workers[0]
                message = self.broker.queue.pop()
                self._start(
                    worker, worker.slots["run"], f"work on {message}",
                    lambda _, message=message: self._execute("worker1", self.workers[0].slots["run"], message),
                )  # fmt: skip
            self._calmly("chores", do_chores)
            self._set_clock(self.clock + QUIET_ROUND)
        self.observer.check_decided(self.clock)
        self.observer.check_over(self.ledger)

    def _calmly(self, what: str, action: Callable[[datetime], Any], thread: str = "recorder") -> None:
        self._start(self.beats[0], self.beats[0].slots[thread], what, action)


def do_chores(now: datetime) -> None:
    """Do what beat does every few seconds."""
    claims.interrupt_expired(now)
    claims.expire_waiting(now)
    claims.release_left_behind(now)


STEPS = (
    (World._tick, 10), (World._to_next_due, 24), (World._jump, 3), (World._live_again, 2), (World._record, 26), (World._chores, 7),
    (World._watch, 3),
    (World._dispatch, 14), (World._work, 22), (World._stranger, 2), (World._out_of_turn, 3), (World._mood, 3), (World._kill, 4),
    (World._edit, 8), (World._nobody, 2), (World._cancel, 1),
)  # fmt: skip
