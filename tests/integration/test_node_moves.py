"""The port of the private node is taken while everything runs: the node moves, and beat and worker follow."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest

from scheduler_app.broker import node_credentials
from scheduler_app.supervisor.services import private_node
from tests import servers
from tests.integration.supervised import service_set, supervised
from tests.integration.test_broker_outage import MAKE_RUNS, process
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("rabbitmq")

ROOT = Path(__file__).resolve().parent.parent.parent


def test_beat_and_worker_follow_a_node_that_had_to_take_another_port(tmp_path):
    node = servers.private_node(tmp_path)
    paths = node.paths
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    env = clean | {"SCHEDULER_DATA_FOLDER": str(tmp_path), "DJANGO_SETTINGS_MODULE": "scheduler_app.settings"}
    ledger = tmp_path / "ledger"
    ledger.touch()

    def send(name):
        command = [sys.executable, "-c", MAKE_RUNS, name, "1", str(ledger)]
        subprocess.run(command, env=env, cwd=ROOT, check=True)
        wait_until(lambda: f"{name}0" in ledger.read_text(), 60, f"the run {name}")

    subprocess.run([sys.executable, "-m", "scheduler_app.migrate"], env=env, cwd=ROOT, check=True)
    with ExitStack() as stack:
        running = stack.enter_context(supervised(tmp_path, service_set(private_node(node, os.environ))))
        stack.enter_context(process(env, tmp_path / "beat.log", "celery", "-A", "scheduler_app", "beat"))
        app = ("celery", "-A", "tests.integration.ledger_app")
        stack.enter_context(process(env, tmp_path / "worker.log", *app, "worker"))
        send("before")

        port = node_credentials(paths).port
        psutil.Process(running.service("broker")["pid"]).kill()
        taken = wait_until(lambda: listen(port), 5, "the port is ours")
        with closing(taken):
            send("after")
            assert node_credentials(paths).port != port


def listen(port):
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None
