"""New time zone data move cursors: nothing fires early, twice, or not at all."""

import importlib.resources
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django_celery_beat.models import CrontabSchedule

from beat_config import recorder, time_zones
from beat_config.models import LOOK_NOW, SchedulePolicy, TimeZoneData
from jobs.models import Run
from jobs.states import State
from tests.factories import make_schedule, make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db]

DAY = timedelta(days=1)
ZONE = "Africa/Cairo"


def at(hour, minute=0, day=2):
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


@pytest.fixture
def new_data(monkeypatch):
    """A function that gives Cairo, two hours ahead of UTC until now, the rules of another zone."""

    def give(rules):
        with (importlib.resources.files("tzdata.zoneinfo.Etc") / rules).open("rb") as data:
            changed = ZoneInfo.from_file(data, key=ZONE)
        field = CrontabSchedule._meta.get_field("timezone")
        monkeypatch.setattr(field, "from_db_value", lambda *_: changed, raising=False)

    return give


def looked_at(policy, now):
    SchedulePolicy.objects.update(look_at=LOOK_NOW)
    recorder.record_due(now)
    policy.refresh_from_db()
    return policy.next_fire_at


def daily():
    """A schedule at 02:30 in Cairo, 00:30 UTC, whose cursor stands at the 3rd."""
    task = make_task(cron="30 2 * * *", zone=ZONE)
    recorder.record_due(at(12))
    policy = SchedulePolicy.objects.get(pk=task.pk)
    assert policy.next_fire_at == at(0, 30, day=3)
    return policy


@pytest.mark.parametrize(
    ("rules", "expected"),
    [("GMT-3", at(23, 30)), ("GMT-1", at(1, 30, day=3)), ("GMT-2", at(0, 30, day=3))],
)
def test_a_cursor_to_come_moves_with_its_zone(new_data, rules, expected):
    policy = daily()

    new_data(rules)

    assert looked_at(policy, at(13)) == expected
    assert not Run.objects.exists()


def test_what_has_fired_by_the_old_data_does_not_fire_again_by_the_new(new_data):
    policy = daily()
    recorder.record_due(at(0, 30, day=3))
    assert Run.objects.count() == 1

    new_data("GMT-1")  # the same 02:30 is still to come, an hour later

    assert looked_at(policy, at(0, 40, day=3)) == at(1, 30, day=4)
    assert Run.objects.count() == 1


def test_what_should_have_fired_by_the_new_data_is_caught_up_on(new_data):
    policy = daily()

    new_data("GMT-3")

    assert looked_at(policy, at(23, 50)) == at(23, 30, day=3)
    run = Run.objects.get()
    assert (run.fire_time, run.state) == (at(23, 30), State.PENDING)


def test_only_schedules_in_zones_with_other_data_are_looked_at():
    policy, other = daily(), make_schedule(cron="0 3 * * *", zone="Europe/Berlin", due=at(2, day=4))
    interval = make_schedule(every=DAY, due=at(2, day=4))
    assert time_zones.look_at_changed({ZONE: "a", "Europe/Berlin": "a"}) == 0
    assert not SchedulePolicy.objects.filter(look_at=LOOK_NOW).exists()

    assert time_zones.look_at_changed({ZONE: "b", "Europe/Berlin": "a"}) == 1

    marked = set(SchedulePolicy.objects.filter(look_at=LOOK_NOW).values_list("pk", flat=True))
    assert marked == {policy.pk}
    assert not marked & {other.pk, interval.pk}
    assert dict(TimeZoneData.objects.values_list("zone", "digest")) == {ZONE: "b", "Europe/Berlin": "a"}


def test_every_zone_of_this_machine_has_a_digest():
    digests = time_zones.digests()

    assert len(digests) > 400
    assert len({digests["Europe/Berlin"], digests["America/New_York"], digests["Asia/Kathmandu"]}) == 3
