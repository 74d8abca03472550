"""The list of schedules in Chromium: what a person does there, without the page being loaded anew."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from jobs.states import State
from tests.e2e.test_every_page import window  # noqa: F401 - a fixture
from tests.factories import make_run, make_schedule
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]

LIST = "/admin/beat_config/schedule/"


@pytest.fixture
def listed(window, live_server):  # noqa: F811 - the fixture
    """The list with two schedules, in a page that would forget this mark if it were loaded anew."""
    for name in ("back up", "tidy"):
        make_schedule(name=name, due=timezone.now() + timedelta(hours=1, minutes=5, seconds=30))
    window.goto(live_server.url + LIST)
    window.evaluate("window.mark = true")
    return window


def is_the_same_page(page):
    return page.evaluate("window.mark === true")


def test_a_switch_is_undone_by_a_click_and_the_page_stays(listed):
    switch = listed.get_by_role("switch", name="back up")

    switch.click()
    listed.get_by_text("“back up” is disabled.").wait_for()
    assert switch.get_attribute("aria-checked") == "false"
    assert not PeriodicTask.objects.get(name="back up").enabled
    listed.get_by_role("button", name="Undo").click()
    listed.get_by_text("“back up” is enabled.").wait_for()

    assert switch.get_attribute("aria-checked") == "true"
    assert is_the_same_page(listed)


def test_chosen_schedules_are_deleted_and_come_back(listed):
    assert not listed.get_by_role("button", name="Delete").is_visible()
    listed.get_by_label("Choose all on this page").check()
    assert "2 chosen" in listed.locator(".list-bulk").inner_text()

    listed.get_by_role("button", name="Delete").click()
    listed.get_by_text("2 schedules are deleted.").wait_for()
    listed.get_by_role("button", name="Undo").click()
    listed.get_by_role("link", name="tidy", exact=True).wait_for()

    assert sorted(PeriodicTask.objects.values_list("name", flat=True)) == ["back up", "tidy"]
    assert is_the_same_page(listed)


def test_the_next_run_is_counted_down_and_a_row_shows_what_has_happened_meanwhile(listed):
    assert listed.locator("[data-until]").first.inner_text() == "in 1 h 5 min"
    listed.get_by_label("Choose back up").check()

    make_run(schedule_id=PeriodicTask.objects.get(name="back up").pk, state=State.FAILED)
    listed.locator("tr", has_text="back up").locator(".outcome-failed").wait_for()

    assert listed.get_by_label("Choose back up").is_checked()
    assert is_the_same_page(listed)


def test_a_page_that_the_server_does_not_answer_says_so_until_it_does(listed):
    listed.route("**/schedule/live/**", lambda route: route.fulfill(status=500))
    listed.get_by_text("cannot be brought up to date: the server answered 500").wait_for()

    listed.unroute("**/schedule/live/**")
    listed.locator("#list-trouble").wait_for(state="hidden")
    listed.complaints.clear()  # the browser notes the 500


def test_a_page_that_nobody_looks_at_asks_for_nothing(listed):
    asked = []
    listed.on("request", lambda request: asked.append(request.url) if "/live/" in request.url else None)
    listed.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    asked.clear()
    listed.wait_for_timeout(6_000)
    assert asked == []

    listed.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    listed.wait_for_function("true")
    wait_until(lambda: listed.evaluate("1") and asked, 10, "it asks again")
