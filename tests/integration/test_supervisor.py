"""The supervisor over real children that behave, crash, hang, ignore it, fork, and print without end."""

import os
import signal
import time
from dataclasses import replace

import psutil
import pytest

from scheduler_app import pulse
from scheduler_app.supervisor.output import TAIL_LINES
from scheduler_app.supervisor.readiness import file_pulse
from scheduler_app.supervisor.service import BrokerInUse, SupervisorError
from tests.integration.supervised import QUICK, TIMEOUT, program, service_set, supervised
from tests.waiting import wait_until

MEGABYTE = 1_000_000


def order_of(log, *events):
    """Return the events that stand in the supervisor's log, in its order."""
    return sorted((event for event in events if event in log), key=log.index)


def test_a_service_becomes_ready_and_stops_cleanly(tmp_path):
    with supervised(tmp_path, service_set(program(tmp_path, "serves"))) as running:
        service = running.wait_for("one", "ready")
        assert psutil.pid_exists(service["pid"])
        assert running.snapshot()["state"] == "running"
        running.stop()
        assert running.log("one") == "up\ndown\n"
        assert "stopping → stopped" in running.log("supervisor")


def test_services_start_in_the_order_of_their_needs_and_stop_in_reverse(tmp_path):
    task = program(tmp_path, "succeeds", "migrate", limits=replace(QUICK, runs_once=True))
    broker = program(tmp_path, "serves", "broker", needs=frozenset({"migrate"}))
    web = program(tmp_path, "serves", "web", needs=frozenset({"migrate"}))
    worker = program(tmp_path, "serves", "worker-1", needs=frozenset({"migrate", "broker"}))
    with supervised(tmp_path, service_set(task, broker, web, worker)) as running:
        running.wait_for_overall("running")
        assert running.service("migrate")["state"] == "done"
        running.stop()
        log = running.log("supervisor")
    started = ["migrate: starting → done", "broker: waiting → starting", "broker: starting → ready"]
    expected = [*started, "worker-1: waiting → starting"]
    assert order_of(log, *expected) == expected
    expected = ["worker-1: stopping → stopped", "broker: ready → stopping"]
    assert order_of(log, *expected) == expected
    # Nothing needs the web server, and it does not need the broker.
    assert log.index("web: waiting → starting") < log.index("broker: starting → ready")


def test_a_crash_loop_is_named_and_carries_the_last_lines(tmp_path):
    with supervised(tmp_path, service_set(program(tmp_path, "crashes"))) as running:
        service = running.wait_for("one", "failed")
        assert service["reason"] == "crash loop: 5 failures in a row, the last: exited with code 3"
        assert service["last_lines"] == [f"line {number}" for number in range(30 - TAIL_LINES, 30)]
        assert service["restarts"] == 4
        assert running.snapshot()["state"] == "failing"


def test_a_failed_service_can_be_started_again_once_it_is_repaired(tmp_path):
    with supervised(tmp_path, service_set(program(tmp_path, "crashes until told"))) as running:
        running.wait_for("one", "failed")
        (tmp_path / "repaired").touch()
        running.supervisor.command("start", "one")
        running.wait_for("one", "ready")


def test_a_service_that_is_killed_comes_back(tmp_path):
    with supervised(tmp_path, service_set(program(tmp_path, "serves"))) as running:
        first = running.wait_for("one", "ready")
        psutil.Process(first["pid"]).kill()
        second = wait_until(
            lambda: (
                (now := running.service("one"))["pid"] not in (None, first["pid"]) and now["state"] == "ready" and now
            ),
            TIMEOUT,
            "the service is back",
        )
        assert second["restarts"] == 1


def with_pulse(folder, behaviour, **options):
    file = folder / "one.pulse"
    environment = {**os.environ, pulse.VARIABLE: str(file)}
    limits = replace(QUICK, hung=1.0, insist=0.2)
    return program(
        folder, behaviour, environment=environment, prepare=file.touch, pulse=file_pulse(file), limits=limits, **options
    )


def test_a_service_that_hangs_is_started_anew_with_the_reason(tmp_path):
    with supervised(tmp_path, service_set(with_pulse(tmp_path, "shows its pulse"))) as running:
        before = running.wait_for("one", "ready")
        os.kill(before["pid"], signal.SIGSTOP)
        wait_until(lambda: running.service("one")["restarts"] == 1, TIMEOUT, "a restart")
        after = running.wait_for("one", "ready")
        assert after["pid"] != before["pid"]
        assert "one: ready → stopping (no sign of life for 1 s)" in running.log("supervisor")


def test_a_service_that_shows_its_pulse_is_left_alone(tmp_path):
    with supervised(tmp_path, service_set(with_pulse(tmp_path, "shows its pulse"))) as running:
        running.wait_for("one", "ready")
        # The time in which one that hangs is noticed, started by another of its kind.
        wait_until(lambda: time.time() - running.service("one")["since"] > 2, TIMEOUT, "two limits have passed")
        assert running.service("one")["restarts"] == 0


