"""The calendar: what ran and what is due, by month, week and day, and when it is crowded."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User

from beat_config import coming
from beat_config.models import Blackout, Pause
from jobs.counts import RunCounts
from jobs.states import State
from scheduler_app.web import calendar
from tests.factories import NOW, make_run, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

BERLIN = ZoneInfo("Europe/Berlin")
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _at_noon(monkeypatch):
    """NOW is Monday, 2 March 2026, 13:00 in Berlin."""
    monkeypatch.setattr(calendar, "_counts", RunCounts())
    monkeypatch.setattr(calendar.timezone, "now", lambda: NOW)


@pytest.fixture
def show(client):
    client.force_login(User.objects.create_superuser("ada"), backend="django.contrib.auth.backends.ModelBackend")

    def get(**query):
        answer = client.get("/admin/calendar/", query)
        assert answer.status_code == 200
        return answer

    return get


def place_of(answer, day, hour=0):
    begin = datetime(2026, 3, day, hour, tzinfo=BERLIN)
    return next(place for place in answer.context["places"] if place.begin == begin)


def test_a_month_shows_whole_weeks_around_today(show):
    answer = show()

    places = answer.context["places"]
    assert (places[0].begin.date(), places[-1].begin.date()) == (date(2026, 2, 23), date(2026, 4, 5))
    assert [place.begin.day for place in places if place.is_now] == [2]
    assert answer.context["heading"] == "March 2026"
    assert answer.context["before"] == date(2026, 2, 1)
    assert answer.context["after"] == date(2026, 4, 1)


def test_what_is_due_stands_in_its_day_and_its_hour_and_leads_to_its_schedule(show):
    policy = make_schedule(name="Report", cron="30 9 * * *", zone="Europe/Berlin", due=NOW + timedelta(hours=20.5))

    assert [fires.name for fires in place_of(show(), 3).coming] == ["Report"]
    assert place_of(show(), 2).coming == ()
    answer = show(view="day", date="2026-03-04")
    assert [(fires.name, fires.count) for fires in place_of(answer, 4, 9).coming] == [("Report", 1)]
    assert f'href="/admin/beat_config/schedule/{policy.pk}/change/"' in answer.content.decode()


def test_what_ran_is_counted_and_in_the_day_leads_to_the_run(show):
    at = NOW - 3 * HOUR
    run = make_run(state=State.FAILED, created_at=at, finished_at=at, schedule_name="Backup")
    make_run(state=State.SUCCEEDED, created_at=at, finished_at=at)

    assert place_of(show(view="week"), 2).told == "1 succeeded, 1 failed"
    answer = show(view="day")
    assert place_of(answer, 2, 10).told == "1 succeeded, 1 failed"
    assert f'href="/admin/jobs/run/{run.pk}/change/"' in answer.content.decode()


def test_of_a_full_hour_what_went_wrong_is_shown_first(show):
    at = NOW - 3 * HOUR
    wrong = make_run(state=State.TIMED_OUT, created_at=at, finished_at=at)
    for _ in range(30):
        make_run(state=State.SUCCEEDED, created_at=at, finished_at=at)

    shown = place_of(show(view="day"), 2, 10).ran

    assert len(shown) == 8
    assert shown[0].run == wrong.pk


def test_what_fires_all_day_long_is_said_once_in_words(show):
    make_schedule(name="Often", every=5 * MINUTE, due=NOW + MINUTE)
    make_schedule(name="Rarely", cron="0 18 * * *", zone="UTC", due=NOW + 6 * HOUR)

    answer = show()

    assert [(fires.name, fires.words) for fires in place_of(answer, 2).coming] == [
        ("Rarely", ""),
        ("Often", "Every 5 minutes"),
    ]
    assert [fires.name for fires in place_of(answer, 31).coming] == ["Rarely", "Often"]
    assert [each.name for each in answer.context["often"]] == ["Often"]


def test_a_fire_in_a_blackout_or_a_pause_is_struck_out(show):
    policy = make_schedule(name="Nightly", cron="0 3 * * *", zone="Europe/Berlin", due=NOW + 14 * HOUR)
    night = Blackout.objects.create(
        name="Nights", kind="weekly", zone="Europe/Berlin", start_time="02:00", end_time="04:00"
    )
    policy.blackouts.add(night)
    assert "Nights" in place_of(show(), 3).coming[0].skipped

    policy.blackouts.clear()
    Pause.objects.create(start=NOW, end=NOW + DAY, by="ada")
    assert [bool(place_of(show(), day).coming[0].skipped) for day in (3, 4)] == [True, False]


def test_the_crowd_counts_what_is_due_at_the_same_time(show):
    for number in range(3):
        make_schedule(name=f"at six {number}", cron="2 18 * * *", zone="Europe/Berlin", due=NOW + 5 * HOUR + 2 * MINUTE)
    make_schedule(name="at seven", cron="7 19 * * *", zone="Europe/Berlin", due=NOW + 6 * HOUR + 7 * MINUTE)

    rows = dict(show(view="day").context["crowd"])

    six, seven = (rows[datetime(2026, 3, 2, hour, tzinfo=BERLIN)] for hour in (18, 19))
    assert [(slot.count, slot.level) for slot in six[:2]] == [(3, 4), (0, 0)]
    assert [(slot.count, slot.level) for slot in seven[:2]] == [(0, 0), (1, 1)]
    assert six[0].names == "at six 0, at six 1, at six 2"


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-03-02", 24)])
def test_a_day_has_as_many_hours_as_the_clocks_give_it(show, day, hours):
    assert len(show(view="day", date=day).context["places"]) == hours


@pytest.mark.parametrize("value", ["", "x", "2026-02-30", "0001-01-01", "9999-12-31", "<script>"])
def test_any_date_and_view_give_a_page(show, value):
    answer = show(view=value, date=value)

    assert answer.context["around"] == date(2026, 3, 2)
    assert "<script>x" not in answer.content.decode()


def test_very_many_schedules_are_cut_and_that_is_said(show, monkeypatch):
    monkeypatch.setattr(coming, "MOST_SCHEDULES", 3)
    for number in range(5):
        make_schedule(name=f"s{number}", cron="0 18 * * *", zone="UTC", due=NOW + 6 * HOUR + number * MINUTE)

    answer = show(view="day")

    assert [fires.name for fires in place_of(answer, 2, 19).coming] == ["s0", "s1", "s2"]
    assert "more schedules than a page can hold" in answer.content.decode()


def test_schedules_that_fire_every_second_cost_no_more_than_the_page_can_show(show):
    for number in range(50):
        make_schedule(name=f"s{number}", every=timedelta(seconds=1), due=NOW)

    found = coming.outlook(NOW, NOW + 40 * DAY, each=200)

    assert sum(len(each.fires) for each in found.schedules) <= coming.MOST_FIRES
    assert found.left_out


def test_disabled_schedules_and_those_that_cannot_run_are_not_due(show):
    make_schedule(name="disabled", cron="0 18 * * *", enabled=False, due=NOW + 6 * HOUR)
    broken = make_schedule(name="broken", cron="0 18 * * *", due=NOW + 6 * HOUR)
    type(broken).objects.filter(pk=broken.pk).update(error="no such zone", error_at=NOW)

    assert coming.outlook(NOW, NOW + DAY, each=10).schedules == []


def test_one_who_sees_only_runs_sees_no_schedules_and_the_other_way_round(client):
    make_schedule(name="Secret plan", cron="0 18 * * *", due=NOW + 6 * HOUR)
    make_run(state=State.FAILED, created_at=NOW - HOUR, finished_at=NOW, schedule_name="Salaries")
    user = User.objects.create_user("eve", is_staff=True)
    client.force_login(user)
    assert client.get("/admin/calendar/").status_code == 403

    for codename, shown, hidden in (
        ("view_run", "Salaries", "Secret plan"),
        ("view_schedule", "Secret plan", "Salaries"),
    ):
        user.user_permissions.set(Permission.objects.filter(codename=codename))
        page = client.get("/admin/calendar/", {"view": "day"}).content.decode()
        assert shown in page
        assert hidden not in page


def test_one_that_is_to_run_once_is_due_once_whatever_its_timing_says():
    make_schedule(name="once", every=HOUR, one_off=True, due=NOW + HOUR)

    (only,) = coming.outlook(NOW, NOW + DAY, each=10).schedules

    assert only.fires == ((NOW + HOUR).astimezone(UTC),)
