"""Beat sends again what a broker may have lost: after a restart, a new store or a new file, and at no other time."""

from datetime import timedelta

import pytest
from celery import Celery

from jobs import queue_repair
from jobs.dispatcher import FORGOTTEN_AGAIN_AFTER, REFUSED_AGAIN_AFTER, SEND_AGAIN_AFTER, Dispatcher
from jobs.models import Run
from jobs.publisher import Publisher
from jobs.states import State
from scheduler_app import embedded_transport, routing
from tests import servers
from tests.factories import NOW, make_run

pytestmark = pytest.mark.django_db

QUEUE = routing.DEFAULT_QUEUE
LATER = NOW + timedelta(minutes=1)


def application(url, queue_type):
    app = Celery("test", broker=url, set_as_current=False)
    app.conf.update(task_default_queue=QUEUE, task_default_queue_type=queue_type)
    return app


@pytest.fixture
def dispatcher():
    made = []

    def make(url, queue_type):
        made.append(Dispatcher(Publisher(application(url, queue_type), "a key", owns_broker=True), QUEUE))
        return made[-1]

    yield make
    for each in made:
        each.close()


def due():
    return {run.pk: run.dispatch_at for run in Run.objects.filter(state=State.QUEUED)}


@pytest.mark.needs("rabbitmq")
def test_what_waits_at_a_restarted_broker_is_sent_again_soon_and_after_a_lost_connection_it_is_not(
    dispatcher, tmp_path
):
    with servers.rabbitmq(tmp_path) as node:
        beat, other = dispatcher(node.url, "quorum"), dispatcher(node.url, "quorum")
        beat.look_at_broker(NOW)
        waiting, running = make_run(), make_run(state=State.RUNNING)
        beat.send_due(NOW)

        beat.close()  # the connection is lost
        assert beat.look_at_broker(LATER) == 0
        assert other.look_at_broker(LATER) == 0
        assert due() == {waiting.pk: NOW + SEND_AGAIN_AFTER}
        node.tree.kill()
        node.tree.popen.wait(10)
    beat.close()
    other.close()
    with servers.rabbitmq(tmp_path):
        assert beat.look_at_broker(LATER) == 1
        assert due() == {waiting.pk: LATER + FORGOTTEN_AGAIN_AFTER}
        assert other.look_at_broker(LATER + timedelta(seconds=1)) == 0
        assert Run.objects.get(pk=running.pk).dispatch_at is None

        again = LATER + FORGOTTEN_AGAIN_AFTER
        assert beat.send_due(again) == 1
        assert due() == {waiting.pk: again + SEND_AGAIN_AFTER}


@pytest.mark.needs("rabbitmq")
def test_a_queue_that_refuses_everything_is_made_anew_and_what_waited_in_it_is_sent_again(
    dispatcher, tmp_path, monkeypatch
):
    with servers.rabbitmq(tmp_path) as node:
        beat = dispatcher(node.url, "quorum")
        beat.look_at_broker(NOW)
        make_run()
        beat.send_due(NOW)
    damaged = [path for path in (tmp_path / "rabbitmq" / "store").rglob("config") if "quorum" in path.parts]
    for path in damaged:  # as a file that was new when the power went
        path.write_bytes(b"")
    assert damaged
    beat.close()
    with servers.rabbitmq(tmp_path):
        beat.look_at_broker(NOW)
        refused = make_run()
        assert beat.send_due(NOW) == 0
        assert Run.objects.get(pk=refused.pk).reason == "the broker refused the message; it is sent again"

        waits = make_run(state=State.QUEUED, dispatch_at=NOW + SEND_AGAIN_AFTER)
        monkeypatch.setattr(queue_repair, "REFUSES_FOR", 0)
        assert beat.send_due(NOW + REFUSED_AGAIN_AFTER) == 0
        assert beat.look_at_broker(LATER) == 1
        assert due()[waits.pk] == LATER + FORGOTTEN_AGAIN_AFTER
        assert beat.send_due(LATER + FORGOTTEN_AGAIN_AFTER) == 3


def test_what_waited_in_a_file_of_the_embedded_broker_that_was_removed_is_sent_again_soon(dispatcher, tmp_path):
    embedded_transport.register()
    beat = dispatcher(f"embedded://{tmp_path / 'broker.sqlite3'}", "classic")
    beat.look_at_broker(NOW)
    waiting = make_run()
    beat.send_due(NOW)
    beat.close()
    assert beat.look_at_broker(LATER) == 0

    beat.close()
    for path in tmp_path.glob("broker.sqlite3*"):
        path.unlink()
    assert beat.look_at_broker(LATER) == 1
    assert due() == {waiting.pk: LATER + FORGOTTEN_AGAIN_AFTER}
