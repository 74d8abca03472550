"""The icon for each look: told apart by shape as well as by colour, on light and on dark panels."""

from collections.abc import Callable, Mapping
from functools import lru_cache

from PIL import Image, ImageDraw

from scheduler_app.desktop.observation import Look

SHARPNESS = 8
"""Drawn this many times larger and then made smaller: Pillow's shapes have no smooth edges of their own."""
EDGE = "#ffffff"
"""A light edge around a strong colour stands out on every panel."""
COLOURS: Mapping[Look, str] = {
    Look.STOPPED: "#6b7280",
    Look.STARTING: "#b7791f",
    Look.RUNNING: "#15803d",
    Look.BUSY: "#0e7490",
    Look.PAUSED: "#1d4ed8",
    Look.DEGRADED: "#c2410c",
    Look.FAILING: "#b91c1c",
}


class Pen:
    """Draws in coordinates from 0 to 1, whatever the size in pixels."""

    def __init__(self, image: Image.Image) -> None:
        self._side = image.width - 1
        self._draw = ImageDraw.Draw(image)

    def disc(self, radius: float, colour: str) -> None:
        self._draw.ellipse(self._box(0.5 - radius, 0.5 - radius, 0.5 + radius, 0.5 + radius), fill=colour)

    def arc(self, radius: float, start: float, end: float, width: float, colour: str) -> None:
        box = self._box(0.5 - radius, 0.5 - radius, 0.5 + radius, 0.5 + radius)
        self._draw.arc(box, start, end, fill=colour, width=round(width * self._side))

    def bar(self, left: float, top: float, right: float, bottom: float, colour: str, *, round_by: float = 0.0) -> None:
        self._draw.rounded_rectangle(self._box(left, top, right, bottom), round_by * self._side, fill=colour)

    def shape(self, colour: str, *points: tuple[float, float]) -> None:
        self._draw.polygon([(x * self._side, y * self._side) for x, y in points], fill=colour)

    def line(self, colour: str, width: float, *points: tuple[float, float]) -> None:
        pixels = [(x * self._side, y * self._side) for x, y in points]
        self._draw.line(pixels, fill=colour, width=round(width * self._side), joint="curve")

    def _box(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        return left * self._side, top * self._side, right * self._side, bottom * self._side


def _stopped(pen: Pen, colour: str) -> None:
    pen.bar(0.06, 0.06, 0.94, 0.94, EDGE, round_by=0.2)
    pen.bar(0.12, 0.12, 0.88, 0.88, colour, round_by=0.15)
    pen.bar(0.34, 0.34, 0.66, 0.66, EDGE)


def _starting(pen: Pen, colour: str) -> None:
    pen.disc(0.48, EDGE)
    pen.disc(0.42, colour)
    pen.arc(0.29, -90, 150, 0.12, EDGE)


def _running(pen: Pen, colour: str) -> None:
    pen.disc(0.48, EDGE)
    pen.disc(0.42, colour)
    pen.line(EDGE, 0.1, (0.5, 0.22), (0.5, 0.52), (0.68, 0.66))


def _busy(pen: Pen, colour: str) -> None:
    pen.disc(0.48, EDGE)
    pen.disc(0.42, colour)
    pen.shape(EDGE, (0.38, 0.26), (0.38, 0.74), (0.76, 0.5))


def _paused(pen: Pen, colour: str) -> None:
    for left in (0.1, 0.54):
        pen.bar(left, 0.06, left + 0.36, 0.94, EDGE, round_by=0.1)
        pen.bar(left + 0.06, 0.12, left + 0.3, 0.88, colour, round_by=0.06)


def _degraded(pen: Pen, colour: str) -> None:
    pen.shape(EDGE, (0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5))
    pen.shape(colour, (0.5, 0.09), (0.91, 0.5), (0.5, 0.91), (0.09, 0.5))
    _exclamation(pen, 0.26, 0.56, 0.64, 0.76)


def _failing(pen: Pen, colour: str) -> None:
    pen.shape(EDGE, (0.5, 0.01), (1.0, 0.97), (0.0, 0.97))
    pen.shape(colour, (0.5, 0.14), (0.9, 0.91), (0.1, 0.91))
    _exclamation(pen, 0.38, 0.66, 0.73, 0.85)


def _exclamation(pen: Pen, top: float, bottom: float, dot_top: float, dot_bottom: float) -> None:
    pen.bar(0.44, top, 0.56, bottom, EDGE)
    pen.bar(0.44, dot_top, 0.56, dot_bottom, EDGE)


_SHAPES: Mapping[Look, Callable[[Pen, str], None]] = {
    Look.STOPPED: _stopped,
    Look.STARTING: _starting,
    Look.RUNNING: _running,
    Look.BUSY: _busy,
    Look.PAUSED: _paused,
    Look.DEGRADED: _degraded,
    Look.FAILING: _failing,
}


@lru_cache(maxsize=64)
def draw(look: Look, size: int) -> Image.Image:
    """Return the icon of *look*, *size* pixels wide and high, with a transparent ground."""
    large = Image.new("RGBA", (size * SHARPNESS, size * SHARPNESS), (0, 0, 0, 0))
    _SHAPES[look](Pen(large), COLOURS[look])
    return large.resize((size, size), Image.Resampling.LANCZOS)