def test_a_service_that_is_not_ready_in_its_limit_is_a_failure_with_its_last_lines(tmp_path):
    hanging = program(tmp_path, "is never ready", limits=replace(QUICK, ready=0.5, backoff_first=60, backoff_cap=60))
    with supervised(tmp_path, service_set(hanging)) as running:
        service = running.wait_for("one", "backoff")
        assert service["reason"] == "not ready within 0.5 s"
        assert service["last_lines"] == ["thinking"]


def test_a_service_that_ignores_the_stop_is_killed_when_its_limits_are_over(tmp_path):
    stubborn = program(tmp_path, "ignores everything", limits=replace(QUICK, stop=0.3, insist=0.3))
    with supervised(tmp_path, service_set(stubborn)) as running:
        pid = running.wait_for("one", "ready")["pid"]
        running.stop()
        log = running.log("supervisor")
        assert "one: stopping → insisting" in log
        assert "one: insisting → killing" in log
        assert not psutil.pid_exists(pid)


def test_a_service_that_stops_at_the_second_request_is_not_killed(tmp_path):
    service = program(tmp_path, "stops when asked twice", limits=replace(QUICK, stop=0.3, insist=TIMEOUT))
    with supervised(tmp_path, service_set(service)) as running:
        running.wait_for("one", "ready")
        running.stop()
        assert (tmp_path / "twice").exists()
        assert "killing" not in running.log("supervisor")


def test_a_second_stop_does_not_wait_for_the_limit(tmp_path):
    stubborn = program(tmp_path, "ignores everything", limits=replace(QUICK, stop=600, insist=600))
    with supervised(tmp_path, service_set(stubborn)) as running:
        running.wait_for("one", "ready")
        for _ in range(3):
            running.supervisor.request_stop("a person is in a hurry")
        running.join()
        assert "insisting → killing" in running.log("supervisor")


def test_what_a_crashed_service_left_behind_is_killed(tmp_path):
    service = program(tmp_path, "forks and crashes", limits=replace(QUICK, backoff_first=60, backoff_cap=60))
    with supervised(tmp_path, service_set(service)) as running:
        running.wait_for("one", "ready")
        grandchild = int((tmp_path / "grandchild").read_text())
        assert psutil.pid_exists(grandchild)
        psutil.Process(running.service("one")["pid"]).kill()
        wait_until(lambda: not psutil.pid_exists(grandchild), TIMEOUT, "the grandchild is gone")


@pytest.mark.parametrize("behaviour", ["prints without end", "prints one endless line"])
def test_a_service_that_prints_without_end_does_not_grow_the_supervisor(tmp_path, behaviour):
    service = program(tmp_path, behaviour, limits=replace(QUICK, stop=0.2, insist=0.2))
    with supervised(tmp_path, service_set(service), max_size=2 * MEGABYTE) as running:
        running.wait_for("one", "ready")
        process = psutil.Process()

        def written():
            return process.io_counters().write_bytes

        start, before = written(), process.memory_info().rss
        wait_until(lambda: written() - start > 200 * MEGABYTE, 60, "200 MB of output")
        assert process.memory_info().rss - before < 8 * MEGABYTE
        running.stop()
        assert len(list(tmp_path.glob("one.log*"))) == 3
        assert sum(path.stat().st_size for path in tmp_path.glob("one.log*")) < 7 * MEGABYTE


def test_a_failed_task_stops_everything_and_says_why(tmp_path):
    task = program(tmp_path, "fails", "migrate", limits=replace(QUICK, runs_once=True))
    web = program(tmp_path, "serves", "web", needs=frozenset({"migrate"}))
    with supervised(tmp_path, service_set(task, web)) as running:
        running.join()
        assert running.supervisor.problem == (
            "migrate: exited with code 1; its last lines:\n    the database is from a newer version"
        )
        assert "web: waiting → starting" not in running.log("supervisor")


def test_a_program_that_does_not_exist_is_a_failure_with_that_reason(tmp_path):
    missing = replace(program(tmp_path, "serves"), argv=(str(tmp_path / "no such program"),))
    with supervised(tmp_path, service_set(missing)) as running:
        service = running.wait_for("one", "failed")
        assert "cannot be started: [Errno 2] No such file or directory" in service["reason"]


def test_one_service_is_restarted_on_demand_and_the_others_go_on(tmp_path):
    services = service_set(program(tmp_path, "serves", "web"), program(tmp_path, "serves", "beat"))
    with supervised(tmp_path, services) as running:
        running.wait_for_overall("running")
        before = {name: running.service(name)["pid"] for name in ("web", "beat")}
        running.supervisor.command("restart", "web")
        wait_until(lambda: running.service("web")["pid"] not in (None, before["web"]), TIMEOUT, "a new process")
        running.wait_for("web", "ready")
        assert running.service("beat")["pid"] == before["beat"]
        assert running.service("web")["restarts"] == 0


