"""What a run printed, as lines for a page: from where the page stands, so that a long log is sent once.

A cursor tells where the page stands: the piece and the byte in it where the last, unfinished line begins, and the
colours in force there. Each stream's colours go on where it goes on.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from jobs import ansi
from jobs.models import Run, RunOutput

# One answer holds about so much: what a browser draws without a pause.
MOST_BYTES, MOST_LINES, MOST_SPANS = 256 * 1024, 2_000, 5_000
# A line that is longer without an end is shown in parts of this.
LONGEST_LINE = 64 * 1024
STREAMS = {stream.value: stream.label for stream in RunOutput.Stream}
_CURSOR = re.compile(r"(\d{1,9})\.(\d{1,9})\.([01])\.([\w#,+-]{0,120})\.([\w#,+-]{0,120})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    text: str
    classes: str = ""
    css: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """*stream* is stdout, stderr, or gap; one that is *open* may go on."""

    stream: str
    spans: tuple[Span, ...]
    open: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """*shows_open*: the page shows the beginning of the line at which the next answer begins."""

    piece: int = 0
    offset: int = 0
    shows_open: bool = False
    styles: dict[int, ansi.Style] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `str` wrote; the beginning for anything else, as a page of another version may send."""
        found = _CURSOR.fullmatch(text)
        if found is None:
            return cls()
        styles = {stream: ansi.Style.parse(found[3 + stream]) for stream in STREAMS}
        return cls(int(found[1]), int(found[2]), found[3] == "1", styles)

    def __str__(self) -> str:
        styles = ".".join(str(self.styles.get(stream, ansi.PLAIN)) for stream in STREAMS)
        return f"{self.piece}.{self.offset}.{int(self.shows_open)}.{styles}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some lines, and where they end. *replaces*: the first takes the place of the open line that the page shows."""

    lines: list[Line]
    cursor: Cursor
    replaces: bool
    more: bool


def read(run: Run, cursor: Cursor, *, ended: bool) -> Chunk:
    """Return the lines from *cursor* on; when the run has *ended*, its last line has, too."""
    reader = _Reader(cursor, run.output_dropped)
    pieces = run.output.filter(number__gte=cursor.piece).order_by("number").values_list("number", "stream", "data")
    more = False
    for number, stream, data in pieces.iterator(chunk_size=8):
        more = not reader.take(number, stream, bytes(data))
        if more:
            break
    if not more:
        reader.end(ended=ended)
    return reader.chunk(more=more)


def raw(run: Run, stream: int | None = None) -> Iterator[bytes]:
    """Yield what the run printed, to the byte, on one stream or on both; a gap is said in a line of its own."""
    previous = 0
    pieces = run.output.order_by("number").values_list("number", "stream", "data")
    for number, of_stream, data in pieces.iterator(chunk_size=8):
        if number > previous + 1:
            yield f"\n{_gap(run.output_dropped)}\n".encode()
        previous = number
        if stream in {None, of_stream}:
            yield bytes(data)


def _gap(dropped: int) -> str:
    return f"… {dropped:,} bytes are not kept …" if dropped else "… some of the output is not kept …"


class _Reader:
    """Makes lines of pieces as they come."""

    def __init__(self, cursor: Cursor, dropped: int) -> None:
        self._lines: list[Line] = []
        self._from = cursor
        self._dropped = dropped
        self._styles: dict[int, ansi.Style] = dict(cursor.styles)
        self._stream = 0
        # The line that has not ended, where it begins, and up to where has been read.
        self._line = bytearray()
        self._line_at = self._read_to = (cursor.piece, cursor.offset)
        self._bytes = self._spans = 0

    def take(self, number: int, stream: int, data: bytes) -> bool:
        """Read a piece; False when that is enough for one answer, and its rest is to be read again."""
        if number > self._read_to[0] + 1:
            self._close()
            self._lines.append(Line("gap", (Span(_gap(self._dropped)),)))
        if stream != self._stream:
            self._close()
        self._stream = stream
        begin = self._from.offset if number == self._from.piece else 0
        while begin < len(data):
            if not self._line:
                self._line_at = (number, begin)
            newline = data.find(b"\n", begin)
            end = len(data) if newline < 0 else newline + 1
            end = min(end, begin + LONGEST_LINE)
            self._line += data[begin:end]
            begin = end
            self._read_to = (number, begin)
            if self._line.endswith(b"\n") or len(self._line) >= LONGEST_LINE:
                self._close()
                if self._bytes >= MOST_BYTES or len(self._lines) >= MOST_LINES or self._spans >= MOST_SPANS:
                    return False
        self._read_to = (number, len(data))
        return True

    def end(self, *, ended: bool) -> None:
        """Show the last line, which the job may still go on with unless it has *ended*."""
        if self._line and not ended:
            spans, _ = self._drawn(bytes(self._line))
            self._lines.append(Line(STREAMS[self._stream], spans, open=True))
        else:
            self._close()

    def chunk(self, *, more: bool) -> Chunk:
        shows_open = bool(self._lines) and self._lines[-1].open
        end = self._line_at if shows_open else self._read_to
        replaces = self._from.shows_open and bool(self._lines)
        return Chunk(self._lines, Cursor(*end, shows_open, self._styles), replaces, more)

    def _close(self) -> None:
        if self._line:
            spans, style = self._drawn(bytes(self._line))
            self._styles[self._stream] = style
            self._lines.append(Line(STREAMS[self._stream], spans))
            self._bytes += len(self._line)
            self._spans += len(spans)
            self._line = bytearray()

    def _drawn(self, data: bytes) -> tuple[tuple[Span, ...], ansi.Style]:
        """Return the line as stretches of one style each, without its end, and the style after it."""
        before = after = self._styles.get(self._stream, ansi.PLAIN)
        text = ansi.last_of_lines(data.decode(errors="backslashreplace"))
        if "\x1b" not in text and before == ansi.PLAIN:
            return (Span(text.removesuffix("\n")),), before
        spans = []
        # With the line's end, so that the last sequence is told of even with nothing after it.
        for after, part in ansi.stretches(f"{text}\n", before):
            if shown := part.rstrip("\n"):
                spans.append(Span(shown, after.classes, after.css))
        return tuple(spans), after
