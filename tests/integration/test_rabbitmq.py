"""The private RabbitMQ node, started for real."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from amqp.exceptions import AccessRefused
from kombu import Connection, Exchange, Producer, Queue

from scheduler_app import broker, platforms
from scheduler_app.broker import node_credentials
from scheduler_app.commands import doctor
from scheduler_app.config import Secret
from scheduler_app.supervisor.amqp_check import UnusableError
from scheduler_app.worker_heartbeats import Heartbeats
from tests import servers
from tests.proxy import Proxy
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("rabbitmq")

ROOT = Path(__file__).parents[2]
JOBS = Queue("jobs", Exchange("work", "direct"), routing_key="jobs", queue_arguments={"x-queue-type": "quorum"})
EPMD_MONITOR = "whereis(rabbit_epmd_monitor)"
CONFIRMS = {"confirm_publish": True}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("node")
    told = (folder / "monitor").as_posix()
    with servers.rabbitmq(
        folder, "-eval", f'file:write_file("{told}", io_lib:format("~p", [{EPMD_MONITOR}])).'
    ) as node:
        yield node


def publish(url, *bodies):
    with Connection(url, transport_options=CONFIRMS) as connection:
        for body in bodies:
            Producer(connection.default_channel).publish(body, exchange="work", routing_key="jobs", declare=[JOBS])


def consume(url, count):
    """Return *count* messages, in order."""
    with Connection(url) as connection:
        queue = JOBS(connection.default_channel)
        messages = [wait_until(queue.get, 10, "a message") for _ in range(count)]
        for message in messages:
            message.ack()
        return [message.payload for message in messages]


def processes_of(node):
    process = psutil.Process(node.tree.popen.pid)
    return [process, *process.children(recursive=True)]


def test_confirmed_messages_are_delivered(running):
    publish(running.url, *range(20))
    assert consume(running.url, 20) == list(range(20))


def test_guest_is_refused(running):
    port = node_credentials(running.node.paths).port
    with Connection(f"amqp://guest:guest@127.0.0.1:{port}//") as connection, pytest.raises(AccessRefused):
        connection.connect()


def test_another_password_is_refused_and_does_not_count_as_ready(running, monkeypatch):
    wrong = replace(node_credentials(running.node.paths), password="wrong")
    monkeypatch.setattr("scheduler_app.supervisor.rabbitmq.node_credentials", lambda _: wrong)
    with pytest.raises(UnusableError, match="ACCESS_REFUSED"):
        running.node.is_ready()


def test_an_open_port_alone_does_not_count_as_ready(running, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        elsewhere = replace(node_credentials(running.node.paths), port=server.getsockname()[1])
        monkeypatch.setattr("scheduler_app.supervisor.rabbitmq.node_credentials", lambda _: elsewhere)
        monkeypatch.setattr("scheduler_app.supervisor.amqp_check.ANSWER_LIMIT", 0.2)
        assert not running.node.is_ready()


def test_nothing_but_amqp_listens_and_that_on_loopback_only(running):
    listening = [
        (connection.laddr.ip, connection.laddr.port)
        for process in processes_of(running)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
    ]
    assert listening == [("127.0.0.1", node_credentials(running.node.paths).port)]
    assert "epmd" not in [process.name() for process in processes_of(running)]
    # It would start epmd on all interfaces, a minute after the boot.
    told = running.node.paths.data / "monitor"
    wait_until(told.exists, 10, "the node has told")
    assert told.read_text() == "undefined"


def test_no_secret_is_on_the_command_line_or_in_the_environment_or_readable_by_others(running):
    credentials = node_credentials(running.node.paths)
    for process in processes_of(running):
        shown = [*process.cmdline(), *process.environ().values()]
        assert not [text for text in shown if credentials.password in text or credentials.cookie in text]
    holders = [
        path
        for path in running.node.folder.rglob("*")
        if path.is_file()
        and any(secret.encode() in path.read_bytes() for secret in (credentials.password, credentials.cookie))
    ]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in holders}
    assert modes == {"node.json": 0o600, "rabbitmq.conf": 0o600, ".erlang.cookie": 0o400}
    assert stat.S_IMODE(running.node.folder.stat().st_mode) == 0o700


def test_nothing_of_a_systems_rabbitmq_gets_into_the_environment(running):
    environment = running.node.environment({"RABBITMQ_CONFIG_FILE": "/etc/x", "ERL_FLAGS": "-x", "PATH": "/bin"})
    assert environment["PATH"] == "/bin"
    assert "ERL_FLAGS" not in environment
    assert environment["RABBITMQ_CONFIG_FILE"].startswith(running.node.folder.as_posix())


def test_checking_readiness_leaves_no_trace_in_the_log(running):
    before = running.log.stat().st_size
    assert all(running.node.is_ready() for _ in range(10))
    publish(running.url, "x")
    assert consume(running.url, 1) == ["x"]
    assert "closing AMQP connection" not in running.log.read_bytes()[before:].decode()


def test_a_node_keeps_its_port_and_its_messages_and_stops_within_ten_seconds(tmp_path):
    with servers.rabbitmq(tmp_path) as first:
        url = first.url
        publish(url, "kept")
        children = processes_of(first)
        started = time.monotonic()
        first.stop()
        assert time.monotonic() - started < 10
        wait_until(lambda: not any(child.is_running() for child in children[1:]), 5, "its helpers are gone")
    with servers.rabbitmq(tmp_path) as second:
        assert second.url == url
        assert consume(second.url, 1) == ["kept"]


def test_the_word_stop_stops_it_too(tmp_path):
    with servers.rabbitmq(tmp_path) as node:
        node.tree.popen.stdin.write(b"anything else\nstop\n")
        node.tree.popen.stdin.flush()
        assert node.tree.popen.wait(10) == 0


def test_confirmed_messages_survive_a_kill(tmp_path):
    # RabbitMQ 3.10 does not keep this promise for a quorum queue that is only seconds old.
    with servers.rabbitmq(tmp_path) as first:
        publish(first.url, "0")
    with servers.rabbitmq(tmp_path) as second:
        publish(second.url, *range(1, 50))
        second.tree.kill()
        second.tree.popen.wait(10)
    with servers.rabbitmq(tmp_path) as third:
        assert consume(third.url, 50) == ["0", *range(1, 50)]


def test_a_queue_that_a_kill_caught_in_its_first_second_can_be_used_again(tmp_path):
    with servers.rabbitmq(tmp_path) as first:
        publish(first.url, "may be lost")
        first.tree.kill()
        first.tree.popen.wait(10)
    with servers.rabbitmq(tmp_path) as second:
        publish(second.url, "after")
        with Connection(second.url) as connection:
            queue = JOBS(connection.default_channel)
            arrived = lambda: (message := queue.get()) is not None and message.payload == "after"  # noqa: E731
            wait_until(arrived, 10, "the queue works")


def test_a_node_whose_port_somebody_else_has_taken_comes_up_on_another(tmp_path):
    before = node_credentials(servers.private_node(tmp_path).paths)
    with socket.create_server(("127.0.0.1", before.port)), servers.rabbitmq(tmp_path) as node:
        assert node.node.is_ready()
        assert node_credentials(node.node.paths).port != before.port


def test_lost_credentials_make_a_fresh_store_instead_of_a_node_nobody_can_enter(tmp_path):
    with servers.rabbitmq(tmp_path) as node:
        publish(node.url, "x")
    (tmp_path / "rabbitmq" / "node.json").write_text("{")
    with servers.rabbitmq(tmp_path) as node:
        publish(node.url, "y")
        assert consume(node.url, 1) == ["y"]


PARENT = """
    import subprocess, sys, time
    from pathlib import Path
    from tests import servers
    from scheduler_app import platforms
    node = servers.private_node(Path(sys.argv[1]))
    node.write_configuration()
    tree = platforms.spawn(node.argv(), env=node.environment())
    print(tree.popen.pid, flush=True)
    while tree.popen.stdout.readline():
        pass
