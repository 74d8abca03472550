"""Every page of the admin in Chromium: nothing blocked, nothing from elsewhere, and usable by everybody.

The pages are those of the roles' table: a new address comes here by itself.
"""

import re
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from jobs.models import RunOutput, Service
from jobs.states import State
from tests.database.test_roles import NOBODY, TABLE, place, rows  # noqa: F401 - a fixture
from tests.factories import NOW, make_run, make_schedule

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]

# Not pages: answers for machines, and what leads to another page.
NO_PAGES = re.compile("api/|health/|jsi18n|search/|live/|run_id>/log|history/")
PAGES = [row for row in TABLE if row.get != NOBODY and not row.note and not NO_PAGES.search(row.route)]


@pytest.fixture
def full(rows):  # noqa: F811 - the fixture
    """What makes the pages full: runs in every state, output in colours, services."""
    schedule = make_schedule(name="busy", cron="30 2 * * 1-5")
    for state in State:
        make_run(state=state, schedule_id=schedule.pk, schedule_name="busy", reason="for a reason")
    RunOutput.objects.create(
        run_id=rows["RUN"], number=1, stream=1, data=b"\x1b[31mred\x1b[0m and \x1b[90mgrey\x1b[0m\n"
    )
    RunOutput.objects.create(run_id=rows["RUN"], number=2, stream=2, data=b"an error\n")
    Service.objects.create(instance="beat-1", kind="beat", host="here", pid=1, started_at=NOW, seen_at=NOW)
    return rows


@pytest.fixture
def window(page, live_server):
    """A window that has signed in, and notes each request that goes elsewhere."""
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
    elsewhere = page.elsewhere = []
    ours = urlsplit(live_server.url).netloc

    def look(request):
        address = urlsplit(request.url)
        if address.scheme != "data" and address.netloc != ours:
            elsewhere.append(request.url)

    page.on("request", look)
    yield page
    assert elsewhere == []


def violations(page, **options):
    """Return what axe finds on the page as it is now, in one line each."""
    found = page.evaluate("options => axe.run(document, {resultTypes: ['violations'], ...options})", options)[
        "violations"
    ]
    return [f"{each['id']}: {node['html'][:160]} ({node['target']})" for each in found for node in each["nodes"]]


AXE = AXE_FILE_PATH.read_text(encoding="utf-8")
CONTRAST = {"runOnly": ["color-contrast"]}


def show(page, theme):
    page.evaluate("theme => document.documentElement.classList.toggle('dark', theme === 'dark')", theme)


@pytest.mark.timeout(300)
def test_every_page_is_usable_by_everybody_in_both_themes_and_narrow(window, live_server, full):
    found = {}
    for row in PAGES:
        window.set_viewport_size({"width": 1280, "height": 900})
        answer = window.goto(live_server.url + place(row, full))
        assert answer.status == 200, row.route
        window.evaluate(AXE)
        show(window, "light")
        lines = violations(window)
        show(window, "dark")
        lines += [f"dark {line}" for line in violations(window, **CONTRAST)]
        window.set_viewport_size({"width": 390, "height": 844})
        lines += [f"narrow {line}" for line in violations(window, rules={"color-contrast": {"enabled": False}})]
        wide = window.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            lines.append(f"narrow: {wide} pixels too wide")
        if lines:
            found[row.id] = lines

    assert found == {}


def test_the_page_about_the_api_needs_nothing_from_elsewhere(window, live_server):
    answer = window.goto(f"{live_server.url}/api/v1/docs")
    window.wait_for_load_state("networkidle")

    assert answer.status == 200
    assert "/runs" in window.inner_text("body")
