"""Secrets in what a run prints: replaced byte by byte, whichever way the output is cut into pieces.

Looked for are the value itself, its longer lines, and how it looks in Base64, web addresses, JSON, HTML and the
UTF-16 that Windows' consoles speak.
"""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = b"********"
# Masking shorter values would make holes in ordinary words.
SHORTEST = 4
_SHORTEST_LINE = 8


class Patterns:
    """The byte strings that must not be shown."""

    def __init__(self, values: Iterable[str]) -> None:
        found = {form for value in values for form in _forms(value) if len(form) >= SHORTEST}
        longest_first = sorted(found, key=lambda form: (-len(form), form))
        self._search = re.compile(b"|".join(map(re.escape, longest_first))) if found else None
        self._beginnings = frozenset(form[:length] for form in found for length in range(1, len(form)))
        self._longest = max((len(form) for form in found), default=0)

    def __bool__(self) -> bool:
        return self._search is not None

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return from where to where *data* is to be masked; what overlaps or touches is one stretch."""
        stretches: list[tuple[int, int]] = []
        position = 0
        while self._search is not None and (match := self._search.search(data, position)):
            start, end = match.span()
            if stretches and start < stretches[-1][1]:
                stretches[-1] = (stretches[-1][0], max(end, stretches[-1][1]))
            else:
                stretches.append((start, end))
            position = start + 1  # another one may begin within this one
        return stretches

    def unfinished(self, data: bytes) -> int:
        """Return how many bytes at the end of *data* may be the beginning of something to be masked."""
        longest = min(self._longest - 1, len(data))
        return next((size for size in range(longest, 0, -1) if data[-size:] in self._beginnings), 0)


class Masker:
    """Masks one stream; keeps back only what may be the beginning of a secret."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._kept = b""
        self._covered = 0  # bytes of what is kept that a mask, given out before, stands for

    def feed(self, data: bytes) -> bytes:
        """Return what may be shown by now."""
        if not self._patterns:
            return data
        data = self._kept + data
        return self._give(data, len(data) - self._patterns.unfinished(data))

    def rest(self) -> bytes:
        """Return what is left at the end of the stream."""
        return self._give(self._kept, len(self._kept))

    def _give(self, data: bytes, cut: int) -> bytes:
        pieces, position = [], self._covered
        for start, end in self._patterns.spans(data):
            if start >= cut:
                break
            if start >= position:
                pieces += [data[position:start], MASK]
            position = max(position, end)
        pieces.append(data[position:cut])
        self._kept, self._covered = data[cut:], max(position - cut, 0)
        return b"".join(pieces)


def _forms(value: str) -> Iterator[bytes]:
    if len(value) < SHORTEST:
        return
    plain = value.encode()
    yield plain
    yield plain.strip()
    yield plain.replace(b"\n", b"\r\n")
    for line in plain.splitlines():
        if len(line.strip()) >= _SHORTEST_LINE:
            yield line.strip()
    yield quote(value, safe="").encode()
    yield quote(value).encode()
    yield quote_plus(value).encode()
    yield json.dumps(value)[1:-1].encode()
    yield json.dumps(value, ensure_ascii=False)[1:-1].encode()
    yield html.escape(value).encode()
    yield value.encode("utf-16-le")
    yield from _in_base64(plain)


def _in_base64(plain: bytes) -> Iterator[bytes]:
    """Yield what of *plain* shows in Base64 wherever it stands in a longer text, such as after "user:"."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + plain).rstrip(b"=")
        # The first characters mix with what stands before it, the last one with what follows.
        whole = encoded[(before * 8 + 5) // 6 : (before + len(plain)) * 8 // 6]
        if len(whole) >= _SHORTEST_LINE:
            yield whole
            yield whole.replace(b"+", b"-").replace(b"/", b"_")
