"""What is masked in a run's output, whichever way it arrives."""

import base64
import html
import itertools
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.masking import MASK, Masker, Patterns

SECRET = 'hünter2 & "sons"/+?'


def masked(pieces, *secrets):
    masker = Masker(Patterns(secrets))
    return b"".join([*map(masker.feed, pieces), masker.rest()])


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(SECRET.encode(), id="itself"),
        pytest.param(quote(SECRET, safe="").encode(), id="in an address"),
        pytest.param(quote_plus(SECRET).encode(), id="in a form"),
        pytest.param(json.dumps(SECRET).strip('"').encode(), id="in JSON"),
        pytest.param(html.escape(SECRET).encode(), id="in HTML"),
        pytest.param(SECRET.encode("utf-16-le"), id="in UTF-16"),
    ],
)
def test_a_secret_is_masked_in_every_form_wherever_it_is_cut(form):
    for cut in range(len(form) + 1):
        pieces = [b"before " + form[:cut], form[cut:] + b" after\n"]
        assert masked(pieces, SECRET) == b"before " + MASK + b" after\n", cut


@pytest.mark.parametrize("user", ["", "a", "ab", "abc"])
def test_in_base64_it_is_masked_wherever_it_begins(user):
    line = base64.b64encode(f"{user}:correct horse battery:x".encode())
    shown = masked([line], "correct horse battery")

    assert MASK in shown
    for part in (base64.b64encode(bytes(n) + b"correct horse")[4:16] for n in range(3)):
        assert part not in shown


def test_lines_of_a_secret_of_several_lines_are_masked_too():
    key = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA1\nlast\n"
    assert masked([b"x MIIEpAIBAAKCAQEA1 y"], key) == b"x " + MASK + b" y"


def test_a_longer_secret_that_begins_like_another_leaves_no_rest():
    assert masked([b"pass", b"word"], "pass", "password") == MASK
    assert masked([b"pass", b"port"], "pass", "password") == MASK + b"port"


def test_secrets_that_overlap_leave_nothing_of_either():
    assert masked([b"<abcdefgh>"], "abcdef", "efgh") == b"<" + MASK + b">"
    for cut in range(10):
        assert masked([b"<abcdefgh>"[:cut], b"<abcdefgh>"[cut:]], "abcdef", "efgh") == b"<" + MASK + b">"


def test_what_cannot_be_a_secret_any_more_is_shown_at_once():
    masker = Masker(Patterns(["hunter2"]))

    assert masker.feed(b"a line\nhunt") == b"a line\n"
    assert masker.feed(b"ing ") == b"hunting "


def test_no_more_than_the_longest_form_is_kept_back():
    masker = Masker(Patterns(["aaaa"]))
    given_out = sum(len(masker.feed(b"a" * 1000)) for _ in range(100))

    assert len(masker._kept) < 16
    assert given_out < 100


def test_short_values_are_left_alone():
    assert masked([b"an apple a day"], "a", "ap") == b"an apple a day"


_text = st.text(alphabet="ab", min_size=4, max_size=7)


@given(
    secrets=st.lists(_text, min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 40)),
    output=st.text("ab-", max_size=40),
)
def test_pieces_are_masked_as_the_whole_is(secrets, cuts, output):
    data = output.encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]

    whole = masked([data], *secrets)
    assert masked(pieces, *secrets) == whole
    assert not [secret for secret in secrets if secret.encode() in whole.replace(MASK, b"*")]
