"""Whoever can write to the broker can write anything: nothing of it is started, and the worker goes on."""

import json
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from kombu import Connection, Producer

from jobs import topology
from jobs.envelope import Way
from jobs.inbox import DELIVERY_LIMIT
from jobs.messages import Message
from scheduler_app import embedded_transport, routing
from tests import servers
from tests.installation import KEY, Installation
from tests.waiting import wait_until

QUEUE = routing.DEFAULT_QUEUE
SOON = 20
LATER = timedelta(hours=1)

embedded_transport.register()

MAKE_RUNS = """
from datetime import UTC, datetime, timedelta
from jobs.models import Run
first = datetime(2026, 3, 2, 12, tzinfo=UTC)
for number in range(4):
    Run.objects.create(
        job="run_command", parameters={"command": "true"}, fire_time=first + timedelta(minutes=number), state="queued"
    )
"""
VICTIM, REPLAYED, LAST, TWICE = 1, 2, 3, 4


@pytest.fixture(
    scope="module",
    params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.needs("rabbitmq"))],
)
def installation(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installation")
    if request.param == "embedded":
        yield Installation(folder)
    else:
        with servers.rabbitmq(tmp_path_factory.mktemp("node")) as node:
            yield Installation(folder, node.url)


@pytest.fixture(scope="module")
def worker(installation):
    installation.python(MAKE_RUNS)
    with installation.worker("worker"):
        yield


def message(run_id=VICTIM, **changes):
    fire_time = datetime(2026, 3, 2, 12, run_id - 1, tzinfo=UTC)
    said = {"attempt": 1, "fire_time": fire_time, "expires": datetime.now(UTC) + LATER}
    return Message(run_id, **(said | changes))


def sent(message, key=KEY):
    """What the publisher sends for *message*."""
    properties = Way(QUEUE).properties(message.task_id, "1@here")
    return {"body": message.body(key), **properties}


def publish(installation, letter):
    letter = dict(letter)
    with Connection(installation.broker) as connection:
        producer = Producer(connection.default_channel, auto_declare=False)
        producer.publish(letter.pop("body"), exchange="", routing_key=QUEUE, **letter)


def refused(installation):
    return installation.rows("SELECT reason, size, beginning, queue FROM jobs_refusedmessage ORDER BY id")


def with_body(change):
    """The message for the victim, its body changed by *change*(args, kwargs, embed)."""
    letter = sent(message())
    parts = json.loads(letter["body"])
    change(*parts)
    return letter | {"body": json.dumps(parts).encode()}


def with_headers(**headers):
    letter = sent(message())
    return letter | {"headers": letter["headers"] | headers}


def with_text(body, **properties):
    return sent(message()) | {"body": body} | properties


def resigned(message):
    return sent(message, "another key")


def compressed():
    letter = with_headers(compression="application/x-gzip")
    return letter | {"body": zlib.compress(b"0" * 50_000_000)}


def in_protocol_1():
    letter = sent(message())
    said = json.loads(letter["body"])[1]
    return letter | {"headers": {}, "body": json.dumps({"task": "scheduler.run", "id": "run-1-1", "kwargs": said})}


def old_format(_args, said, _embed):
    del said["fire_time"], said["expires"]


HOSTILE = {
    "not signed": (lambda: with_body(lambda _, said, __: said.update(signature="")), "signature does not fit"),
    "signed with another key": (lambda: resigned(message()), "security.key"),
    "another run": (lambda: with_body(lambda _, said, __: said.update(run_id=LAST)), "signature does not fit"),
    "another attempt": (lambda: with_body(lambda _, said, __: said.update(attempt=2)), "signature does not fit"),
    "another fire time": (lambda: with_body(lambda _, said, __: said.update(fire_time="")), "signature does not fit"),
    "a later expiry": (
        lambda: with_body(lambda _, said, __: said.update(expires="2999-01-01T00:00:00+00:00")),
        "signature does not fit",
    ),
    "a run that is not there": (lambda: sent(message(5, fire_time=None)), "is not in this database"),
    "the run of another fire time": (lambda: sent(message(fire_time=None)), "is not in this database"),
    "the format of an earlier version": (lambda: with_body(old_format), "it says attempt, run_id, signature"),
    "a command beside it": (
        lambda: with_body(lambda _, said, __: said.update(command="rm")),
        "it says attempt, command",
    ),
    "positional arguments": (lambda: with_body(lambda args, _, __: args.append(1)), "something added"),
    "a task to call afterwards": (
        lambda: with_body(lambda _, __, embed: embed.update(callbacks=[{"task": "celery.backend_cleanup"}])),
        "something added",
    ),
    "another task of Celery's": (lambda: with_headers(task="celery.backend_cleanup"), "its header task"),
    "a task nobody has": (lambda: with_headers(task="os.system"), "its header task"),
    "another message's id": (lambda: with_headers(id="run-3-1", root_id="run-3-1"), "under another's id"),
    "not before next century": (lambda: with_headers(eta="2126-01-01T00:00:00"), "its header eta"),
    "expired, it says": (lambda: with_headers(expires="2020-01-01T00:00:00"), "its header expires"),
    "an expiry that is no time": (lambda: with_headers(expires="whenever"), "its header expires"),
    "a time limit that is none": (lambda: with_headers(timelimit="abc"), "its header timelimit"),
    "no headers": (lambda: sent(message()) | {"headers": {}}, "its header"),
    "Celery's first protocol": (in_protocol_1, "its header"),
    "a pickle": (lambda: with_text(b"cos\nsystem\n", content_type="application/x-python-serialize"), "not JSON"),
    "an encoding nobody knows": (lambda: with_text(b"{}", content_encoding="rot13"), "not JSON"),
    "bytes": (lambda: with_text(b"\x00\xff\xfe[]"), "cannot be read"),
    "nothing": (lambda: with_text(b""), "cannot be read"),
    "nested without end": (lambda: with_text(b"[" * 15_000), "cannot be read"),
    "a number without end": (lambda: with_text(b"9" * 10_000), "cannot be read"),
    "too large": (lambda: with_text(b"[" + b" " * 2_000_000 + b"]"), "2,000,002 bytes"),
    "delivered again and again": (lambda: with_headers(**{"x-delivery-count": DELIVERY_LIMIT}), "again and again"),
    "small, and large unpacked": (compressed, "it is compressed"),
}


def test_what_the_publisher_sends_is_run(installation, worker):
    publish(installation, sent(message(REPLAYED)))
    wait_until(lambda: installation.state(REPLAYED) == "succeeded", SOON, "the run has succeeded")
    assert refused(installation) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_starts_nothing_and_is_listed(installation, worker, name):
    make, reason = HOSTILE[name]
    letter, before = make(), len(refused(installation))
    publish(installation, letter)
    rows = wait_until(lambda: refused(installation)[before:], SOON, "the message is listed")
    assert len(rows) == 1
    assert reason in rows[0][0]
    assert [installation.state(run) for run in (VICTIM, LAST)] == ["queued", "queued"]


def test_a_message_that_somebody_sends_a_second_time_starts_nothing_and_is_listed(installation, worker):
    publish(installation, sent(message(TWICE)))
    wait_until(lambda: installation.state(TWICE) == "succeeded", SOON, "the run has succeeded")
    started = "SELECT started_at FROM jobs_run WHERE id = ?"
    before, listed = installation.rows(started, TWICE), len(refused(installation))
    publish(installation, sent(message(TWICE)))
    wait_until(lambda: len(refused(installation)) > listed, SOON, "the message is listed")
    assert "has ended already" in refused(installation)[-1][0]
    assert installation.rows(started, TWICE) == before


# The embedded broker only counts: tests/integration/test_embedded_transport.py.
@pytest.mark.parametrize("installation", [pytest.param("rabbitmq", marks=pytest.mark.needs("rabbitmq"))], indirect=True)
def test_a_message_whose_workers_die_is_given_up_by_rabbitmq_itself_and_is_listed(installation, worker):
    listed = len(refused(installation))
    queue = topology.named("poison", quorum=True)
    with Connection(installation.broker) as connection:
        queue(connection.default_channel).declare()
        letter = sent(message())
        producer = Producer(connection.default_channel, auto_declare=False)
        producer.publish(letter.pop("body"), exchange="", routing_key="poison", **letter)
    taken = 0

    def dies_with_it():
        nonlocal taken
        with Connection(installation.broker) as connection:
            taken += queue(connection.default_channel).get() is not None
            connection.collect()  # without a farewell and an acknowledgement
        return refused(installation)[listed:]

    (row,) = wait_until(dies_with_it, SOON, "the message is listed")
    assert "delivered again and again" in row[0]
    assert taken == DELIVERY_LIMIT + 1
    assert installation.state(VICTIM) == "queued"


def test_a_message_of_ours_that_comes_too_late_starts_nothing_and_is_no_news(installation, worker):
    listed = refused(installation)
    publish(installation, sent(message(VICTIM, expires=datetime.now(UTC) - timedelta(seconds=1))))
    wait_until(lambda: "was to be started before" in installation.log("worker"), SOON, "the worker has seen it")
    assert installation.state(VICTIM) == "queued"
    assert refused(installation) == listed


def test_over_the_broker_a_worker_answers_questions_and_takes_no_orders(installation, worker):
    app = Celery("somebody", broker=installation.broker, set_as_current=False)
    (answer,) = app.control.ping(timeout=10, limit=1)
    assert [*answer.values()] == [{"ok": "pong"}]
    for order in ("shutdown", "pool_shrink", "rate_limit", "cancel_consumer", "conf", "revoke"):
        (answer,) = app.control.broadcast(order, reply=True, timeout=10, limit=1)
        assert "error" in next(iter(answer.values())), order


def test_after_all_that_the_worker_still_works(installation, worker):
    publish(installation, sent(message(LAST)))
    wait_until(lambda: installation.state(LAST) == "succeeded", SOON, "the run has succeeded")
