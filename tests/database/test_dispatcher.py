"""From pending rows to messages at a real broker, and back when there is none."""

import json
import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from celery import Celery
from django.conf import settings
from django.db import connection

from jobs import topology
from jobs.dispatcher import REFUSED_AGAIN_AFTER, SEND_AGAIN_AFTER, Dispatcher
from jobs.messages import unseal
from jobs.models import Run
from jobs.publisher import BrokerUnavailable, Publisher
from jobs.states import State
from scheduler_app import embedded_transport, routing
from tests import servers
from tests.factories import NOW, make_run

pytestmark = [pytest.mark.database, pytest.mark.django_db]

KEY = "a key"
QUEUE = routing.DEFAULT_QUEUE


@contextmanager
def embedded_broker(folder):
    embedded_transport.register()
    yield f"embedded://{folder / 'broker.sqlite3'}", "classic"


@contextmanager
def rabbitmq_broker(folder):
    with servers.rabbitmq(folder) as node:
        yield node.url, "quorum"


EMBEDDED = pytest.param(embedded_broker, id="embedded")
RABBITMQ = pytest.param(rabbitmq_broker, id="rabbitmq", marks=pytest.mark.needs("rabbitmq"))


@pytest.fixture(scope="module", params=[EMBEDDED, RABBITMQ])
def broker(request, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


def application(url, queue_type):
    app = Celery("test", broker=url, set_as_current=False, amqp=topology.RunAMQP)
    queues = [topology.named(routing.ANY, quorum=queue_type == "quorum")]
    app.conf.update(task_queues=queues, task_default_queue=QUEUE, task_default_queue_type=queue_type)
    return app


@pytest.fixture
def app(broker):
    app = application(*broker)
    yield app
    with app.connection_for_write() as connection:
        queue = app.amqp.queues[QUEUE](connection.default_channel)
        queue.declare()
        queue.purge()


@pytest.fixture
def dispatcher(app):
    publisher = Publisher(app, KEY)
    yield Dispatcher(publisher, QUEUE)
    publisher.close()


def received(app):
    """Take every message off the queue; return what the signed messages say."""
    messages = []
    with app.connection_for_read() as connection:
        queue = app.amqp.queues[QUEUE](connection.default_channel)
        while (message := queue.get(no_ack=True)) is not None:
            _, kwargs, _ = json.loads(message.body)
            messages.append((unseal(KEY, kwargs), message))
    return messages


def test_pending_runs_become_queued_and_their_messages_arrive_in_order(app, dispatcher):
    runs = [make_run(fire_time=NOW + timedelta(seconds=number)) for number in range(20)]

    assert dispatcher.send_due(NOW) == 20

    assert [message.run_id for message, _ in received(app)] == [run.pk for run in runs]
    for run in Run.objects.all():
        assert (run.state, run.dispatch_at) == (State.QUEUED, NOW + SEND_AGAIN_AFTER)
        assert run.queued_at is not None


def test_messages_are_persistent_and_carry_no_parameters(app, dispatcher):
    make_run(parameters={"command": "secret thing"})
    dispatcher.send_due(NOW)

    ((_, message),) = received(app)

    assert message.properties["delivery_mode"] == 2
    assert "secret" not in str(message.body) + str(message.headers)


def test_what_is_not_due_to_be_sent_stays(app, dispatcher):
    make_run(dispatch_at=NOW + timedelta(seconds=1))
    make_run(state=State.RUNNING)

    assert dispatcher.send_due(NOW) == 0
    assert received(app) == []


def test_a_run_that_stays_queued_too_long_is_sent_again(app, dispatcher):
    make_run()
    dispatcher.send_due(NOW)

    assert dispatcher.send_due(NOW + SEND_AGAIN_AFTER - timedelta(seconds=1)) == 0
    assert dispatcher.send_due(NOW + SEND_AGAIN_AFTER) == 1
    assert len(received(app)) == 2


def test_a_run_whose_queue_nobody_has_waits_and_says_so(dispatcher):
    run = make_run(route={"queue": "nobody-reads-this"})
    other = make_run()

    assert dispatcher.send_due(NOW) == 1

    run.refresh_from_db()
    other.refresh_from_db()
    assert (run.state, other.state) == (State.PENDING, State.QUEUED)
    assert "nobody-reads-this" in run.reason
    assert run.dispatch_at == NOW + REFUSED_AGAIN_AFTER


def test_a_run_for_an_exchange_that_is_not_there_waits_and_the_others_go(dispatcher):
    run = make_run(route={"exchange": "no-such-exchange", "routing_key": "x"})
    other = make_run()

    assert dispatcher.send_due(NOW) == 1

    run.refresh_from_db()
    other.refresh_from_db()
    assert (run.state, other.state) == (State.PENDING, State.QUEUED)
    assert "no-such-exchange" in run.reason


# Larger than AMQP's integers.
LARGE = {"number": 2**70}


@pytest.mark.parametrize("broker", [RABBITMQ], indirect=True)
def test_a_run_whose_headers_amqp_cannot_carry_waits_and_the_others_go(dispatcher):
    run = make_run(route={"headers": LARGE})
    other = make_run()

    assert dispatcher.send_due(NOW) == 1

    run.refresh_from_db()
    other.refresh_from_db()
    assert (run.state, other.state) == (State.PENDING, State.QUEUED)
    assert "cannot be written as an AMQP message" in run.reason


@pytest.mark.parametrize("broker", [EMBEDDED], indirect=True)
def test_the_embedded_transport_carries_any_header(app, dispatcher):
    run = make_run(route={"headers": LARGE})

    assert dispatcher.send_due(NOW) == 1

    ((_, message),) = received(app)
    run.refresh_from_db()
    assert (run.state, message.headers["number"]) == (State.QUEUED, LARGE["number"])


def test_without_a_broker_runs_stay_pending_and_go_at_once_when_it_is_back(app):
    nobody = application(f"amqp://127.0.0.1:{servers.free_port()}//", "classic")
    run = make_run()

    with pytest.raises(BrokerUnavailable, match="cannot send to the broker"):
        Dispatcher(Publisher(nobody, KEY), QUEUE).send_due(NOW)

    run.refresh_from_db()
    assert (run.state, run.dispatch_at) == (State.PENDING, NOW)


@pytest.mark.django_db(transaction=True)
def test_two_dispatchers_send_every_run_once(app):
    for _ in range(200):
        make_run()
    gate = threading.Barrier(2)

    def work():
        publisher = Publisher(app, KEY)
        gate.wait()
        while Dispatcher(publisher, QUEUE).send_due(NOW):
            pass
        publisher.close()
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ids = [message.run_id for message, _ in received(app)]
    assert sorted(ids) == sorted(Run.objects.values_list("id", flat=True))


def test_settings_keep_the_key_out_of_what_is_sent(app, dispatcher):
    make_run()
    dispatcher.send_due(NOW)

    ((_, message),) = received(app)

    assert KEY not in str(message.body)
    assert settings.SECRET_KEY not in str(message.body)