"""


@pytest.mark.parametrize("booted", [True, False], ids=["ready", "still booting"])
def test_a_node_ends_when_its_parent_is_killed(tmp_path, booted):
    node = servers.private_node(tmp_path)
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with parent:
        process = psutil.Process(int(parent.stdout.readline()))
        if booted:
            wait_until(node.is_ready, 60, "the node is ready")
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 10, "the node has ended")


def test_a_start_waits_for_the_node_that_is_still_on_its_way_out(tmp_path):
    with servers.rabbitmq(tmp_path) as old:
        publish(old.url, "kept")
        url = old.url
        old.tree.popen.stdin.close()
        with servers.rabbitmq(tmp_path) as new:
            assert old.tree.popen.poll() is not None
            assert new.url == url
            assert consume(new.url, 1) == ["kept"]


def test_a_start_ends_a_predecessor_that_does_not_end_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("scheduler_app.supervisor.rabbitmq.PREDECESSOR_TIMEOUT", 0.5)
    with servers.rabbitmq(tmp_path) as old, servers.rabbitmq(tmp_path) as new:
        assert old.tree.popen.poll() is not None
        assert new.node.is_ready()


def test_two_installations_run_side_by_side(tmp_path, running):
    with servers.rabbitmq(tmp_path) as other:
        assert other.node.is_ready()
        assert running.node.is_ready()
        assert other.url != running.url


def test_the_broker_that_is_chosen_is_this_node(running):
    assert platforms.find_rabbitmq() == running.node.installation
    assert broker.node_credentials(running.node.paths).url().reveal() == running.url


def test_the_check_up_logs_in_to_a_broker_that_is_named_and_says_what_to_look_at(running):
    good = doctor.named_broker(Secret(running.url))
    assert good.level == "ok"
    assert re.match(r"RabbitMQ [34]\.[\d.]+ at amqp://\S+ lets us in$", good.finding)
    assert "raise its consumer_timeout" in good.to_do
    password = node_credentials(running.node.paths).password
    bad = doctor.named_broker(Secret(running.url.replace(password, "wrong")))
    assert bad.level == "problem"
    assert "ACCESS_REFUSED" in bad.finding
    assert password not in f"{good}{bad}"


@contextmanager
def connected(url):
    connection = Connection(url, heartbeat=1)
    amqp = connection.connect()
    try:
        yield connection
    finally:
        amqp.collect()  # without a farewell, for which the broker may be silent


def test_a_worker_that_is_busy_keeps_its_connection(running):
    with connected(running.url) as connection, sending_heartbeats(connection):
        channel = connection.default_channel
        declared = JOBS(channel).queue_declare
        declared()
        time.sleep(5)  # it is busy: it reads nothing, and RabbitMQ would give up after three seconds
        declared()


@pytest.mark.parametrize("waits_for", ["a message", "an answer"])
def test_a_broker_that_falls_silent_is_missed_after_two_intervals(running, waits_for, caplog):
    port = urlsplit(running.url).port
    with (
        closing(Proxy(port)) as proxy,
        connected(running.url.replace(f":{port}", f":{proxy.port}")) as connection,
        sending_heartbeats(connection),
    ):
        amqp, channel = connection.connection, connection.default_channel
        listen(amqp, 3)
        proxy.silent = True
        began = time.monotonic()
        # Celery asks without a time limit, too.
        wait = JOBS(channel).queue_declare if waits_for == "an answer" else lambda: listen(amqp, 10)
        with pytest.raises((*connection.connection_errors, OSError)):
            wait()
        assert time.monotonic() - began < 5
        assert re.fullmatch(r"nothing came from the broker for \d s: connecting anew", caplog.messages[-1])


@contextmanager
def sending_heartbeats(connection):
    heartbeats = Heartbeats(connection)
    try:
        yield
    finally:
        heartbeats.end()


def listen(amqp, seconds):
    """Do what a worker does that waits for a message."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(TimeoutError):
            amqp.drain_events(timeout=0.1)
