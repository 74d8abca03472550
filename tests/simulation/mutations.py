"""Seeded defects: each is put into the running product, and the simulation has to notice.

A defect is a change in the source of one function (what is replaced has to be there: a defect that no longer fits the
code is an error, not a silent pass), or of the database.
"""

import importlib
import inspect
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.simulation.database import Database

# A defect that needs a rare turn of events may take more than the short set has; most take less than ten.
MOST_SEEDS = 200


@dataclass(frozen=True)
class Edit:
    function: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutation:
    name: str
    edits: tuple[Edit, ...] = ()
    spoil: Callable[[Any], None] | None = None


def drop_one_at_a_time(connection: Any) -> None:
    connection.cursor().execute("DROP INDEX jobs_run_one_at_a_time")


def drop_switched_trigger(connection: Any) -> None:
    connection.cursor().execute("DROP TRIGGER beat_config_task_changed")


def drop_interval_trigger(connection: Any) -> None:
    connection.cursor().execute("DROP TRIGGER beat_config_interval_changed")


def drop_unique_fire(connection: Any) -> None:
    from jobs.models import Run

    meta, all_of_them = Run._meta, Run._meta.constraints
    [constraint] = [each for each in all_of_them if each.name == "jobs_run_fire"]
    connection.cursor().execute("PRAGMA foreign_keys=OFF")
    # SQLite's table is made anew from the model.
    meta.constraints = [each for each in all_of_them if each is not constraint]
    try:
        with connection.schema_editor() as editor:
            editor.remove_constraint(Run, constraint)
    finally:
        meta.constraints = all_of_them