def test_one_service_is_stopped_and_started_on_demand(tmp_path):
    with supervised(tmp_path, service_set(program(tmp_path, "serves", "web"))) as running:
        running.wait_for("web", "ready")
        running.supervisor.command("stop", "web")
        running.wait_for("web", "stopped")
        assert running.snapshot()["state"] == "degraded"
        running.supervisor.command("start", "web")
        running.wait_for("web", "ready")


def test_a_command_that_the_state_does_not_allow_is_refused_with_the_state(tmp_path):
    with supervised(tmp_path, service_set(program(tmp_path, "serves", "web"))) as running:
        running.wait_for("web", "ready")
        with pytest.raises(SupervisorError, match="cannot start web: it is ready"):
            running.supervisor.command("start", "web")


def test_a_command_for_an_unknown_service_names_the_known_ones(tmp_path):
    says = pytest.raises(SupervisorError, match="cannot stop 'wbe': the services here are web")
    with supervised(tmp_path, service_set(program(tmp_path, "serves", "web"))) as running, says:
        running.supervisor.command("stop", "wbe")


def test_a_command_during_the_stop_is_refused(tmp_path):
    services = service_set(program(tmp_path, "serves", "web"), program(tmp_path, "stops slowly", "slow"))
    with supervised(tmp_path, services) as running:
        running.wait_for_overall("running")
        running.supervisor.request_stop("the test")
        running.wait_for_file("asked")
        running.wait_for("web", "stopped")
        with pytest.raises(SupervisorError, match="cannot start web: everything is being stopped"):
            running.supervisor.command("start", "web")
        (tmp_path / "may end").touch()


def with_fallback(tmp_path, broker):
    """Return a set with a private broker and the one it falls back to, told apart by a variable."""

    def services(kind):
        environment = {**os.environ, "BROKER": kind}
        web = program(tmp_path, "serves", "web", environment=environment)
        needs = frozenset({"broker"}) if kind == "private" else frozenset()
        return web, program(tmp_path, "serves", "worker-1", environment=environment, needs=needs)

    def without(reason):
        return replace(service_set(*services("embedded")), broker=BrokerInUse("embedded", reason))

    web, worker = services("private")
    return replace(service_set(broker, web, worker, without=without), broker=BrokerInUse("private", "found"))


def environment_of(service):
    return psutil.Process(service["pid"]).environ()


@pytest.mark.parametrize(
    ("behaviour", "limits", "reason"),
    [
        pytest.param("crashes", QUICK, "exited with code 3", id="it crashes"),
        pytest.param("is never ready", replace(QUICK, ready=0.5), "not ready within 0.5 s", id="it hangs"),
    ],
)
def test_a_private_broker_that_does_not_start_is_replaced_with_the_reason_kept(tmp_path, behaviour, limits, reason):
    broker = program(tmp_path, behaviour, "broker", limits=limits)
    with supervised(tmp_path, with_fallback(tmp_path, broker)) as running:
        snapshot = wait_until(
            lambda: (now := running.snapshot())["state"] == "running" and len(now["services"]) == 2 and now,
            TIMEOUT,
            "everything runs without the broker",
        )
        assert snapshot["broker"] == {"kind": "embedded", "reason": reason}
        assert [service["name"] for service in snapshot["services"]] == ["web", "worker-1"]
        # The web server was up already, with the address of the broker that is gone.
        assert {environment_of(service)["BROKER"] for service in snapshot["services"]} == {"embedded"}


def test_a_broker_that_was_ready_once_is_restarted_and_not_replaced(tmp_path):
    broker = program(tmp_path, "serves", "broker")
    with supervised(tmp_path, with_fallback(tmp_path, broker)) as running:
        running.wait_for_overall("running")
        for restarts in range(1, 5):
            psutil.Process(running.wait_for("broker", "ready")["pid"]).kill()
            wait_until(lambda: running.service("broker")["restarts"] == restarts, TIMEOUT, "a restart")  # noqa: B023
        assert running.snapshot()["broker"]["kind"] == "private"


def test_a_broker_without_a_fallback_stays_a_crash_loop(tmp_path):
    with supervised(tmp_path, service_set(program(tmp_path, "crashes", "broker"))) as running:
        assert running.wait_for("broker", "failed")["reason"].startswith("crash loop")


def test_the_stop_of_a_service_in_back_off_is_immediate(tmp_path):
    crashing = program(tmp_path, "crashes", limits=replace(QUICK, backoff_first=600, backoff_cap=600))
    with supervised(tmp_path, service_set(crashing)) as running:
        running.wait_for("one", "backoff")
        asked = time.monotonic()
        running.stop()
        assert time.monotonic() - asked < 2
