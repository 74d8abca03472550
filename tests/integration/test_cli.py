"""What a person types, as real processes: run, start, stop, status, logs, open, config, doctor."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from scheduler_app.config import load
from scheduler_app.login_token import check
from scheduler_app.paths import Paths, secret_key
from tests.waiting import wait_until

TIMEOUT = 30.0
MEBIBYTE = 1024 * 1024
SITECUSTOMIZE = """
import os
if "SCHEDULER_SERVICE_ID" not in os.environ:
    import small_application
    small_application.install()
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class CommandLine:
    """scheduler-app with a data folder of its own and the small application."""

    def __init__(self, tmp_path):
        self.data = tmp_path / "data"
        site = tmp_path / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(SITECUSTOMIZE)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            environment.pop(name, None)
        self.environment = {
            **environment,
            "PYTHONPATH": os.pathsep.join([str(site), str(Path(__file__).parent)]),
            "SCHEDULER_DATA_FOLDER": str(self.data),
            "SCHEDULER_WEB_PORT": str(free_port()),
        }

    def __call__(self, *arguments, code=0, **variables):
        """Run one command to its end and return its output."""
        done = subprocess.run(  # noqa: PLW1510  # the code is compared below
            self.argv(*arguments), env={**self.environment, **variables}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def argv(self, *arguments):
        return [sys.executable, "-m", "scheduler_app", *arguments]

    @contextmanager
    def running(self, *arguments, **variables):
        """Run `run` in the foreground; yield its process, its output in a file."""
        output = self.data.parent / "run.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                self.argv("run", *arguments), env={**self.environment, **variables}, stdout=file, stderr=file
            )
        process.output = output.read_text
        try:
            yield process
        finally:
            kill_tree(process.pid)
            process.wait()

    def wait_until_ready(self, process):
        wait_until(lambda: "Sign in: " in process.output() or process.poll() is not None, TIMEOUT, "ready or ended")
        assert "Ready: " in process.output(), process.output()

    def snapshot(self, code=0):
        return json.loads(self("status", "--json", code=code))

    def wait_for(self, service, state, code):
        def in_state():
            done = subprocess.run(self.argv("status", "--json"), env=self.environment, capture_output=True, check=False)
            snapshot = json.loads(done.stdout)
            found = next(each for each in snapshot["services"] if each["name"] == service)
            return (found["state"] == state and done.returncode == code) and found

        return wait_until(in_state, TIMEOUT, f"{service} {state}")

    def pid(self):
        with suppress(OSError, ValueError):
            return json.loads((self.data / "run" / "supervisor.json").read_text())["pid"]
        return None