RECORD = "beat_config.recorder._record"
STORE = "beat_config.recorder._Batch.store"
MUTATIONS = (
    Mutation("the unique constraint of a fire is dropped", spoil=drop_unique_fire),
    Mutation(
        "the cursor is moved outside the transaction",
        (
            Edit(STORE, "        cursors.store(self.moved, cursors.CURSOR)\n", ""),
            Edit(
                RECORD,
                "    return len(batch.policies)",
                "    cursors.store(batch.moved, cursors.CURSOR)\n    return len(batch.policies)",
            ),
        ),
    ),
    Mutation(
        "what is due right now waits (> for >=)",
        (Edit("beat_config.due.lock", "policy.look_at <= %s", "policy.look_at < %s"),),
    ),
    Mutation(
        "disabled and changed schedules still fire",
        (
            Edit(
                "beat_config.recorder._Batch._is_to_be_looked_at",
                "policy.look_at == LOOK_NOW or policy.failures > 0 or has_changed(policy)"
                " or not policy.schedule.enabled",
                "policy.fingerprint == '' and policy.next_fire_at is None",
            ),
        ),
    ),
    Mutation(
        "the overlap policy is ignored",
        (Edit("beat_config.recorder._Batch._in_its_lane", "policy.overlap == Overlap.SKIP", "False"),),
    ),
    Mutation(
        "a run that waits does not count as going on",
        (Edit("beat_config.recorder._going", "finished_at IS NULL", "state = 'running'"),),
    ),
    Mutation(
        "a queue of runs grows beyond its cap",
        (Edit("beat_config.recorder._Batch._in_its_lane", "lane.waiting >= policy.catch_up_cap", "False"),),
    ),
    Mutation(
        "a run is replaced and goes on to wait",
        (Edit("jobs.claims.replace", "        _cancel_waiting(Run.objects.filter(pk__in=ids), reason, now)\n", ""),),
    ),
    Mutation(
        "what waits for its turn is never released",
        (Edit("jobs.claims._release", "    return oldest is not None and ", "    return False and "),),
    ),
    Mutation("two runs that exclude each other go on at once", spoil=drop_one_at_a_time),
    Mutation(
        "a crash uses up no attempt",
        (Edit("jobs.claims._begin_again", "attempt=run.attempt + 1,\n", "attempt=run.attempt,\n"),),
    ),
    Mutation(
        "a run is run again more often than it may",
        (Edit("jobs.claims._end", "run.attempt < run.max_attempts", "run.attempt <= run.max_attempts"),),
    ),
    Mutation(
        "a fire that came due before a change is forgotten",
        (Edit("beat_config.adoption.look", "for fire in fires]", "for fire in ()]"),),
    ),
    Mutation(
        "of several fires that a change overtook only the first is recorded",
        (Edit("beat_config.planner.overtaken", "as_utc(until)", "as_utc(due)"),),
    ),
    Mutation(
        "a schedule counts from beat's first look, not from when it was made",
        (Edit("beat_config.past.overtaken", "else min(policy.anchor, now)", "else now"),),
    ),
    Mutation(
        "a change counts from beat's look, not from when it was made",
        (Edit("beat_config.past.overtaken", "since = min(change.at, now)", "since = now"),),
    ),
    Mutation(
        "of several changes only the last counts",
        (
            Edit(
                "beat_config.past.overtaken", "zip(changes, states[1:], strict=True)", "zip(changes[-1:], states[-1:])"
            ),
        ),
    ),
    Mutation("a schedule that is switched is not marked", spoil=drop_switched_trigger),
    Mutation("a shared interval that changes marks nobody", spoil=drop_interval_trigger),
    Mutation(
        "the catch-up window is ignored",
        (Edit("beat_config.planner._may_run", " and late <= policy.window", ""),),
    ),
    Mutation(
        "a fire just within the grace is late",
        (Edit("beat_config.planner._may_run", "<= policy.grace", "< policy.grace"),),
    ),
    Mutation(
        "a fire in a blackout runs",
        (Edit("beat_config.planner._decide_one", "if window is not None:", "if window is None and policy is None:"),),
    ),
    Mutation(
        "what a blackout skips takes the place of the latest",
        (
            Edit(
                "beat_config.planner._running",
                "if window is None:",
                "if window is None or policy.catch_up == 'latest':",
            ),
        ),
    ),
    Mutation("fires are not spread", (Edit("beat_config.schedules._trigger", "spread=policy.spread", "spread=None"),)),
    Mutation(
        "weeks are counted from the anchor, whatever date was given",
        (Edit("beat_config.schedules._weeks", "policy.weeks_from or ", ""),),
    ),
    Mutation("the cap on catching up is ignored", (Edit("beat_config.planner._running", "policy.cap", "1_000_000"),)),
    Mutation(
        "a coalesced record counts one too few",
        (Edit("beat_config.planner._stretch", "later.fires + 1", "max(1, later.fires)"),),
    ),
    Mutation(
        "a time in a DST fold fires twice, one in a gap never",
        (
            Edit(
                "beat_config.triggers.Crontab.after",
                "search = _first_time_of_day if line.names_times_of_day else _first_reading",
                "search = _first_reading",
            ),
        ),
    ),
    Mutation(
        "a time in a DST gap fires as much later as the gap is long",
        (
            Edit(
                "beat_config.triggers._first_time_of_day",
                "reached(found, zone)",
                "moment_of(found, zone)",
            ),
        ),
    ),
    Mutation(
        "an interval is counted from the last look (drift)",
        (
            Edit(
                "beat_config.triggers.Interval.after",
                "return self.anchor + (passed + 1) * self.period",
                "return as_utc(moment) + self.period",
            ),
        ),
    ),
    Mutation(
        "a claim takes a run in any state",
        (Edit("jobs.claims._waiting", ", state__in=sources(State.RUNNING)", ""),),
    ),
    Mutation(
        "a claim takes an expired run",
        (Edit("jobs.claims.claim", ".filter(Q(expires_at=None) | Q(expires_at__gt=now))", ""),),
    ),
    Mutation(
        "a run starts although its schedule was switched off",
        (Edit("jobs.claims.claim", ".exclude(_switched_off())", ""),),
    ),
    Mutation("a run is finished without its token", (Edit("jobs.claims._held", " token=held.token,", ""),)),
    Mutation(
        "a run is interrupted though its lease goes on",
        (Edit("jobs.claims._expired", ", lease_until__lt=now", ""),),
    ),
    Mutation(
        "runs expire before their time",
        (Edit("jobs.claims.expire_waiting", "expires_at__lte=now", "expires_at__isnull=False"),),
    ),
    Mutation(
        "the dispatcher marks a run queued before it is published",
        (
            Edit(
                "jobs.dispatcher.Dispatcher.send_due",
                "        try:\n",
                '        _waiting(run["id"] for run in runs).filter(state=State.PENDING).update(state=State.QUEUED)\n'
                "        try:\n",
            ),
        ),
    ),
    Mutation(
        "the dispatcher takes rows without a lease",
        (Edit("jobs.dispatcher.Dispatcher._take", "moment(now + TAKEN_FOR)", "moment(now)"),),
    ),
    Mutation(
        "a queued run is never sent again",
        (
            Edit("jobs.dispatcher.Dispatcher.send_due", "dispatch_at=now + SEND_AGAIN_AFTER", "dispatch_at=None"),
            # Which takes it for one that is held, and sends it when nothing with its key goes on.
            Edit("jobs.claims.release_left_behind", "_held_back()", "_held_back().none()"),
        ),
    ),
    Mutation(
        "beat counts the time to its chores by the wall clock",
        (Edit("beat_config.scheduler.DueScheduler._round", "time.monotonic()", "now.timestamp()"),),
    ),
)


