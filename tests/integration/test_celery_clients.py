"""Ordinary Celery programs on the same RabbitMQ: what they may start becomes a run, all else is refused and listed."""

import pytest
from celery import Celery
from kombu import Queue

from scheduler_app import routing
from tests import servers
from tests.installation import Installation
from tests.waiting import wait_until

SOON = 30

pytestmark = pytest.mark.needs("rabbitmq")


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    with servers.rabbitmq(tmp_path_factory.mktemp("node")) as node:
        yield Installation(
            tmp_path_factory.mktemp("installation"), node.url, SCHEDULER_CELERY_ACCEPTS="check_port,wait_for_*"
        )


@pytest.fixture(scope="module")
def worker(installation):
    with installation.worker("worker"):
        yield


@pytest.fixture(scope="module")
def client(installation):
    """A Celery program as docs/jobs.md describes one."""
    app = Celery("shop", broker=installation.broker, set_as_current=False)
    app.conf.task_default_queue = routing.DEFAULT_QUEUE
    app.conf.task_queues = [Queue(routing.DEFAULT_QUEUE, no_declare=True)]
    yield app
    app.close()


def runs(installation):
    return installation.rows("SELECT job, origin, requested_by, parameters FROM jobs_run ORDER BY id")


def test_a_task_of_a_celery_program_is_a_run_of_its_own_once(installation, worker, client):
    @client.task(name="check_port", lazy=False)
    def check_port(host, port):
        raise AssertionError("it runs in the scheduler's worker")

    check_port.delay("127.0.0.1", port=5)
    for _ in range(2):
        client.send_task("wait_for_file", kwargs={"path": "/tmp/x"}, task_id="one-and-the-same")
    client.send_task("run_command", kwargs={"command": "touch /tmp/never"})
    (refusal,) = wait_until(
        lambda: installation.rows("SELECT reason FROM jobs_refusedmessage"), SOON, "the command is refused"
    )
    assert "its header task is 'run_command'" in refusal[0]
    made = wait_until(lambda: (found := runs(installation)) and len(found) > 1 and found, SOON, "the runs are there")
    assert [(job, origin) for job, origin, _, _ in made] == [("check_port", "external"), ("wait_for_file", "external")]
    assert '"host": "127.0.0.1"' in made[0][3]
    assert "@" in made[0][2]
