"""The schedule form as a person uses it, in a real browser against a real web server: no worker is needed for that."""

import socket
import urllib.request
from contextlib import closing

import pytest

from tests.installation import Installation
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(180)]

ADD = "/admin/beat_config/schedule/add/"
SIGN_IN = """
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
ada = User.objects.create_superuser("ada")
session = SessionStore()
session[SESSION_KEY], session[HASH_SESSION_KEY] = str(ada.pk), ada.get_session_auth_hash()
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session.save()
print(settings.SESSION_COOKIE_NAME, session.session_key)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The installation, its address, and the cookie of somebody who may do everything."""
    installation = Installation(tmp_path_factory.mktemp("site"), SCHEDULER_GENERAL_TIME_ZONE="Europe/Berlin")
    cookie = installation.python(SIGN_IN).split()
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"

    def answers():
        try:
            return urllib.request.urlopen(f"{address}/health/", timeout=5).status == 200
        except OSError:
            return False

    with installation.process("web", "scheduler_app.web.server", "--port", str(port)):
        wait_until(answers, 60, "the web server answers")
        yield installation, address, cookie


@pytest.fixture
def open_page(site, page):
    """Open an address of the site, signed in; the page asks before it is left, and the test answers yes."""
    _, address, (name, value) = site
    page.context.add_cookies([{"name": name, "value": value, "url": address}])
    page.on("dialog", lambda dialog: dialog.accept())

    def go(path):
        page.goto(address + path)
        page.wait_for_load_state("networkidle")
        return page

    return go


def preview(page, text):
    page.locator("#schedule-preview", has_text=text).wait_for()


def test_days_and_times_are_clicked_in_step_with_the_cron_line(open_page):
    page = open_page(ADD)
    line = page.get_by_role("textbox", name="Cron line")
    page.get_by_label("At times").check()

    page.get_by_role("radio", name="Days of the week").check()
    assert line.input_value() == "0 9 * * 1-5"
    page.locator("label", has=page.get_by_role("checkbox", name="Friday")).click()
    page.get_by_role("button", name="Another time").click()
    page.get_by_label("Time 2").fill("17:30")
    assert line.input_value() == "0,30 9,17 * * 1-4"
    assert "also at 09:30, 17:00" in page.locator(".cron-note").inner_text()
    page.get_by_role("button", name="Remove 09:00").click()
    assert line.input_value() == "30 17 * * 1-4"
    preview(page, "17:30")

    line.fill("*/15 8-18 1,L JAN-MAR *")
    assert page.get_by_role("radio", name="Days of the month").is_checked()
    assert page.get_by_role("checkbox", name="The last day").is_checked()
    assert page.get_by_role("radio", name="Again and again").is_checked()
    line.fill("0 9 * * 5#2")
    assert "more than can be clicked" in page.locator(".cron-note").inner_text()
    page.get_by_role("button", name="Click it together anew").click()
    assert line.input_value() == "0 9 * * *"


def test_a_job_is_found_by_typing_and_its_lists_are_rows(site, open_page):
    installation = site[0]
    page = open_page(ADD)
    picker = page.get_by_role("combobox", name="What to run")
    picker.press("ArrowDown")
    picker.fill("nearly no such thing")
    page.get_by_text("No job fits").wait_for()
    picker.press("Escape")
    assert picker.input_value() == "Run a command"
    page.get_by_role("textbox", name="Command").fill("typed before")
    picker.press("ArrowDown")
    picker.fill("room left")
    picker.press("Enter")
    page.get_by_role("textbox", name="Folders 1").fill("/")
    page.get_by_role("textbox", name="Folders 1").press("Enter")
    page.get_by_role("textbox", name="Folders 2").fill("/tmp")
    page.get_by_role("textbox", name="Name").fill("disks")
    page.get_by_label("Must not be missed").check()
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Next run:").wait_for()

    [(kwargs,)] = installation.rows("SELECT kwargs FROM django_celery_beat_periodictask WHERE name = 'disks'")
    assert '"folders": ["/", "/tmp"]' in kwargs
    [(catch_up,)] = installation.rows("SELECT catch_up FROM beat_config_schedulepolicy")
    assert catch_up == "all"


def test_what_was_typed_for_a_job_is_there_again_and_leaving_with_it_asks(open_page):
    page = open_page(ADD)
    asked = []
    page.on("dialog", lambda dialog: asked.append(dialog.type))
    picker = page.get_by_role("combobox", name="What to run")
    page.get_by_role("textbox", name="Command").fill("echo kept")
    for job in ("call web address", "run a command"):
        picker.click()
        picker.fill(job)
        picker.press("Enter")
        page.wait_for_load_state("networkidle")

    assert page.get_by_role("textbox", name="Command").input_value() == "echo kept"
    page.get_by_role("link", name="Overview").first.click()
    page.wait_for_url("**/admin/")
    assert asked == ["beforeunload"]


def test_a_test_run_shows_its_page_and_saves_nothing(site, open_page):
    installation = site[0]
    page = open_page(ADD)
    button = page.get_by_role("button", name="Test run")
    before = installation.rows("SELECT count(*) FROM django_celery_beat_periodictask")
    button.click()
    page.get_by_text("Command must be filled in").wait_for()
    page.complaints.clear()  # the browser notes the refusal
    page.get_by_role("textbox", name="Command").fill("echo tried")

    with page.context.expect_page() as opened:
        button.click()

    opened.value.wait_for_url("**/admin/jobs/run/*/change/")
    assert "echo tried" in opened.value.content()
    assert page.get_by_role("textbox", name="Command").input_value() == "echo tried"
    assert installation.rows("SELECT count(*) FROM django_celery_beat_periodictask") == before
