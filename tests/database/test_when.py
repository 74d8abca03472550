"""With the sun, every other week, spread out, not during: from the form to what is recorded."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from beat_config import adoption, recorder
from beat_config.models import Blackout, SchedulePolicy
from jobs.models import Run
from jobs.states import State
from tests.database.test_admin import ADD, LIST, errors, form
from tests.factories import NOW, make_schedule, make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db]

PREVIEW = "/admin/beat_config/schedule/preview/"
BLACKOUTS = "/admin/beat_config/blackout/add/"


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("ada"))
    return client


def nightly(**columns):
    defaults = {"name": "Maintenance", "zone": "UTC", "start_time": time(11, 0), "end_time": time(13, 0)}
    return Blackout.objects.create(**(defaults | columns))


def test_a_fire_in_a_blackout_is_skipped_and_says_why():
    policy = make_schedule(every=timedelta(minutes=1))
    policy.blackouts.add(nightly())

    recorder.record_due(NOW)

    run = Run.objects.get()
    assert run.state == State.SKIPPED
    assert "Maintenance" in run.reason
    policy.refresh_from_db()
    assert policy.next_fire_at == NOW + timedelta(minutes=1)


def test_a_fire_outside_of_its_blackouts_runs():
    policy = make_schedule(every=timedelta(minutes=1))
    policy.blackouts.add(nightly(start_time=time(1, 0), end_time=time(3, 0)))

    recorder.record_due(NOW)

    assert Run.objects.get().state == State.PENDING


def test_a_schedule_with_the_sun_fires_at_the_suns_time(admin):
    admin.post(ADD, form(when="sun", event="sunset", latitude="52.52", longitude="13.405"))

    task = PeriodicTask.objects.get()
    assert (task.solar.event, float(task.solar.latitude)) == ("sunset", 52.52)
    policy = SchedulePolicy.objects.get()
    assert policy.error == ""
    assert 14 <= policy.next_fire_at.astimezone(UTC).hour <= 20


def test_a_solar_row_of_django_celery_beat_is_adopted():
    from django_celery_beat.models import SolarSchedule

    task = make_task(every=timedelta(hours=1))
    solar = SolarSchedule.objects.create(event="solar_noon", latitude=0, longitude=0)
    PeriodicTask.objects.filter(pk=task.pk).update(interval=None, solar=solar)
    recorder.record_due(NOW)

    fire = SchedulePolicy.objects.get().next_fire_at

    assert abs(fire - datetime(2026, 3, 2, 12, 12, tzinfo=UTC)) < timedelta(minutes=3)


def test_the_form_keeps_limits_and_exceptions(admin):
    blackout = nightly()
    values = form(
        every_nth_week="2", weeks_from="2026-01-05", spread="10m", blackouts=[blackout.pk],
        start_time_0="2030-01-01", start_time_1="08:00:00", expires_0="2031-01-01", expires_1="08:00:00",
    )  # fmt: skip
    admin.post(ADD, values)

    policy = SchedulePolicy.objects.select_related("schedule").get()
    assert (policy.every_nth_week, str(policy.weeks_from), policy.spread) == (2, "2026-01-05", timedelta(minutes=10))
    assert list(policy.blackouts.all()) == [blackout]
    assert policy.schedule.start_time <= policy.next_fire_at < policy.schedule.expires
    shown = admin.get(f"{LIST}{policy.pk}/change/").context["adminform"].form.initial
    assert (shown["every_nth_week"], shown["spread"], shown["blackouts"]) == (2, timedelta(minutes=10), [blackout.pk])


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        pytest.param({"when": "sun"}, "latitude", "Where?", id="no place"),
        pytest.param({"when": "sun", "latitude": "91", "longitude": "0"}, "latitude", "90", id="beyond the pole"),
        pytest.param(
            {"when": "sun", "event": "sunrise", "latitude": "90", "longitude": "0"}, "event", "sunrise", id="no sunrise"
        ),
        pytest.param(
            {"start_time_0": "2030-01-01", "start_time_1": "00:00", "expires_0": "2029-01-01", "expires_1": "00:00"},
            "expires",
            "never run",
            id="ends before it begins",
        ),
        pytest.param({"every_nth_week": "0"}, "every_nth_week", "greater than or equal to 1", id="every zero weeks"),
    ],
)
def test_bad_limits_are_refused_at_their_field(admin, changes, field, says):
    answer = admin.post(ADD, form(**changes))

    assert says in " ".join(errors(answer)[field])
    assert not PeriodicTask.objects.exists()


def test_changing_the_spread_moves_the_cursor_and_fires_nothing():
    policy = make_schedule(cron="0 13 * * *", due=NOW + timedelta(hours=1))
    adoption.adopt([policy.pk], NOW)

    SchedulePolicy.objects.filter(pk=policy.pk).update(spread=timedelta(minutes=30))
    recorder.record_due(NOW)

    policy.refresh_from_db()
    due = NOW + timedelta(hours=1)
    assert due <= policy.next_fire_at <= due + timedelta(minutes=30)
    assert not Run.objects.exists()


def test_the_preview_tells_the_next_runs_in_both_zones_and_stores_nothing(admin):
    page = admin.post(
        PREVIEW, form(name="", when="times", cron="30 2 * * *", time_zone="Asia/Kathmandu")
    ).content.decode()

    assert "At 02:30 every day (Asia/Kathmandu)" in page
    assert page.count("<li>") == 10
    assert "you are in Europe/Berlin" in page
    assert not PeriodicTask.objects.exists()


def test_the_preview_strikes_out_what_a_blackout_skips(admin):
    blackout = nightly(start_time=time(2, 0), end_time=time(4, 0))
    values = form(when="times", cron="30 2,5 * * *", time_zone="UTC", blackouts=[blackout.pk])
    page = admin.post(PREVIEW, values).content.decode()

    assert page.count("<del>") == 5
    assert "Maintenance" in page


def test_the_preview_says_what_is_wrong_with_when_and_nothing_else(admin):
    page = admin.post(PREVIEW, form(name="", parameter_command="", when="times", cron="0 0 31 2 *", time_zone="UTC"))

    assert "31" in page.content.decode()
    assert "must be filled in" not in page.content.decode()


def test_the_preview_is_for_those_who_may_edit_schedules(client):
    client.force_login(User.objects.create_user("guest", is_staff=True))

    assert client.post(PREVIEW, form()).status_code == 403
    assert client.get(PREVIEW).status_code == 405


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        pytest.param({"kind": "weekly"}, "start_time", "time of day", id="no time"),
        pytest.param({"kind": "once", "start_at_0": "2030-01-02", "start_at_1": "00:00", "end_at_0": "2030-01-01", "end_at_1": "00:00"}, "end_at", "after", id="ends first"),
        pytest.param({"kind": "holidays", "own_days": "Christmas"}, "own_days", "2026-12-24", id="no date"),
        pytest.param({"kind": "holidays", "country": "DE", "subdivision": "XX"}, "subdivision", "XX", id="no such state"),
        pytest.param({"kind": "weekly", "zone": "Europe/Berlyn"}, "zone", "Europe/Berlin", id="no such zone"),
    ],
)  # fmt: skip
def test_a_blackout_that_is_none_is_refused_at_its_field(admin, values, field, says):
    answer = admin.post(BLACKOUTS, {"name": "x", "zone": "UTC"} | values)

    found = errors(answer)
    assert says in str(found.get(field, "") or found)
    assert not Blackout.objects.exists()


def test_a_holiday_calendar_is_made_of_a_country_and_own_days(admin):
    admin.post(BLACKOUTS, {"name": "Bavaria", "zone": "Europe/Berlin", "kind": "holidays", "country": "DE",
                           "subdivision": "BY", "own_days": "2026-12-24 Christmas Eve"})  # fmt: skip
    policy = make_schedule(cron="0 12 * * *", zone="Europe/Berlin", due=datetime(2026, 12, 24, 11, tzinfo=UTC))
    policy.blackouts.add(Blackout.objects.get())

    recorder.record_due(datetime(2026, 12, 24, 11, 0, 1, tzinfo=UTC))

    run = Run.objects.get()
    assert (run.state, run.reason) == (State.SKIPPED, "holiday: Christmas Eve (calendar Bavaria)")
    assert timezone.is_aware(run.created_at)
