"""Why a run has not started yet, or not ended: from what the database holds of it, of beats and of workers."""

import re
from datetime import datetime

from jobs import destinations, machines, services, terms, wording
from jobs.delivery import NACKED, UNDELIVERED
from jobs.models import EVERY_MACHINE, Run, Service
from jobs.states import State

_ANOTHER = re.compile(r"\brun \(?(\d+)\)?")


def waits_for(run: Run, now: datetime) -> tuple[str, int | None]:
    """Return in a sentence what the active *run* waits for, and the run that it names, if any."""
    if run.state == State.RUNNING:
        return _runs(run, now), None
    if run.machine == EVERY_MACHINE:
        joined = len({part.machine for part in machines.parts_of(run.pk)})
        until = wording.local(run.expires_at, now)
        return f"Waits for its machines: {joined} have taken it, more may until {until}.", None
    if run.dispatch_at is None:
        return f"Waits for its turn: {run.reason or 'another run goes on'}.", named_run(run.reason)
    told = _waits_for_worker(run, now) if run.state == State.QUEUED else _waits_to_be_sent(run, run.dispatch_at, now)
    return f"{told} At {wording.local(run.expires_at, now)} it expires." if run.expires_at else told, None


def named_run(reason: str) -> int | None:
    """Return the number of the run that *reason* names; None when it names none."""
    found = _ANOTHER.search(reason)
    return int(found[1]) if found else None


def _waits_to_be_sent(run: Run, dispatch_at: datetime, now: datetime) -> str:
    at = wording.local(dispatch_at, now)
    if run.reason.startswith(UNDELIVERED) or run.reason == NACKED:
        return f"Not delivered: {run.reason}." + (f" It is tried again at {at}." if dispatch_at > now else "")
    if dispatch_at <= now:
        return _waits_for_beat(now)
    is_retry = terms.PREVIOUS in (run.terms or {})
    pause = f"Pauses before attempt {run.attempt} of {run.max_attempts}" if is_retry else "Waits for its time"
    return f"{pause}: it is sent to a worker at {at}."


def _runs(run: Run, now: datetime) -> str:
    if run.lease_until and run.lease_until < now:
        since = wording.local(run.lease_until, now)
        return (
            f"Its worker has not been heard of since {since}. It counts as interrupted as soon as it is certain that"
            " nothing of it goes on."
        )
    return "Ends as soon as the job lets it." if run.cancel_requested_at else "Runs."


def _waits_for_beat(now: datetime) -> str:
    beats = services.alive(now).filter(kind=Service.Kind.BEAT)
    if not beats:
        return "Waits: no beat is running, so nothing sends it to a worker. Start it with scheduler-app start."
    away = [beat for beat in beats if beat.broker_away_since]
    if len(away) == len(beats):
        return (
            f"Waits: the message broker has not answered since {wording.local(away[0].broker_away_since, now)}."
            " It is sent when the broker is back."
        )
    return "Is about to be sent to a worker."


def _waits_for_worker(run: Run, now: datetime) -> str:
    workers = list(services.alive(now).filter(kind=Service.Kind.WORKER))
    if not workers:
        return "Waits: no worker is running. Start one with scheduler-app start."
    queue = destinations.queue_of(run.route)
    takers = [worker for worker in workers if not queue or not worker.queues or queue in worker.queues]
    if not takers:
        known = sorted({name for worker in workers for name in worker.queues})
        wanted = destinations.people_say(queue or "")
        return f"Waits: no running worker takes {wanted}. They take {_listed(known)}."
    away = [worker for worker in takers if worker.broker_away_since]
    if len(away) == len(takers):
        since = wording.local(away[0].broker_away_since, now)
        return f"Waits: no worker for it has reached the message broker since {since}."
    busy, slots = Run.objects.filter(state=State.RUNNING).count(), sum(worker.slots for worker in workers)
    if slots and busy >= slots:
        return f"Waits: all workers are busy, with {busy} runs."
    return "Waits for a worker to take it."


def _listed(queues: list[str]) -> str:
    return ", ".join(map(destinations.people_say, queues)) or "none"
