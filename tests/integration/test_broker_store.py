"""A private node whose message store is beyond repair gets a new one by itself."""

import os
import random
from pathlib import Path

import pytest
from kombu import Connection, Queue

from scheduler_app.broker import node_credentials
from scheduler_app.broker_store import store_of, stores_set_aside
from scheduler_app.supervisor.services import private_node
from tests import servers
from tests.integration.supervised import service_set, supervised
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("rabbitmq")

JOBS = Queue("jobs", queue_arguments={"x-queue-type": "quorum"})
# Two starts that fail, and one that makes a new store.
RECOVERS_WITHIN = 90


def half_written(store):
    """Leave of every file its first half and noise: what a power cut may leave of blocks that were not yet written."""
    for path in store.rglob("*"):
        if path.is_file():
            half = path.stat().st_size // 2
            path.write_bytes(path.read_bytes()[:half] + random.Random(1).randbytes(half))


def without_users(store):
    """Empty the table of users: the node boots, and lets nobody in."""
    (store / "rabbit_user.DCD").write_bytes(b"")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a data folder whose node has ended, with a queue in its store."""
    folder = tmp_path_factory.mktemp("data")
    for _ in range(2):  # at its second start the node moves what it knows from a log into tables
        with servers.rabbitmq(folder) as node:
            use(node.url)
    return folder


def use(url):
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        queue = JOBS(connection.default_channel)
        queue.declare()
        connection.Producer().publish("x", routing_key=queue.name)
        return wait_until(queue.get, 10, "the message").payload


# In this order: what one leaves is what the next one damages.
@pytest.mark.parametrize(("damage", "restarts"), [(without_users, 1), (half_written, 2)])
def test_a_node_that_cannot_use_its_store_is_up_again_with_a_new_one(data, damage, restarts):
    files = set(Path.cwd().iterdir())
    node = servers.private_node(data)
    paths = node.paths
    before = stores_set_aside(paths)
    damage(store_of(paths, node_credentials(paths).user))
    with supervised(data, service_set(private_node(node, os.environ))) as running:
        wait_until(lambda: running.service("broker")["state"] == "ready", RECOVERS_WITHIN, "the node is ready")
        assert use(node_credentials(paths).url().reveal()) == "x"
        assert running.service("broker")["restarts"] == restarts
        assert not [path for path in set(Path.cwd().iterdir()) - files if "Mnesia" in path.name]
        running.stop()
    kept = stores_set_aside(paths)
    assert kept[:1] != before[:1]
    assert len(kept) <= 2
