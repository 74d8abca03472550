"""What services print: rotated files and the last lines, whatever comes and however it is cut."""

import os

import pytest

from scheduler_app.supervisor.output import TAIL_LINE_LENGTH, TAIL_LINES, RotatingFile, Tail, copy_output


def numbered(first, last):
    return tuple(f"line {number}" for number in range(first, last + 1))


def as_bytes(lines):
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.mark.parametrize("size", [1, 3, 7, 100, 10_000], ids=lambda size: f"in pieces of {size}")
@pytest.mark.parametrize("count", [0, 1, TAIL_LINES - 1, TAIL_LINES, TAIL_LINES + 1, 100], ids=lambda n: f"{n} lines")
def test_the_tail_is_the_last_lines_however_the_stream_is_cut(size, count):
    data, tail = as_bytes(numbered(1, count)), Tail()
    for start in range(0, len(data), size):
        tail.feed(data[start : start + size])
    assert tail.lines() == numbered(max(1, count - TAIL_LINES + 1), count)


def test_the_unfinished_line_is_the_last_one():
    tail = Tail()
    tail.feed(b"one\ntwo\nthr")
    tail.feed(b"ee")
    assert tail.lines() == ("one", "two", "three")


def test_a_line_without_end_is_cut():
    tail = Tail()
    for _ in range(100):
        tail.feed(b"x" * 1000)
    assert tail.lines() == ("x" * TAIL_LINE_LENGTH,)


def test_bytes_that_are_no_text_are_shown_as_far_as_they_can_be():
    tail = Tail()
    tail.feed(b"caf\xe9\r\n")
    assert tail.lines() == ("caf\ufffd",)


def rotating(tmp_path, **options):
    return RotatingFile(tmp_path / "web.log", **{"max_size": 10, "keep": 2, **options})


def test_a_file_that_has_grown_is_numbered_and_the_oldest_goes(tmp_path):
    file = rotating(tmp_path)
    for text in (b"first 10 b", b"second 10b", b"third 10 b", b"fourth"):
        file.write(text)
    file.close()
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert contents == {"web.log": b"fourth", "web.log.1": b"third 10 b", "web.log.2": b"second 10b"}


def test_with_nothing_to_keep_the_file_starts_again(tmp_path):
    file = rotating(tmp_path, keep=0)
    file.write(b"first 10 b")
    file.write(b"second")
    file.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"web.log": b"second"}


def test_an_existing_file_is_continued(tmp_path):
    (tmp_path / "web.log").write_bytes(b"before\n")
    file = rotating(tmp_path, max_size=1000)
    file.write(b"after\n")
    file.close()
    assert (tmp_path / "web.log").read_bytes() == b"before\nafter\n"


def test_only_the_owner_can_read_a_log(tmp_path):
    file = rotating(tmp_path)
    file.write(b"secret")
    file.close()
    assert (tmp_path / "web.log").stat().st_mode & 0o077 == 0


def test_lines_that_could_not_be_written_are_missed_by_name_once_writing_works_again(tmp_path):
    file = rotating(tmp_path, max_size=1000)
    (tmp_path / "web.log").mkdir()
    file.write(b"lost\n")
    (tmp_path / "web.log").rmdir()
    file.write(b"kept\n")
    file.close()
    assert (tmp_path / "web.log").read_bytes() == (b"[lines are missing here: this file could not be written]\nkept\n")


def test_output_is_copied_until_its_end(tmp_path):
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo\n")
    os.close(writing)
    file, tail = rotating(tmp_path, max_size=1000), Tail()
    copy_output(os.fdopen(reading, "rb", buffering=0), file, tail)
    file.close()
    assert (tmp_path / "web.log").read_bytes() == b"one\ntwo\n"
    assert tail.lines() == ("one", "two")
