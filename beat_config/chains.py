"""What a run starts when it has ended: the schedules that are to follow its own.

The follower's run is recorded in the transaction that ends the run before it, and once for each pair of the two: a
worker killed at any instruction neither loses nor doubles it.
"""

from collections.abc import Mapping
from datetime import datetime

from django_celery_beat.models import PeriodicTask

from beat_config import pausing
from beat_config.blackout_rows import blackout_of
from beat_config.blackouts import window_at
from beat_config.due import blackout_rows
from beat_config.models import Chain, Overlap, SchedulePolicy
from beat_config.schedules import ArgumentsError, exclusive_key, make_ready, parameters_of
from jobs import claims, parents
from jobs.models import ChainedRun, Origin, Run
from jobs.states import State

# Circles are refused in the form. Rows can be written past it, and such a circle would never end by itself.
LONGEST = 50
OFFERED = 500

_AFTER: Mapping[State, tuple[Chain.When, ...]] = {
    State.SUCCEEDED: (Chain.When.SUCCESS, Chain.When.ALWAYS),
    State.FAILED: (Chain.When.FAILURE, Chain.When.ALWAYS),
    State.TIMED_OUT: (Chain.When.FAILURE, Chain.When.ALWAYS),
    State.INTERRUPTED: (Chain.When.FAILURE, Chain.When.ALWAYS),
    # Somebody wanted it to end: that is neither.
    State.CANCELLED: (Chain.When.ALWAYS,),
}


def start_followers(run: Run, state: State, now: datetime) -> None:
    """Record a run of each schedule that follows *run*, which ends as *state* in the transaction that is open."""
    # Of a run of every machine, the end of the whole counts.
    if run.schedule_id is None or run.part_of is not None:
        return
    chains = Chain.objects.filter(leader=run.schedule_id, when__in=_AFTER.get(state, ()))
    ids = list(chains.order_by("pk").values_list("follower", flat=True))
    if not ids:
        return
    policies = SchedulePolicy.objects.filter(pk__in=ids).select_related("schedule").order_by("pk")
    for policy in policies:
        _start(policy, run, now)


def store(leader: int, followers: Mapping[Chain.When, PeriodicTask | None]) -> None:
    """Let these schedules, and no others, follow *leader*."""
    for when, follower in followers.items():
        if follower is None:
            Chain.objects.filter(leader=leader, when=when).delete()
        else:
            Chain.objects.update_or_create(leader_id=leader, when=when, defaults={"follower_id": follower.pk})


def added(leader: int | None, followers: Mapping[Chain.When, PeriodicTask | None]) -> list[PeriodicTask]:
    """Return those of *followers* that do not follow *leader* yet."""
    known = set(Chain.objects.filter(leader=leader).values_list("follower", flat=True)) if leader else set()
    return [each for each in followers.values() if each is not None and each.pk not in known]


def choices() -> dict[str, list[str]]:
    """Return what a template needs to offer schedules while a name is typed; of very many, the first ones."""
    return {"schedule_names": list(PeriodicTask.objects.order_by("name").values_list("name", flat=True)[:OFFERED])}


def circle(leader: int | None, followers: set[int]) -> list[int]:
    """Return the schedules along which *leader* would start itself if *followers* followed it; empty when it does not.

    *leader* is None for a schedule that is being made, which nothing leads to yet.
    """
    ways = {follower: [follower] for follower in followers}
    seen: set[int] = set()
    while ways and leader is not None:
        if leader in ways:
            return [leader, *ways[leader]]
        seen |= ways.keys()
        steps = Chain.objects.filter(leader__in=ways).values_list("leader", "follower")
        ways = {following: [*ways[before], following] for before, following in steps if following not in seen}
    return []


def names(ids: list[int]) -> list[str]:
    """Return the names of the schedules *ids*, in their order."""
    known = dict(PeriodicTask.objects.filter(pk__in=ids).values_list("pk", "name"))
    return [known[pk] for pk in ids if pk in known]


def _start(policy: SchedulePolicy, parent: Run, now: datetime) -> None:
    task = policy.schedule
    depth = parents.depth(parent) + 1
    run = Run(
        schedule_id=policy.pk,
        schedule_name=task.name,
        job=task.task,
        origin=Origin.CHAIN,
        created_at=now,
    )
    make_ready(run, policy, now)
    run.route = parents.with_parent(run.route, parent, depth)
    problem = State.PENDING
    try:
        run.parameters = parameters_of(task)
    except ArgumentsError as error:
        problem, run.reason = State.FAILED, str(error)
    if depth > LONGEST:
        problem = State.SKIPPED
        run.reason = f"{LONGEST} runs have started one another already; see what its schedule and those before it start"
    elif reason := _kept_from_starting(policy, now):
        problem, run.reason = State.SKIPPED, reason
    if problem != State.PENDING:
        run.state, run.finished_at, run.dispatch_at = problem, now, None
    run.save(force_insert=True)
    ChainedRun.objects.create(run=run, parent_id=parent.pk, follower_id=policy.pk)
    if run.state == State.PENDING and policy.overlap == Overlap.REPLACE:
        claims.replace(str(run.exclusive_key), by=run.pk, now=now)


def _kept_from_starting(policy: SchedulePolicy, now: datetime) -> str:
    """Return why no run of the schedule may start at *now*; empty when one may."""
    blackouts = [*pausing.windows(), *map(blackout_of, blackout_rows([policy]).get(policy.pk, ()))]
    if window := window_at(blackouts, now):
        return window.reason
    if policy.overlap != Overlap.SKIP:
        return ""
    going = Run.objects.filter(exclusive_key=exclusive_key(policy), finished_at=None)
    ahead = going.order_by("pk").values_list("pk", flat=True).first()
    return f"run {ahead} was still going" if ahead else ""
