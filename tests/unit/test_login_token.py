"""One-time login links: who may make one, how long it lasts, and what a wrong one is told."""

import base64
import hashlib
import hmac
import json

import pytest

from scheduler_app.login_token import LIFETIME, LoginTokenError, check, mint

KEY = "the key of this installation"
NOW = 1_700_000_000.0


def signed(payload: bytes, key: str = KEY, purpose: bytes = b"login-link:") -> str:
    return f"{payload.decode()}.{hmac.new(key.encode(), purpose + payload, hashlib.sha256).hexdigest()}"


def encoded(content: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")


def test_a_minted_token_gives_its_nonce_back():
    nonce = check(KEY, mint(KEY, NOW), NOW)
    assert len(bytes.fromhex(nonce)) == 16


def test_two_tokens_of_the_same_moment_have_different_nonces():
    assert check(KEY, mint(KEY, NOW), NOW) != check(KEY, mint(KEY, NOW), NOW)


def test_a_token_can_stand_in_a_fragment_as_it_is():
    assert set(mint(KEY, NOW)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_white_space_around_a_copied_token_does_no_harm():
    assert check(KEY, f" {mint(KEY, NOW)}\n", NOW)


def test_a_token_is_good_until_its_lifetime_ends():
    token = mint(KEY, NOW)
    assert check(KEY, token, NOW + LIFETIME - 1)
    with pytest.raises(LoginTokenError, match="has expired; `scheduler-app open` makes a new one"):
        check(KEY, token, NOW + LIFETIME)


@pytest.mark.parametrize(
    ("token", "says"),
    [
        pytest.param("", "not complete", id="nothing"),
        pytest.param("abc", "not complete", id="no signature"),
        pytest.param(mint("another key", NOW), "not made by this installation", id="minted with another key"),
        pytest.param(mint(KEY, NOW)[:-1], "not made by this installation", id="cut off"),
        pytest.param("ü." + mint(KEY, NOW), "not made by this installation", id="not ASCII"),
        pytest.param("\udc80.x", "not made by this installation", id="not even text"),
        pytest.param(
            signed(encoded({"e": NOW + 9, "n": "0"}), purpose=b""), "not made by", id="signed for another purpose"
        ),
        pytest.param(signed(b"!!!"), "nothing that can be read", id="signed, but not base64"),
        pytest.param(signed(encoded([1])), "nothing that can be read", id="signed, but a list"),
        pytest.param(signed(encoded({"n": "0"})), "nothing that can be read", id="signed, but without an expiry"),
    ],
)
def test_any_other_token_is_refused_with_a_sentence(token, says):
    with pytest.raises(LoginTokenError, match=says):
        check(KEY, token, NOW)


def test_a_changed_expiry_is_noticed():
    payload, _, signature = mint(KEY, NOW).partition(".")
    content = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = encoded({**content, "e": content["e"] + 3600}).decode()
    with pytest.raises(LoginTokenError, match="not made by this installation"):
        check(KEY, f"{changed}.{signature}", NOW)
