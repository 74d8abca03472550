"""A schedule that somebody disables or deletes: nothing of it starts from then on, also not what waits already."""

from datetime import timedelta

import pytest
from django_celery_beat.models import PeriodicTask

from beat_config import adoption, recorder
from jobs import claims
from jobs.claims import SWITCHED_OFF
from jobs.models import Origin, Run
from jobs.states import State
from tests.factories import NOW, make_run, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

LEASE = timedelta(seconds=30)


def recorded(**columns):
    """Return a schedule and its run, which waits."""
    policy = make_schedule(**columns)
    recorder.record_due(NOW)
    return policy, Run.objects.get(schedule=policy.pk)


def claim(run):
    return claims.claim(run.pk, run.attempt, worker="w", lease=LEASE, now=NOW)


def ended(run):
    run.refresh_from_db()
    return run.state, run.reason, run.dispatch_at


CANCELLED = (State.CANCELLED, SWITCHED_OFF, None)


@pytest.mark.parametrize("switch_off", ["disable", "delete"])
def test_a_run_that_waits_does_not_start_after_its_schedule_was_switched_off(switch_off):
    policy, run = recorded()
    mine = PeriodicTask.objects.filter(pk=policy.pk)
    mine.update(enabled=False) if switch_off == "disable" else mine.delete()

    assert claim(run) is None
    assert ended(run) == CANCELLED


def test_a_run_of_a_schedule_that_fires_once_starts_although_its_fire_has_disabled_it():
    policy, run = recorded(once=NOW)
    assert not PeriodicTask.objects.get(pk=policy.pk).enabled

    assert claim(run) is not None


@pytest.mark.parametrize("origin", [Origin.MANUAL, Origin.CHAIN])
def test_what_people_and_other_runs_start_of_a_disabled_schedule_starts(origin):
    policy = make_schedule(due=None, enabled=False)
    run = make_run(schedule_id=policy.pk, origin=origin)
    adoption.adopt([policy.pk], NOW)

    assert claim(run) is not None


@pytest.mark.parametrize("look", ["beat's", "the admin's"])
def test_what_waits_is_cancelled_at_the_look_that_follows_and_what_runs_goes_on(look):
    policy, running = recorded(policy={"overlap": "queue"})
    assert claim(running) is not None
    held = make_run(schedule_id=policy.pk, dispatch_at=None)
    PeriodicTask.objects.filter(pk=policy.pk).update(enabled=False)

    if look == "beat's":
        recorder.record_due(NOW)
    else:
        adoption.adopt([policy.pk], NOW)

    assert ended(held) == CANCELLED
    assert ended(running)[0] == State.RUNNING


def test_what_waits_behind_it_under_a_shared_key_comes_next():
    first, run = recorded(policy={"overlap": "queue", "concurrency_key": "shared"})
    other = make_schedule(due=None, policy={"overlap": "queue", "concurrency_key": "shared"})
    behind = make_run(schedule_id=other.pk, exclusive_key="shared", dispatch_at=None)
    PeriodicTask.objects.filter(pk=first.pk).update(enabled=False)

    recorder.record_due(NOW)

    assert ended(run) == CANCELLED
    assert ended(behind) == (State.PENDING, "", NOW)


def test_a_look_at_an_enabled_schedule_leaves_what_waits():
    policy, run = recorded()

    adoption.adopt([policy.pk], NOW)

    assert ended(run)[0] == State.PENDING
