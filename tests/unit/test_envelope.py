"""Prepared frames are what py-amqp itself writes."""

from types import SimpleNamespace

import pytest
from amqp import Message as AmqpMessage
from amqp.method_framing import frame_writer
from amqp.serialization import dumps

from jobs.envelope import Envelope, EnvelopeError, Way

FRAME_MAX = 131_072
BODY = b'[[], {"run_id": 7}, {}]'


def envelope(way):
    return Envelope(way, origin="1@here", channel_id=3, frame_max=FRAME_MAX, id_length=7, body_length=len(BODY))


def written_by_py_amqp(way, task_id, body):
    sent = bytearray()
    write = frame_writer(SimpleNamespace(frame_max=FRAME_MAX, bytes_sent=0), SimpleNamespace(write=sent.extend))
    properties = way.properties(task_id, "1@here")
    message = AmqpMessage(body, application_headers=properties.pop("headers"), **properties)
    write(1, 3, (60, 40), dumps("Bssbb", (0, way.exchange, way.routing_key, True, False)), message)
    return bytes(sent)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(Way("scheduler"), id="default queue"),
        pytest.param(Way("é", exchange="work", priority=9, headers={"a": 1, "b": [None, {"c": "ü"}]}), id="all set"),
        pytest.param(Way("scheduler", headers={"note": "run-7-1"}), id="a header that reads like a task id"),
        pytest.param(Way("scheduler", headers={"id": "mine", "root_id": "mine"}), id="headers that are Celery's"),
    ],
)
def test_the_frames_are_those_of_py_amqp(way):
    assert envelope(way).frames(b"run-7-1", BODY) == written_by_py_amqp(way, "run-7-1", BODY)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(Way("ü" * 200), id="queue name of more than 255 bytes"),
        pytest.param(Way("scheduler", headers={"n": 2**70}), id="number of more than 64 bits"),
        pytest.param(Way("scheduler", headers={"k" * 300: 1}), id="long header name"),
        pytest.param(Way("scheduler", headers={"text": "x" * FRAME_MAX}), id="more headers than a frame holds"),
    ],
)
def test_what_amqp_cannot_say_is_refused(way):
    with pytest.raises(EnvelopeError, match="cannot be written as an AMQP message"):
        envelope(way)
