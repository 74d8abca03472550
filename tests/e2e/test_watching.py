"""What a person watches in a browser: a run while it goes on, its output, and what became of it."""

import re
import socket
from contextlib import ExitStack, closing

import pytest

from tests.installation import Installation
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(300)]

SIGN_IN = """
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore

user, _ = User.objects.get_or_create(username="ada", is_staff=True, is_superuser=True)
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.create()
print(settings.SESSION_COOKIE_NAME, session.session_key)
"""
START = """
from jobs import starting
print(starting.start("run_command", {{"command": {command!r}, "shell": True}}, by="ada").pk)
"""


class Site:
    """An installation with its services running."""

    def __init__(self, installation, port):
        self.installation = installation
        self.address = f"http://127.0.0.1:{port}"
        self.cookie = dict(zip(("name", "value"), installation.python(SIGN_IN).split(), strict=True))

    def start(self, command):
        return int(self.installation.python(START.format(command=command)))

    def state(self, run_id):
        return self.installation.state(run_id)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    installation = Installation(folder, SCHEDULER_GENERAL_TIME_ZONE="Europe/Berlin")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ExitStack() as stack:
        stack.enter_context(installation.process("web", "scheduler_app.web.server", "--port", str(port)))
        stack.enter_context(installation.process("beat", "celery", "-A", "scheduler_app", "beat"))
        stack.enter_context(installation.worker("one"))
        wait_until(lambda: installation.services() == 2, 60, "beat and worker are there")
        site = Site(installation, port)
        wait_until(lambda: _answers(port), 60, "the web server answers")
        yield site


def _answers(port):
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def at(site, page):
    """Open a page of the site, signed in."""

    def go(path):
        page.context.add_cookies([{**site.cookie, "url": site.address}])
        page.goto(site.address + path)
        return page

    return go


def test_a_run_is_followed_while_it_goes_on_and_to_its_end(site, at, tmp_path):
    go_on = tmp_path / "go on"
    waiting = f"while [ ! -e '{go_on}' ]; do sleep 0.1; done"
    command = f"printf 'first\\n'; echo oh no >&2; {waiting}; seq 1 300; printf '\\033[31mlast\\033[0m\\n'; exit 127"
    run = site.start(command)
    page = at(f"/admin/jobs/run/{run}/change/")
    output = page.locator("#run-output")

    output.get_by_text("first").wait_for()
    output.locator(".run-stderr", has_text="oh no").wait_for()
    # What is there stays there: only what is new is added.
    page.evaluate("document.querySelector('.log-line').dataset.mine = 'kept'")
    page.get_by_role("button", name="Cancel").wait_for()
    go_on.touch()
    output.get_by_text("last").wait_for()
    assert output.locator(".ansi-1").inner_text() == "last"
    assert page.evaluate("document.querySelector('.log-line').dataset.mine") == "kept"
    assert output.locator(".run-stdout").count() == 302
    at_end = "(o => o.scrollHeight - o.scrollTop - o.clientHeight < 8)(document.getElementById('run-output'))"
    page.wait_for_function(at_end)

    page.get_by_text("Exit code 127: the command was not found").wait_for()
    page.get_by_role("button", name="Run again").wait_for()
    # Nothing is asked any more.
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1500)
    assert asked == []


def test_the_output_is_searched_filtered_wrapped_and_saved(site, at):
    run = site.start("for i in 1 2 3; do echo 'line '$i' of <b>three</b>'; done; echo a LINE of errors >&2; exit 3")
    wait_until(lambda: site.state(run) == "failed", 30, "it has run")
    page = at(f"/admin/jobs/run/{run}/change/")
    found = page.locator("#log-found")
    shown = page.locator("#run-output .log-line:visible")

    page.get_by_label("Search the output").fill("line")
    page.wait_for_function("document.getElementById('log-found').textContent === '1 of 4'")
    page.get_by_label("Next match").click()
    assert found.inner_text() == "2 of 4"
    page.get_by_label("Previous match").click()
    page.get_by_label("Previous match").click()
    assert found.inner_text() == "4 of 4"
    assert page.evaluate("String([...CSS.highlights.get('log-current')])").lower() == "line"

    page.get_by_label("Errors (stderr)").uncheck()
    assert [text.strip() for text in shown.all_inner_texts()] == [f"line {i} of <b>three</b>" for i in (1, 2, 3)]
    assert found.inner_text() == "1 of 3"
    page.get_by_label("Wrap lines").uncheck()
    assert "no-wrap" in page.locator("#run-output").get_attribute("class")

    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert min(download.value.path().read_text().splitlines()) == "a LINE of errors"


def test_a_paused_output_stands_still_and_goes_on(site, at, tmp_path):
    go_on = tmp_path / "go on"
    run = site.start(f"echo before; while [ ! -e '{go_on}' ]; do sleep 0.1; done; echo after")
    page = at(f"/admin/jobs/run/{run}/change/")
    page.locator("#run-output").get_by_text("before").wait_for()

    page.get_by_role("button", name="Pause").click()
    go_on.touch()
    page.locator("#run-live").get_by_text("Succeeded after").wait_for()
    assert page.locator("#run-output").get_by_text("after").count() == 0
    page.get_by_role("button", name="Go on").click()

    page.locator("#run-output").get_by_text("after").wait_for()


def test_a_run_is_run_again_with_other_parameters(site, at):
    run = site.start("exit 1")
    wait_until(lambda: site.state(run) == "failed", 30, "it has run")
    page = at(f"/admin/jobs/run/{run}/change/")

    page.get_by_role("link", name="Run again with changes").click()
    page.get_by_label("Command").fill("echo better")
    page.get_by_role("button", name="Run it").click()

    page.locator("#run-output").get_by_text("better").wait_for()
    page.get_by_text("Succeeded after").wait_for()
    assert int(re.search(r"/run/(\d+)/", page.url)[1]) > run


def test_the_overview_keeps_up_without_losing_what_is_open_or_where_the_keyboard_is(site, at, tmp_path):
    page = at("/admin/")
    page.get_by_text("Schedules fire and workers run").or_(page.get_by_text("All is well")).first.wait_for()
    page.locator("#chart-hours").locator("..").get_by_text("The same in numbers").click()
    calendar = page.locator("#overview").get_by_role("link", name="All that failed")
    calendar.focus()
    page.evaluate("document.getElementById('overview').dataset.before = 'yes'")

    go_on = tmp_path / "go on"
    told = "echo 3 10 copying > $SCHEDULER_PROGRESS"
    run = site.start(f"{told}; while [ ! -e '{go_on}' ]; do sleep 0.1; done")
    running = page.locator("section[aria-labelledby=running]")
    running.get_by_text("30 % copying").wait_for()
    assert page.evaluate("document.getElementById('overview').dataset.before") is None
    assert page.locator("#numbers-hours").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.textContent") == "All that failed"

    go_on.touch()
    wait_until(lambda: site.state(run) == "succeeded", 30, "it has run")
    running.get_by_text("30 % copying").wait_for(state="detached")


def test_the_calendar_is_walked_by_its_links_to_a_run(site, at):
    run = site.start("exit 4")
    wait_until(lambda: site.state(run) == "failed", 30, "it has run")
    page = at("/admin/")

    page.get_by_role("link", name="Calendar").first.click()
    page.get_by_role("link", name="Week").click()
    page.locator("td[aria-current=date] a.calendar-date").click()
    now = page.locator("tr[aria-current=time]")
    now.get_by_role("link", name="Run a command").last.press("Enter")

    page.wait_for_url("**/admin/jobs/run/*/change/")
    assert page.get_by_text("What happened, and why").is_visible()
