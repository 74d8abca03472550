"""Terminal output as stretches of text with colours: what a page shows of escape sequences and carriage returns.

Colours and the usual attributes (ECMA-48's SGR) are kept; every other sequence (moving the cursor, titles, links) is
dropped. The end of a line after a carriage return replaces what was before it, as a terminal shows a progress bar.
Pure, linear in the text, and what it returns is text still: whoever makes HTML of it has to escape it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

# A page with more changes of colour than this is none that anybody reads, and few browsers show it.
MOST_STRETCHES = 5_000

_SEQUENCE = re.compile(
    r"\x1b(?:\[([0-?]{0,100})[ -/]{0,10}([@-~])"  # CSI … final
    r"|[\]PX^_][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC up to their terminator
    r"|[ -/]{0,10}[0-~])?"  # a shorter one
)
_BEFORE_RETURN = re.compile(r"[^\n]*\r(?!\n|$)")
_ATTRIBUTES = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike"}
_ENDS = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",), 27: ("inverse",), 29: ("strike",)}
_COLOUR = re.compile(r"\d{1,2}|#[0-9a-f]{6}", re.ASCII)
_LEVELS = (0, 95, 135, 175, 215, 255)


@dataclass(frozen=True, slots=True)
class Style:
    """*colour* and *background*: a name of one of the sixteen ("3", "11"), "#rrggbb", or "" for the usual one."""

    colour: str = ""
    background: str = ""
    attributes: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "Style":
        """Return what `str` wrote; the usual one for what cannot be read."""
        colour, _, rest = text.partition(",")
        background, _, attributes = rest.partition(",")
        known = frozenset(attributes.split("+")) & {*_ATTRIBUTES.values()}
        return cls(_known_colour(colour), _known_colour(background), known)

    def __str__(self) -> str:
        return f"{self.colour},{self.background},{'+'.join(sorted(self.attributes))}" if self != PLAIN else ""

    @property
    def classes(self) -> str:
        """Return names of classes for what a style sheet says."""
        names = [f"ansi-{name}" for name in sorted(self.attributes)]
        names += [f"ansi-{self.colour}"] if self.colour.isdecimal() else []
        names += [f"ansi-on-{self.background}"] if self.background.isdecimal() else []
        return " ".join(names)

    @property
    def css(self) -> str:
        """Return declarations for the colours that are not among the sixteen."""
        rules = [f"color:{self.colour}"] if self.colour.startswith("#") else []
        rules += [f"background:{self.background}"] if self.background.startswith("#") else []
        return ";".join(rules)


def _known_colour(text: str) -> str:
    return text if _COLOUR.fullmatch(text) else ""


PLAIN = Style()


def stretches(text: str, style: Style = PLAIN) -> Iterator[tuple[Style, str]]:
    """Yield *text* in pieces of one style each, beginning with *style*; after MOST_STRETCHES they stay as they are."""
    begin, count, open_style, parts = 0, 0, style, []
    for sequence in _SEQUENCE.finditer(text):
        parts.append(text[begin : sequence.start()])
        begin = sequence.end()
        if sequence[2] == "m" and count < MOST_STRETCHES:
            style = _changed(style, sequence[1])
            if style != open_style:
                if shown := "".join(parts):
                    yield open_style, shown
                    count += 1
                open_style, parts = style, []
    if shown := "".join([*parts, text[begin:]]):
        yield open_style, shown


def last_of_lines(text: str) -> str:
    """Return *text* without what a carriage return has let a terminal write over."""
    return _BEFORE_RETURN.sub("", text).replace("\r\n", "\n") if "\r" in text else text


def _changed(style: Style, parameters: str) -> Style:
    """Return *style* after an SGR sequence; what is unknown or broken changes nothing."""
    numbers = [int(part) if part.isdecimal() and len(part) < 4 else -1 for part in re.split("[;:]", parameters or "0")]  # noqa: PLR2004 - 255 is the largest that means something
    position = 0
    while position < len(numbers):
        number = numbers[position] if parameters else 0
        position += 1
        if number in {38, 48}:
            colour, position = _extended(numbers, position)
            if colour:
                style = replace(style, colour=colour) if number == 38 else replace(style, background=colour)  # noqa: PLR2004 - SGR
            continue
        style = _simply_changed(style, number)
    return style


def _simply_changed(style: Style, number: int) -> Style:  # noqa: PLR0911 - a table, in code
    if number == 0:
        return PLAIN
    if number in _ATTRIBUTES:
        return replace(style, attributes=style.attributes | {_ATTRIBUTES[number]})
    if number in _ENDS:
        return replace(style, attributes=style.attributes - {*_ENDS[number]})
    if number == 39:  # noqa: PLR2004 - SGR's numbers, here and below
        return replace(style, colour="")
    if number == 49:  # noqa: PLR2004
        return replace(style, background="")
    tens, unit = divmod(number, 10)
    if tens in {3, 9} and unit < 8:  # noqa: PLR2004
        return replace(style, colour=str(unit + (8 if tens == 9 else 0)))  # noqa: PLR2004
    if tens in {4, 10} and unit < 8:  # noqa: PLR2004
        return replace(style, background=str(unit + (8 if tens == 10 else 0)))  # noqa: PLR2004
    return style


def _extended(numbers: list[int], position: int) -> tuple[str, int]:
    """Return the colour of `5;n` or `2;r;g;b`, "" when it is none, and where the parameters go on."""
    kind = numbers[position] if position < len(numbers) else -1
    values = numbers[position + 1 : position + (2 if kind == 5 else 4)]  # noqa: PLR2004 - one number, or three
    following = position + 1 + len(values)
    if any(not 0 <= value <= 255 for value in values):  # noqa: PLR2004 - a byte
        return "", following
    if kind == 5 and len(values) == 1:  # noqa: PLR2004
        return _of_256(values[0]), following
    if kind == 2 and len(values) == 3:  # noqa: PLR2004
        return "#{:02x}{:02x}{:02x}".format(*values), following
    return "", following


def _of_256(number: int) -> str:
    if number < 16:  # noqa: PLR2004 - the sixteen, a cube of 6 × 6 × 6, and grey
        return str(number)
    if number >= 232:  # noqa: PLR2004
        grey = 8 + 10 * (number - 232)
        return f"#{grey:02x}{grey:02x}{grey:02x}"
    number -= 16
    red, green, blue = (_LEVELS[number // 36], _LEVELS[number // 6 % 6], _LEVELS[number % 6])
    return f"#{red:02x}{green:02x}{blue:02x}"
