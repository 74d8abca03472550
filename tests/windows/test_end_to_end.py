"""The whole program in a Windows Python: what a user of Windows does, from start to stop. The tests build on another."""

import re
import sqlite3
import time
from contextlib import closing

import httpx
import pytest

from tests.waiting import wait_until
from tests.windows.wine import PYTHON, still_grows, wait_for_state, windows_path

pytestmark = [pytest.mark.needs("wine"), pytest.mark.timeout(600)]

LIMIT = 120.0
ENDED = {"succeeded", "failed", "timed_out", "cancelled", "interrupted"}

# Starts a program that leaves its parent's console and process group and writes a heartbeat for ever; waits for it.
FAMILY = """
import subprocess, sys, time
beat = "import sys, time\\nwhile True:\\n    open(sys.argv[1], 'a').write('.'); time.sleep(0.1)"
flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
subprocess.Popen([sys.executable, "-c", beat, sys.argv[1]], creationflags=flags, stdin=subprocess.DEVNULL)
time.sleep(300)
"""


def command(script, *arguments):
    """Return the command line that runs the Python file *script*, quoted as Windows wants it."""
    return " ".join(f'"{each}"' for each in (windows_path(PYTHON), windows_path(script), *arguments))


@pytest.fixture
def family(tmp_path):
    """A command line, and the file that grows as long as the grandchild that it starts lives."""
    script = tmp_path / "the family.py"
    script.write_text(FAMILY, encoding="utf-8")
    heartbeat = tmp_path / "heartbeat"
    return command(script, windows_path(heartbeat)), heartbeat


def test_a_schedule_fires_and_its_run_has_both_streams_and_the_exit_code(inside):
    schedule = inside.schedule_once(name="Grüße", job="greet", parameters={"name": "Jürgen 数"})

    def ended():
        found = inside.runs(schedule_id=schedule)
        return found[0] if found and found[0]["state"] in ENDED else None

    run = wait_until(ended, LIMIT, "the schedule's run has ended")
    assert run["fired"]
    assert (run["state"], run["exit_code"], run["reason"]) == ("failed", 3, "exit code 3")
    assert run["stdout"].splitlines() == ["Grüße an Jürgen 数 ✓"]
    assert run["stderr"].splitlines() == ["Fehler: größer als 数", "nobody answered"]


def test_the_admin_answers_and_the_login_link_of_open_signs_in(started):
    said = started("open", "--no-browser")
    address, _, token = re.search(r"Sign in: (\S+)", said)[1].partition("#")

    with httpx.Client(follow_redirects=True, timeout=30) as browser:
        browser.get(address)
        headers = {"Origin": f"http://127.0.0.1:{started.port}"}
        csrf = next(value for name, value in browser.cookies.items() if "csrf" in name)
        overview = browser.post(address, data={"token": token, "csrfmiddlewaretoken": csrf}, headers=headers)
        style = browser.get(overview.url.join(re.search(r'href="([^"]*scheduler[^"]*\.css)"', overview.text)[1]))

    assert overview.status_code == 200
    assert "Log out" in overview.text
    assert style.status_code == 200


def test_two_worker_processes_run_two_jobs_at_once(inside, tmp_path):
    # Each waits for the other's file: one after the other they would wait for ever.
    script = tmp_path / "meet.py"
    script.write_text(
        "import pathlib, sys, time\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.05)\n",
        encoding="utf-8",
    )
    one, other = (windows_path(tmp_path / name) for name in ("one", "other"))
    runs = [
        inside.start(job="run_command", parameters={"command": command(script, *files)}, time_limit=LIMIT)
        for files in ((one, other), (other, one))
    ]

    ended = [wait_for_state(inside, run, ENDED, LIMIT) for run in runs]

    assert [run["state"] for run in ended] == ["succeeded", "succeeded"]
    assert len({run["worker"] for run in ended}) == 2


def test_a_time_out_ends_the_grandchild_too(inside, family):
    line, heartbeat = family
    run_id = inside.start(job="run_command", parameters={"command": line}, time_limit=4)
    wait_until(heartbeat.exists, LIMIT, "the grandchild runs")

    run = wait_for_state(inside, run_id, ENDED, LIMIT)

    assert (run["state"], run["reason"]) == ("timed_out", "took longer than its time limit of 4 s")
    assert not still_grows(heartbeat)


def test_a_cancelled_run_ends_within_seconds_with_all_it_started(inside, family):
    line, heartbeat = family
    run_id = inside.start(job="run_command", parameters={"command": line})
    wait_until(heartbeat.exists, LIMIT, "the grandchild runs")

    asked = time.monotonic()
    assert inside.cancel(run_id=run_id)
    run = wait_for_state(inside, run_id, ENDED, LIMIT)

    assert time.monotonic() - asked < 10
    assert run["state"] == "cancelled"
    assert not still_grows(heartbeat)


def test_stop_lets_a_running_job_finish_and_leaves_no_process(started, inside, tmp_path):
    script = tmp_path / "takes its time.py"
    script.write_text(
        "import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch()\ntime.sleep(3)\nprint('done')\n", encoding="utf-8"
    )
    begun = tmp_path / "begun"
    run_id = inside.start(job="run_command", parameters={"command": command(script, windows_path(begun))})
    wait_until(begun.exists, LIMIT, "the job runs")

    said = started("stop")

    assert said.endswith("Stopped.\n")
    assert inside.processes() == []
    assert "stopped" in started("status", code=3)
    # No process on the Windows side has it open any more: what is there now is what has been kept.
    with closing(sqlite3.connect(started.data / "scheduler.sqlite3")) as database:
        kept = database.execute("SELECT state, exit_code FROM jobs_run WHERE id = ?", [run_id]).fetchall()
        output = database.execute("SELECT data FROM jobs_runoutput WHERE run_id = ?", [run_id]).fetchall()
    assert kept == [("succeeded", 0)]
    assert b"".join(piece for (piece,) in output).split() == [b"done"]


def test_ten_seconds_after_the_supervisor_was_killed_no_process_is_left(started, inside, family):
    started.start()
    line, heartbeat = family
    inside.start(job="run_command", parameters={"command": line})
    wait_until(heartbeat.exists, LIMIT, "the grandchild runs")
    assert len(inside.processes()) > 5

    inside.kill(pid=started.supervisor)

    killed = time.monotonic()
    wait_until(lambda: inside.processes() == [], 20, "no process is left")
    assert time.monotonic() - killed < 10
    assert not still_grows(heartbeat)
