"""What a message may say, and who may have said it."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from jobs.messages import LIFETIME, Message, MessageError, unseal

KEY = "a key"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MESSAGE = Message(12, 3, NOON, NOON + timedelta(minutes=1, microseconds=7))


@pytest.mark.parametrize("fire_time", [NOON, None], ids=["of a schedule", "by hand"])
def test_a_sealed_message_is_read_again(fire_time):
    message = Message(12, 3, fire_time, NOON + timedelta(minutes=1, microseconds=7))
    assert unseal(KEY, message.seal(KEY)) == message


def test_a_sealed_message_says_nothing_of_what_is_to_be_executed():
    assert set(MESSAGE.seal(KEY)) == {"run_id", "attempt", "fire_time", "expires", "signature"}


def test_a_body_is_what_celery_reads_written_as_json_writes_it():
    nothing_after = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    assert MESSAGE.body(KEY).decode() == json.dumps([[], MESSAGE.seal(KEY), nothing_after])


@pytest.mark.parametrize(
    ("expires_at", "expires"),
    [
        pytest.param(None, NOON + LIFETIME, id="a run that waits for ever"),
        pytest.param(NOON + timedelta(hours=1), NOON + timedelta(hours=1), id="a run that expires"),
        pytest.param(NOON + timedelta(days=9), NOON + LIFETIME, id="a run that expires late"),
    ],
)
def test_a_message_expires_with_its_run_and_at_the_latest_after_a_day(expires_at, expires):
    assert Message.of_run(12, 3, fire_time=None, expires_at=expires_at, now=NOON).expires == expires


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"run_id": 13}, id="another run"),
        pytest.param({"attempt": 4}, id="another attempt"),
        pytest.param({"fire_time": ""}, id="no fire time"),
        pytest.param({"expires": "2999-01-01T00:00:00+00:00"}, id="another expiry"),
        pytest.param({"signature": ""}, id="no signature"),
        pytest.param({"signature": "0" * 64}, id="a made-up signature"),
        pytest.param({"signature": "\ud800"}, id="a signature that is no text"),
        pytest.param({"expires": "\ud800"}, id="an expiry that is no text"),
        pytest.param({"run_id": "12"}, id="a run that is a text"),
        pytest.param({"run_id": True}, id="a run that is no number"),
        pytest.param({"signature": None}, id="nothing as signature"),
        pytest.param({"expires": None}, id="nothing as expiry"),
        pytest.param({"command": "true"}, id="something beside it"),
    ],
)
def test_a_changed_message_is_refused(change):
    with pytest.raises(MessageError, match="cannot"):
        unseal(KEY, MESSAGE.seal(KEY) | change)


def test_another_installations_message_is_refused_and_the_sentence_says_what_to_do():
    with pytest.raises(MessageError, match=r"security\.key"):
        unseal(KEY, MESSAGE.seal("another key"))