@contextmanager
def applied(mutation: Mutation) -> Iterator[None]:
    """Have the defect in the product until the block ends."""
    with ExitStack() as undo:
        sources: dict[str, str] = {}
        for edit in mutation.edits:
            source = sources.get(edit.function) or inspect.getsource(_find(edit.function)[2])
            if edit.old not in source:
                raise LookupError(f"cannot apply {mutation.name!r}: {edit.function} has no {edit.old!r}; adapt it")
            sources[edit.function] = source.replace(edit.old, edit.new)
        for name, source in sources.items():
            module, owner, function = _find(name)
            names: dict[str, Any] = {}
            exec(compile(textwrap.dedent(source), f"<{mutation.name}>", "exec"), vars(module), names)  # noqa: S102
            undo.callback(setattr, owner, function.__name__, function)
            setattr(owner, function.__name__, names[function.__name__])
        yield


def _find(name: str) -> tuple[Any, Any, Any]:
    """Return the module, what holds the function, and the function."""
    parts = name.split(".")
    module = importlib.import_module(".".join(parts[:2]))
    owner = module
    for part in parts[2:-1]:
        owner = getattr(owner, part)
    return module, owner, vars(owner)[parts[-1]]


def try_all(template: Path, folder: Path, names: list[str], steps: int) -> int:
    """Try the mutations called *names*, or all; say of each which seed caught it."""
    survived = 0
    for mutation in MUTATIONS:
        if names and mutation.name not in names:
            continue
        started = time.monotonic()
        caught = _catch(mutation, template, folder, steps)
        survived += caught is None
        verdict = f"caught by seed {caught[0]}" if caught else "SURVIVED"
        say(f"{mutation.name}: {verdict} ({time.monotonic() - started:.1f} s){f': {caught[1]}' if caught else ''}")
    return 1 if survived else 0


def _catch(mutation: Mutation, template: Path, folder: Path, steps: int) -> tuple[int, str] | None:
    from tests.simulation.world import Failure, World

    place = folder / "mutation"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    database = Database(template, place)
    try:
        if mutation.spoil is not None:
            mutation.spoil(database.observer)
        with applied(mutation):
            for seed in range(1, MOST_SEEDS + 1):
                try:
                    World(database, seed).run(steps)
                except Failure as failure:
                    return seed, str(failure).splitlines()[0][:160]
    finally:
        database.close()
    return None


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
