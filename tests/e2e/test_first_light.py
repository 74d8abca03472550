"""From the first start to finished runs, as a person does it."""

import http.server
import subprocess
import threading
from contextlib import ExitStack

import psutil
import pytest

from tests import processes, servers
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(600)]

SERVED = [pytest.mark.needs("rabbitmq"), pytest.mark.needs("postgresql")]
BACKENDS = [
    pytest.param("embedded", "SQLite", id="embedded defaults"),
    pytest.param("private", "PostgreSQL", id="RabbitMQ and PostgreSQL", marks=SERVED),
]


@pytest.fixture
def environment(broker, database, tmp_path):
    """What makes the program use this broker and this database."""
    with ExitStack() as stack:
        variables = {"SCHEDULER_BROKER_KIND": "embedded" if broker == "embedded" else "auto"}
        if database == "PostgreSQL":
            variables["SCHEDULER_DATABASE_URL"] = stack.enter_context(servers.postgresql(tmp_path / "postgresql"))
        yield variables


@pytest.fixture
def web_address():
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"all systems go"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/health"
    server.shutdown()
    server.server_close()


def sign_in(page, system):
    page.goto(system.sign_in)
    page.wait_for_url("**/admin/")


def new_schedule(page, name, job):
    page.get_by_role("link", name="Schedules").first.click()
    page.wait_for_url("**/beat_config/schedule/")
    page.locator("a[href$='/schedule/add/']").first.click()
    page.wait_for_url("**/add/")
    page.get_by_role("textbox", name="Name").fill(name)
    picker = page.get_by_role("combobox", name="What to run")
    picker.click()
    picker.fill(job)
    picker.press("Enter")
    page.locator(f"#id_task:has(option[value={job}]:checked)").wait_for(state="attached")
    page.wait_for_load_state("networkidle")


def save(page):
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/admin/beat_config/schedule/")


def open_finished_run(page, system, name, state):
    """Open the history until it has a run of *name* in *state*, then open that run."""

    def look():
        page.goto(f"{system.address}/admin/jobs/run/")
        row = page.locator("tbody tr").filter(has_text=name).filter(has_text=state)
        return row.first if row.count() else None

    row = wait_until(look, 40, f"a run of {name} is {state} in the history")
    row.get_by_role("link").first.click()
    page.wait_for_selector("#run-output")


@pytest.mark.parametrize(("broker", "database"), BACKENDS)
def test_schedules_made_in_the_browser_run_and_show_what_they_did(
    environment, start, page, web_address, broker, database
):
    system = start(SCHEDULER_JOBS_ALLOWED_ADDRESSES="127.0.0.1", **environment)
    sign_in(page, system)

    new_schedule(page, "say hello", "run_command")
    page.get_by_role("textbox", name="Command").fill("echo hello from the scheduler")
    page.get_by_label("Every", exact=True).fill("10")
    page.get_by_label("Unit").select_option("seconds")
    save(page)
    assert "Next run" in page.content()

    new_schedule(page, "look at the web", "call_web_address")
    page.get_by_role("textbox", name="Address").fill(web_address)
    page.get_by_label("At times").check()
    page.get_by_role("textbox", name="Cron line").fill("*/5 * * * * *")
    page.get_by_role("combobox", name="Time zone").fill("Asia/Kathmandu")
    save(page)
    assert "Asia/Kathmandu" in page.content()

    new_schedule(page, "fail", "run_command")
    page.get_by_role("textbox", name="Command").fill("ls /does/not/exist")
    page.get_by_label("Every", exact=True).fill("1")
    page.get_by_label("Unit").select_option("seconds")
    save(page)

    open_finished_run(page, system, "say hello", "Succeeded")
    assert "hello from the scheduler" in page.locator("#run-output").inner_text()
    facts = page.locator(".run-facts").first.inner_text()
    assert "Exit code\n0" in facts
    assert "its schedule" in facts

    open_finished_run(page, system, "look at the web", "Succeeded")
    assert "all systems go" in page.locator("#run-output").inner_text()

    open_finished_run(page, system, "fail", "Failed")
    assert "/does/not/exist" in page.locator("#run-output").inner_text()
    assert "Exit code\n2" in page.locator(".run-facts").first.inner_text()

    page.goto(f"{system.address}/admin/")
    assert "Schedules fire and workers run, but" in page.content()  # as one fails on purpose
    said = " ".join(status(system))
    assert broker in said
    assert database in said


def test_a_sign_in_link_works_once(start, page):
    system = start(SCHEDULER_BROKER_KIND="embedded")
    sign_in(page, system)
    page.context.clear_cookies()

    with page.expect_response(lambda response: response.request.method == "POST") as answer:
        page.goto(system.sign_in)

    assert answer.value.status == 403
    page.wait_for_selector("text=has been used already")
    page.complaints.clear()  # the browser notes the 403


def test_bad_input_is_refused_at_its_field_and_nothing_is_saved(start, page):
    system = start(SCHEDULER_BROKER_KIND="embedded")
    sign_in(page, system)
    new_schedule(page, "wrong", "run_command")
    page.get_by_label("At times").check()
    page.get_by_role("textbox", name="Cron line").fill("0 0 31 2 *")
    page.get_by_role("combobox", name="Time zone").fill("Europe/Berlyn")

    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_selector("text=Europe/Berlin")
    page.get_by_role("combobox", name="Time zone").fill("Europe/Berlin")
    page.get_by_role("textbox", name="Command").fill("true")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_selector("text=31")

    page.goto(f"{system.address}/admin/beat_config/schedule/")
    assert page.locator("tbody tr").filter(has_text="wrong").count() == 0


SLEEP = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "scheduler_app.settings"
import django; django.setup()
from jobs.starting import start
start("run_command", {"command": "sleep 300"}, by="test")
"""


def test_no_process_is_left_ten_seconds_after_the_supervisor_was_killed_not_even_a_jobs(start, installed):
    system = start(SCHEDULER_BROKER_KIND="embedded")
    environment = {"SCHEDULER_DATA_FOLDER": str(system.data), "SCHEDULER_BROKER_KIND": "embedded"}
    subprocess.run([installed / "python", "-c", SLEEP], env=environment, check=True)
    wait_until(lambda: any("sleep" in name(child) for child in processes.family(system.process.pid)), 15, "a job runs")
    family = processes.family(system.process.pid)

    system.process.kill()
    system.process.wait()

    wait_until(lambda: all(map(processes.is_gone, family)), 10, "every child has ended")


def name(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def status(system):
    program = system.process.args[0]
    shown = subprocess.run([program, "status", "--data", system.data], capture_output=True, text=True, check=True)
    return shown.stdout.splitlines()
