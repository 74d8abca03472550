"""Terminal output as a page shows it: colours, progress bars, and what nobody means well by."""

import time

import pytest

from jobs.ansi import MOST_STRETCHES, PLAIN, Style, last_of_lines, stretches


def shown(text):
    return [(style.classes, style.css, part) for style, part in stretches(text)]


@pytest.mark.parametrize(
    ("sequence", "classes", "css"),
    [
        pytest.param("31", "ansi-1", "", id="red"),
        pytest.param("1;92", "ansi-bold ansi-10", "", id="bold and bright green"),
        pytest.param("30;47", "ansi-0 ansi-on-7", "", id="black on white"),
        pytest.param("103", "ansi-on-11", "", id="a bright background"),
        pytest.param("38;5;9", "ansi-9", "", id="one of 256 that is one of the sixteen"),
        pytest.param("38;5;208", "", "color:#ff8700", id="one of 256"),
        pytest.param("48;5;244", "", "background:#808080", id="grey of 256"),
        pytest.param("38;2;1;20;255", "", "color:#0114ff", id="24 bits"),
        pytest.param("38:2:1:20:255", "", "color:#0114ff", id="with colons"),
        pytest.param("3;4;9;2", "ansi-dim ansi-italic ansi-strike ansi-underline", "", id="attributes"),
        pytest.param("38;5;208;1", "ansi-bold", "color:#ff8700", id="what follows a colour counts"),
    ],
)
def test_a_colour_is_shown_until_it_is_reset(sequence, classes, css):
    assert shown(f"a\x1b[{sequence}mb\x1b[0mc\x1b[md") == [("", "", "a"), (classes, css, "b"), ("", "", "cd")]


@pytest.mark.parametrize("end", ["39", "49", "22", "27"])
def test_each_end_takes_back_its_own(end):
    (_, _, before), (classes, _css, _) = shown(f"\x1b[1;7;31;42mx\x1b[{end}my")

    assert before == "x"
    gone = {"39": "ansi-1", "49": "ansi-on-2", "22": "ansi-bold", "27": "ansi-inverse"}[end]
    assert set(classes.split()) == {"ansi-bold", "ansi-inverse", "ansi-1", "ansi-on-2"} - {gone}


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[2K",
        "\x1b[10;5H",
        "\x1b[?25l",
        "\x1b]0;title\x07",
        "\x1b]8;;http://x\x1b\\",
        "\x1bPq#0\x1b\\",
        "\x1b(B",
        "\x1b=",
        "\x1b7",
        "\x1b",
        "\x1b[999m",
        "\x1b[38;5;999m",
        "\x1b[38;2;1m",
        "\x1b[38m",
    ],
)
def test_every_other_sequence_is_dropped_and_the_text_is_kept(sequence):
    assert "".join(part for _, _, part in shown(f"a{sequence}")) == "a"
    assert all(not css for _, css, _ in shown(f"a{sequence}"))


def test_markup_stays_text_and_never_becomes_a_style():
    text = "\x1b[38;2;1;2;3;<script>m<b style='x'>\x1b[31;\"onload=mX"
    for classes, css, _ in shown(text):
        assert set(classes + css) <= set("abcdefghijklmnopqrstuvwxyz0123456789-#: ;")
    assert "".join(part for _, _, part in shown("<i>&amp;\x1b[31m</i>")) == "<i>&amp;</i>"


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("\x1b[31m" * 200_000, id="styles"),
        pytest.param("\x1b[" * 500_000, id="open CSI"),
        pytest.param("\x1b]" * 500_000, id="open OSC"),
        pytest.param("\x1b[" + "1;" * 500_000, id="endless CSI"),
        pytest.param("\r" * 1_000_000, id="returns"),
        pytest.param("a\r" * 500_000, id="one line over and over"),
        pytest.param("\x1b[31ma\x1b[32mb" * 80_000, id="colours"),
    ],
)
def test_a_megabyte_of_anything_is_done_in_a_moment(hostile):
    began = time.process_time()

    pieces = list(stretches(last_of_lines(hostile)))

    assert time.process_time() - began < 5
    assert len(pieces) <= MOST_STRETCHES + 1


def test_a_style_may_go_on_from_an_earlier_piece():
    assert list(stretches("x", Style(colour="1"))) == [(Style(colour="1"), "x")]
    assert list(stretches("")) == []
    assert PLAIN.classes == PLAIN.css == ""


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("10 %\r50 %\r100 %\ndone\n", "100 %\ndone\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("50 %\r", "50 %\r"),
        ("no return", "no return"),
        ("one\n1\r2", "one\n2"),
    ],
)
def test_of_a_line_that_is_written_over_the_last_is_shown(text, left):
    assert last_of_lines(text) == left