def tree(pid):
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def kill_tree(pid):
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def living(processes):
    """Return those that still run; a zombie has ended."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.fixture
def cli(tmp_path):
    cli = CommandLine(tmp_path)
    yield cli
    if (pid := cli.pid()) is not None:
        kill_tree(pid)


def test_run_says_where_the_admin_is_and_ctrl_c_ends_everything(cli):
    with cli.running("--headless") as process:
        cli.wait_until_ready(process)
        started = tree(process.pid)
        assert len(started) >= 3
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0
        assert living(started) == []
        lines = process.output().splitlines()
    port = cli.environment["SCHEDULER_WEB_PORT"]
    assert f"Ready: http://127.0.0.1:{port}/" in lines
    assert lines[-2:] == ["Stopping (SIGINT) …", "Stopped."]


def test_the_login_link_signs_in_with_this_installations_key(cli):
    with cli.running("--headless") as process:
        cli.wait_until_ready(process)
        link = next(line for line in process.output().splitlines() if line.startswith("Sign in: "))
    address, _, token = link.removeprefix("Sign in: ").partition("#")
    assert address == f"http://127.0.0.1:{cli.environment['SCHEDULER_WEB_PORT']}/login/"
    config = load(data_folder=cli.data, environ={})
    assert check(secret_key(config, Paths.of(config)), token, time.time())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_end_is_a_clean_stop(cli, name):
    with cli.running("--headless") as process:
        cli.wait_until_ready(process)
        started = tree(process.pid)
        process.send_signal(getattr(signal, name))
        assert process.wait(TIMEOUT) == 0
        assert living(started) == []
        assert "worker-1: stopping → stopped" in (cli.data / "logs" / "supervisor.log").read_text()


def test_a_second_ctrl_c_does_not_wait(cli):
    with cli.running("--headless", SMALL_WORKER="ignores everything") as process:
        cli.wait_until_ready(process)
        started = tree(process.pid)
        for said in ("Stopping (SIGINT) …", "Stopping now …", "Stopping now …\nStopping now …"):
            process.send_signal(signal.SIGINT)
            wait_until(lambda: said in process.output(), TIMEOUT, said)  # noqa: B023
        asked = time.monotonic()
        assert process.wait(TIMEOUT) == 0
        assert time.monotonic() - asked < 5
        wait_until(lambda: not living(started), 5, "no process left")


def test_no_child_is_left_ten_seconds_after_the_supervisor_was_killed(cli):
    with cli.running("--headless", SMALL_WORKER="ignores everything") as process:
        cli.wait_until_ready(process)
        children = tree(process.pid)[1:]
        assert len(children) >= 3  # web, the worker and what it started in another session
        process.kill()
        killed = time.monotonic()
        wait_until(lambda: not living(children), 15, "the children have ended")
        assert time.monotonic() - killed < 10
    cli("status", code=3)


def test_after_a_killed_supervisor_the_next_start_works(cli):
    with cli.running("--headless") as process:
        cli.wait_until_ready(process)
        children = tree(process.pid)[1:]
        process.kill()
        wait_until(lambda: not living(children), 15, "the children have ended")
    cli("start", "--headless")
    cli("stop")


def test_start_goes_on_in_the_background_until_stop(cli):
    said = cli("start", "--headless")
    assert f"Ready: http://127.0.0.1:{cli.environment['SCHEDULER_WEB_PORT']}/\nSign in: " in said
    supervisor = cli.pid()
    started = tree(supervisor)
    assert len(started) == 3
    assert cli("stop").endswith("Stopped.\n")
    assert living(started) == []
    assert "stopped" in cli("status", code=3)


def test_a_second_start_or_run_says_that_it_runs_already(cli):
    cli("start", "--headless")
    pid, port = cli.pid(), cli.environment["SCHEDULER_WEB_PORT"]
    sentence = f"The scheduler runs already at http://127.0.0.1:{port}/ (process {pid}).\n"
    assert cli("start") == sentence
    assert cli("run", "--headless", code=1) == sentence
    assert cli.pid() == pid
    cli("stop")


def test_two_starts_at_once_make_one_supervisor(cli):
    both = [
        subprocess.Popen(cli.argv("start", "--headless"), env=cli.environment, stdout=subprocess.PIPE) for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    cli("stop")


def test_a_configured_port_that_is_taken_names_the_holder_and_leaves_nothing_behind(cli):
    with socket.create_server(("127.0.0.1", int(cli.environment["SCHEDULER_WEB_PORT"]))):
        for verb in ("run", "start"):
            said = cli(verb, "--headless", code=1)
            assert f"cannot use port {cli.environment['SCHEDULER_WEB_PORT']} for the web server" in said
            assert f"(process {os.getpid()}) uses it" in said
    assert cli.pid() is None
    assert not (cli.data / "scheduler.sqlite3").exists()
    cli("start", "--headless")
    cli("stop")


@pytest.mark.parametrize("verb", ["run", "start"])
def test_a_database_that_cannot_be_prepared_ends_the_start_with_its_words(cli, verb):
    said = cli(verb, "--headless", code=1, SMALL_MIGRATE="fails")
    assert "migrate: exited with code 1; its last lines:" in said
    assert "    cannot use the database: it is from a newer version" in said
    assert "Traceback" not in said
    cli("status", code=3)


def test_a_crash_loop_at_the_start_is_told_with_its_last_lines(cli):
    said = cli("start", "--headless", code=1, SMALL_WORKER="crashes")
    assert "worker-1: exited with code 7; trying again …" in said
    assert "Problem: worker-1: crash loop: 5 failures in a row, the last: exited with code 7\n    out of order" in said
    assert "Running with problems: http://127.0.0.1" in said
    assert "Ready: " not in said
    assert "crash loop" in cli("status", code=1)
    cli("stop")


def test_status_tells_programs_everything(cli):
    cli("start", "--headless")
    snapshot = cli.snapshot()
    assert snapshot["state"] == "running"
    assert snapshot["url"] == f"http://127.0.0.1:{cli.environment['SCHEDULER_WEB_PORT']}/"
    assert snapshot["pid"] == cli.pid()
    assert snapshot["data_folder"] == str(cli.data)
    assert snapshot["database"] == "SQLite"
    assert snapshot["broker"] == {"kind": "embedded", "reason": "for a test"}
    assert [(each["name"], each["state"], each["restarts"]) for each in snapshot["services"]] == [
        ("migrate", "done", 0),
        ("web", "ready", 0),
        ("worker-1", "ready", 0),
    ]
    cli("stop")


def test_status_of_nothing_is_stopped_for_programs_too(cli):
    assert cli.snapshot(code=3) == {"state": "stopped", "data_folder": str(cli.data)}


def test_one_service_can_be_stopped_started_and_restarted(cli):
    cli("start", "--headless")
    cli("stop", "worker-1")
    cli.wait_for("worker-1", "stopped", code=1)
    cli("start", "worker-1")
    first = cli.wait_for("worker-1", "ready", code=0)
    cli("restart", "worker-1")
    assert wait_until(
        lambda: (pid := cli.wait_for("worker-1", "ready", code=0)["pid"]) != first["pid"] and pid,
        TIMEOUT,
        "another process",
    )
    assert "cannot start worker-1: it is ready" in cli("start", "worker-1", code=1)
    cli("stop")


def test_restart_stops_and_starts(cli):
    cli("start", "--headless")
    before = cli.pid()
    said = cli("restart")
    assert "Stopped.\n" in said
    assert "Ready: " in said
    assert cli.pid() != before
    cli("stop")


@pytest.mark.parametrize("verb", ["stop", "open"])
def test_a_verb_that_needs_a_running_scheduler_says_how_to_start_one(cli, verb):
    assert "`scheduler-app start` starts it" in cli(verb, code=3)


def test_open_makes_a_new_link_each_time(cli):
    cli("start", "--headless")
    links = {cli("open") for _ in range(2)}
    assert len(links) == 2
    assert all(link.startswith("Sign in: http://127.0.0.1:") for link in links)
    cli("stop")


def test_logs_shows_the_last_lines_of_one_service_or_of_all(cli):
    (cli.data / "logs").mkdir(parents=True)
    (cli.data / "logs" / "web.log").write_text("one\ntwo\nthree\n")
    (cli.data / "logs" / "beat.log").write_text("tick\n")
    assert cli("logs", "web", "-n", "2") == "two\nthree\n"
    assert cli("logs", "-n", "1") == "beat       | tick\nweb        | three\n"
    assert "the logs in" in cli("logs", "wbe", code=1)


def test_logs_follows_a_file_through_its_rotation(cli):
    log = cli.data / "logs" / "web.log"
    log.parent.mkdir(parents=True)
    log.write_text("before\n")
    shown = cli.data / "shown.txt"
    with shown.open("wb") as file:
        process = subprocess.Popen(cli.argv("logs", "web", "-f", "-n", "1"), env=cli.environment, stdout=file)
    try:
        wait_until(lambda: shown.read_text() == "before\n", TIMEOUT, "what was there before")
        for number in range(3):
            with log.open("a") as file:
                file.write(f"line {number}\n")
            wait_until(lambda: f"line {number}\n" in shown.read_text(), TIMEOUT, f"line {number}")  # noqa: B023
            log.replace(log.with_name("web.log.1"))
            log.touch()
    finally:
        process.kill()
        process.wait()
    assert shown.read_text() == "before\nline 0\nline 1\nline 2\n"


def test_config_check_reports_all_problems_at_once(cli):
    cli.data.mkdir()
    (cli.data / "scheduler.toml").write_text("[web]\nprot = 1\n[worker]\nconcurrency = 'four'\n")
    said = cli("config", "check", code=1)
    assert "web.prot" in said
    assert "worker.concurrency" in said
    assert "Traceback" not in said


def test_config_show_masks_secrets(cli):
    said = cli("config", "show", SCHEDULER_BROKER_URL="amqp://me:swordfish@127.0.0.1/")
    assert "swordfish" not in said
    assert "broker.url" in said


def test_places_may_stand_before_or_after_the_verb(cli, tmp_path):
    file = tmp_path / "other.toml"
    file.write_text("[web]\nport = 4321\n")
    del cli.environment["SCHEDULER_WEB_PORT"]
    for arguments in (["--config", str(file), "config", "show"], ["config", "show", "--config", str(file)]):
        assert "4321" in cli(*arguments)
    other = str(tmp_path / "other data")
    for arguments in (["--data", other, "status"], ["status", "--data", other]):
        assert other in cli(*arguments, code=3)


def test_doctor_says_what_is_wrong_and_what_to_do(cli):
    (cli.data / "jobs").mkdir(parents=True)
    (cli.data / "jobs" / "broken.py").write_text("def half(:\n")
    lines = cli("doctor").splitlines()
    assert [line for line in lines if line.startswith("ok       Python: ")]
    assert [line for line in lines if line.startswith("ok       SQLite: ")]
    assert [line for line in lines if line.startswith("warning  Jobs: ") and "broken.py" in line]
    assert "warning  Services: not running; `scheduler-app start` starts them" in lines


def test_doctor_reports_a_broken_configuration_as_a_problem(cli):
    assert "problem  Configuration: " in cli("doctor", code=1, SCHEDULER_WEB_PORT="none")


def test_doctor_says_where_the_key_of_the_secrets_is_and_looks_for_them_in_the_database(cli):
    cli.data.mkdir(mode=0o700)
    cli("config", "check")
    run = [sys.executable, "-m", "scheduler_app.migrate"]
    subprocess.run(run, env=cli.environment, check=True, capture_output=True, timeout=60)
    code = "import django; django.setup(); from jobs import vault; vault.store('mail', 'correct-horse', by='ada')"
    environment = {
        **cli.environment,
        "DJANGO_SETTINGS_MODULE": "scheduler_app.settings",
        "SCHEDULER_SECURITY_KEY_STORE": "file",
    }
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, timeout=60)

    said = cli("doctor")
    assert f"ok       Secrets: encrypted with a key in the file {cli.data / 'secrets.key'}" in said
    assert "ok       Secrets: the bytes of the database file: 1 looked for, none found in plain text" in said
    (cli.data / "secrets.key").unlink()
    assert "warning  Secrets: cannot find the key of the secrets" in cli("doctor")


def test_doctor_makes_nothing(cli):
    cli("doctor")
    assert not cli.data.exists()


def test_usage_errors_exit_with_2_and_the_help_names_the_exit_codes(cli):
    cli("strat", code=2)
    assert "Exit codes: 0 fine, 1 a problem, 2 wrong usage, 3 not running." in cli("--help")
    assert cli("--version").startswith("scheduler-app ")


@pytest.mark.parametrize("verb", ["run", "start"])
def test_a_data_folder_that_cannot_be_used_is_a_sentence(cli, verb):
    cli.data.mkdir()
    (cli.data / "logs").write_text("in the way")
    said = cli(verb, "--headless", code=1)
    assert said.startswith(f"cannot use the folder {cli.data / 'logs'}")
    assert "Traceback" not in said


def test_a_reader_that_goes_away_does_not_end_the_run(cli):
    process = subprocess.Popen(cli.argv("run", "--headless"), env=cli.environment, stdout=subprocess.PIPE)
    try:
        process.stdout.close()
        cli.data.mkdir(exist_ok=True)
        wait_until(cli.pid, TIMEOUT, "a supervisor")
        cli.wait_for("web", "ready", code=0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
    finally:
        kill_tree(process.pid)
        process.wait()


def test_the_supervisor_is_small_and_status_is_quick(cli):
    cli("start", "--headless")
    assert psutil.Process(cli.pid()).memory_info().rss < 30 * MEBIBYTE
    del cli.environment["PYTHONPATH"]  # the real thing, without the tests' own imports
    times = []
    for _ in range(5):
        began = time.monotonic()
        cli("status")
        times.append(time.monotonic() - began)
    assert min(times) < 0.4
    cli("stop")
