"""The bounded buffer between a job that prints and the database."""

from jobs.output import PIECE, OutputBuffer


class Store:
    """What the database would hold after the changes so far."""

    def __init__(self, buffer):
        self._buffer = buffer
        self._pieces = {}

    def sync(self):
        changes = self._buffer.changes()
        if changes.dropped:
            first, last = changes.dropped
            self._pieces = {number: data for number, data in self._pieces.items() if not first <= number <= last}
        for piece in changes.added:
            assert piece.number not in self._pieces
            self._pieces[piece.number] = bytes(piece.data)
        return b"".join(data for _, data in sorted(self._pieces.items()))


def test_little_output_is_kept_whole():
    buffer = OutputBuffer(1000)
    store = Store(buffer)

    buffer.feed(1, b"one ")
    assert store.sync() == b"one "
    buffer.feed(2, b"two")
    assert store.sync() == b"one two"
    assert (buffer.size, buffer.dropped) == (7, 0)


def test_streams_stay_apart_and_neighbours_are_joined():
    buffer = OutputBuffer(1000)
    buffer.feed(1, b"a")
    buffer.feed(1, b"b")
    buffer.feed(2, b"c")

    assert [(piece.stream, bytes(piece.data)) for piece in buffer.changes().added] == [(1, b"ab"), (2, b"c")]


def test_of_too_much_the_head_and_the_tail_are_kept_whenever_it_is_written():
    for every in (1, 7, 10_000):
        buffer = OutputBuffer(4 * PIECE)
        store = Store(buffer)
        sent = b""
        for number in range(300):
            part = f"{number:>8}".encode() * 400
            sent += part
            buffer.feed(1, part)
            if number % every == 0:
                store.sync()
        kept = store.sync()

        assert len(kept) + buffer.dropped == len(sent) == buffer.size
        assert len(kept) <= 4 * PIECE
        assert kept[: 2 * PIECE] == sent[: 2 * PIECE]
        tail = kept[2 * PIECE :]
        assert len(tail) > PIECE // 2
        assert sent.endswith(tail)


def test_changes_that_could_not_be_written_come_again():
    buffer = OutputBuffer(8 * PIECE)
    store = Store(buffer)
    buffer.feed(1, b"h" * (4 * PIECE) + b"t")
    failed = buffer.changes()
    buffer.undo(failed)
    buffer.feed(1, b"u")

    assert store.sync() == b"h" * (4 * PIECE) + b"tu"


def test_a_gap_that_could_not_be_written_is_not_forgotten():
    buffer = OutputBuffer(4 * PIECE)
    store = Store(buffer)
    buffer.feed(1, b"h" * (2 * PIECE))
    for _ in range(6):
        buffer.feed(1, b"a" * PIECE)
        buffer.feed(2, b"b" * PIECE)
        store.sync()
    buffer.feed(1, b"c" * PIECE)
    buffer.undo(buffer.changes())

    assert store.sync().endswith(b"b" * PIECE + b"c" * PIECE)
