"""What a message may say, and who may have said it."""

import pytest

from jobs.messages import Message, MessageError, unseal

KEY = "a key"


def test_a_sealed_message_is_read_again():
    assert unseal(KEY, **Message(12, 3).seal(KEY)) == Message(12, 3)


def test_a_sealed_message_says_nothing_of_what_is_to_be_executed():
    assert set(Message(12, 3).seal(KEY)) == {"run_id", "attempt", "signature"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"run_id": 13}, id="another run"),
        pytest.param({"attempt": 4}, id="another attempt"),
        pytest.param({"signature": ""}, id="no signature"),
        pytest.param({"signature": "0" * 64}, id="a made-up signature"),
        pytest.param({"signature": "\ud800"}, id="a signature that is no text"),
        pytest.param({"run_id": "12"}, id="a run that is a text"),
        pytest.param({"run_id": True}, id="a run that is no number"),
        pytest.param({"signature": None}, id="nothing as signature"),
    ],
)
def test_a_changed_message_is_refused(change):
    with pytest.raises(MessageError, match="cannot"):
        unseal(KEY, **(Message(12, 3).seal(KEY) | change))


def test_another_installations_message_is_refused_and_the_sentence_says_what_to_do():
    with pytest.raises(MessageError, match=r"security\.key"):
        unseal(KEY, **Message(12, 3).seal("another key"))
