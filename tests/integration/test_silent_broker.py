"""Beat beside a broker that is there and says nothing: recording goes on, and sending resumes when it answers again."""

import logging
import time
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest
from celery import Celery
from django.utils import timezone

from beat_config import recorder
from jobs import publisher
from jobs.dispatcher import Dispatcher, DispatchThread
from jobs.envelope import Way
from jobs.messages import Message
from jobs.models import Run
from jobs.publisher import BrokerUnavailable, Publisher, Shipment
from jobs.states import State
from scheduler_app import routing
from tests import servers
from tests.factories import make_run, make_schedule
from tests.proxy import Proxy
from tests.waiting import wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True), pytest.mark.needs("rabbitmq")]

QUEUE = routing.DEFAULT_QUEUE
RESUMES_WITHIN = 10.0


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with servers.rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as node:
        yield node


@pytest.fixture
def proxy(node):
    with closing(Proxy(urlsplit(node.url).port)) as proxy:
        yield proxy


@pytest.fixture
def app(node, proxy):
    address = urlsplit(node.url)
    url = address._replace(netloc=address.netloc.replace(f":{address.port}", f":{proxy.port}")).geturl()
    app = Celery("test", broker=url, set_as_current=False)
    app.conf.update(task_default_queue=QUEUE, task_default_queue_type="quorum")
    return app


@contextmanager
def dispatching(app):
    thread = DispatchThread(Dispatcher(Publisher(app, "a key"), QUEUE))
    thread.start()
    try:
        yield thread
    finally:
        thread.stop()


def is_queued(run):
    return Run.objects.filter(pk=run.pk, state=State.QUEUED).exists()


@pytest.mark.parametrize("connected_before", [True, False], ids=["falls silent", "silent from the start"])
def test_beat_records_while_the_broker_is_silent_and_sends_soon_after_it_answers(app, proxy, caplog, connected_before):
    caplog.set_level(logging.WARNING, logger="jobs.dispatcher")
    with dispatching(app):
        if connected_before:
            first = make_run()
            wait_until(lambda: is_queued(first), 20, "a run is sent while the broker answers")
        proxy.silent = True
        waiting = make_run()
        wait_until(lambda: caplog.records, 20, "the log says that the broker is away")

        now = timezone.now()
        for _ in range(20):
            make_schedule(due=now)
        began = time.monotonic()
        assert recorder.record_due(now) == 20
        assert time.monotonic() - began < 2

        assert not is_queued(waiting)
        assert len(caplog.records) == 1
        proxy.silent = False
        answers_since = time.monotonic()
        wait_until(
            lambda: Run.objects.filter(state=State.QUEUED).count() == 21 + connected_before, 20, "all runs are sent"
        )
        assert time.monotonic() - answers_since < RESUMES_WITHIN


def test_a_broker_that_stops_reading_in_the_middle_of_a_batch_is_given_up(app, proxy, monkeypatch):
    monkeypatch.setattr(publisher, "SILENCE_TIMEOUT", 1.0)
    sender = Publisher(app, "a key")
    shipments = [Shipment(Message(number, 1, None, timezone.now()), Way(QUEUE)) for number in range(1, 1_001)]
    sender.publish(shipments[:1])
    proxy.silent = True
    began = time.monotonic()

    with pytest.raises(BrokerUnavailable):
        sender.publish(shipments)

    assert time.monotonic() - began < 5
