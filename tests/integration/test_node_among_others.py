"""A private node of an unprivileged user, beside a system's RabbitMQ on the default ports and beside other users."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil
import pytest
from kombu import Connection, Queue

from scheduler_app.broker import node_credentials
from scheduler_app.supervisor.rabbitmq import PrivateNode
from tests import servers
from tests.waiting import wait_until

pwd = pytest.importorskip("pwd", reason="no user ids on this system")

pytestmark = [
    pytest.mark.needs("rabbitmq"),
    pytest.mark.needs("root"),
]

AMQP, EPMD, DISTRIBUTION = 5672, 4369, 25672
SYSTEM = "rabbit@localhost"
JOBS = Queue("jobs", queue_arguments={"x-queue-type": "quorum"})


def identity(name):
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


OWNER, SOMEBODY_ELSE = identity("nobody"), identity("daemon")


def hand_over(folder, owner):
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner["user"], owner["group"], follow_symlinks=False)


@contextmanager
def started(argv, env, log, **options) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=output, stderr=output, **options)
    try:
        yield process
    finally:
        for each in reversed([psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]):
            each.kill()
        process.wait(10)
        process.stdin.close()


@contextmanager
def system_node(folder):
    """Run RabbitMQ as a system does: on the default ports, registered at epmd, as rabbit@, with its guest."""
    node = servers.private_node(folder)
    node.write_configuration()
    (folder / "rabbitmq" / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{AMQP}\nlog.console = false\n")
    argv = node.argv()
    for option, value in {"-sname": SYSTEM, "-start_epmd": "true", "-dist_listen": "true"}.items():
        argv[argv.index(option) + 1] = value
    epmd = argv.index("-erl_epmd_port")
    argv[epmd : epmd + 2] = [
        *("-kernel", "inet_dist_listen_min", str(DISTRIBUTION), "-kernel", "inet_dist_listen_max", str(DISTRIBUTION))
    ]
    env = node.environment() | {"RABBITMQ_NODENAME": SYSTEM, "ERL_EPMD_ADDRESS": "127.0.0.1"}
    with started(argv, env, folder / "log"):
        yield
    # epmd leaves its starter at once and stays behind.
    for process in psutil.process_iter(["name", "environ"]):
        if process.info["name"] == "epmd" and (process.info["environ"] or {}).get("HOME") == env["HOME"]:
            process.kill()


@pytest.fixture(scope="module")
def node():
    """Yield a private node that runs as nobody, beside a system's node."""
    folder = Path(tempfile.mkdtemp(prefix="node-of-nobody-"))  # pytest's own folders let root in only
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        folder.chmod(0o755)
        for name in ("system", "data"):
            (folder / name).mkdir()
        if not is_listening(AMQP):
            stack.enter_context(system_node(folder / "system"))
        private = servers.private_node(folder / "data")
        private.write_configuration()
        hand_over(folder / "data", OWNER)
        log = folder / "log"
        process = stack.enter_context(started(private.argv(), private.environment(), log, cwd=folder, **OWNER))
        wait_until(lambda: ready(private, process, log), 60, "the node of nobody is ready")
        wait_until(lambda: is_listening(AMQP), 60, "the system's node is ready")
        private.process = psutil.Process(process.pid)
        yield private


def ready(node: PrivateNode, process, log):
    assert process.poll() is None, log.read_text()
    return node.is_ready()


def is_listening(port):
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_works_as_an_unprivileged_user_beside_a_systems_node(node):
    assert {each.uids().effective for each in (node.process, *node.process.children(recursive=True))} == {OWNER["user"]}
    assert is_listening(AMQP)
    url = node_credentials(node.paths).url().reveal()
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        queue = JOBS(connection.default_channel)
        queue.declare()
        connection.Producer().publish("mine", routing_key=queue.name)
        assert wait_until(queue.get, 10, "the message").payload == "mine"


def test_it_listens_on_loopback_only_and_on_one_port(node):
    mine = {each.pid for each in (node.process, *node.process.children(recursive=True))}
    table = [each for each in psutil.net_connections(kind="inet") if each.pid in mine]
    listening = {(each.laddr.ip, each.laddr.port) for each in table if each.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", node_credentials(node.paths).port)}
    assert {each.laddr.ip for each in table} == {"127.0.0.1"}


def test_another_user_can_neither_read_its_files_nor_see_its_secrets(node):
    files = [path for path in node.folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    read = subprocess.run(["cat", *files], **SOMEBODY_ELSE, cwd="/", capture_output=True, check=False)
    assert read.stdout == b""
    assert read.stderr.count(b"Permission denied") == len(files)
    listed = subprocess.run(["ls", node.folder], **SOMEBODY_ELSE, cwd="/", capture_output=True, check=False)
    assert listed.stdout == b""
    credentials = node_credentials(node.paths)
    shown = subprocess.run(["ps", "axww"], **SOMEBODY_ELSE, cwd="/", capture_output=True, check=True, text=True).stdout
    assert str(node.folder) in shown
    assert not [secret for secret in (credentials.password, credentials.cookie) if secret in shown]


def test_who_knows_no_password_is_let_in_neither_as_guest_nor_as_its_user(node):
    credentials = node_credentials(node.paths)
    for user, password in [("guest", "guest"), (credentials.user, ""), (credentials.user, "guest")]:
        with (
            Connection(
                hostname="127.0.0.1", port=credentials.port, userid=user, password=password, virtual_host="scheduler"
            ) as connection,
            pytest.raises(Exception, match="ACCESS_REFUSED"),
        ):
            connection.connect()
