"""Durations as people write them: "10m", "1h 30m", "500ms"."""

import re
from datetime import timedelta

ALLOWED = 'a duration is needed, such as "30s", "10m" or "1h 30m"'

_MICROSECONDS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_MICROSECONDS["w"] = 7 * _MICROSECONDS["d"]
_WORDS = {
    **dict.fromkeys(("millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("week", "weeks"), "w"),
}
# ASCII digits with a bound: nobody writes more, and int() of a long text is slow.
_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([a-z]+)[\s,]*")
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")


def parse_duration(value: object) -> timedelta:
    """Return the duration of a text or a number of seconds; ValueError with the reason when it is none."""
    if isinstance(value, timedelta):
        duration = value
    elif isinstance(value, str):
        duration = _from_text(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            duration = timedelta(seconds=value)
        except (OverflowError, ValueError):  # too long, or not a number (NaN)
            raise ValueError(ALLOWED) from None
    else:
        raise ValueError(ALLOWED)  # noqa: TRY004 - one error for all that does not fit
    if duration < timedelta(0):
        raise ValueError("a duration cannot be negative")
    return duration


def format_duration(duration: timedelta) -> str:
    """Return the text that `parse_duration` reads as *duration*: "1d 12h", "0s"."""
    left = duration // timedelta(microseconds=1)
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, _MICROSECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    if left:
        parts.append(f"0.{left:06d}s")
    return " ".join(parts) or "0s"


def _from_text(text: str) -> timedelta:
    text = text.strip().lower()
    if _SECONDS.fullmatch(text):
        return timedelta(seconds=float(text))
    total = 0.0
    position = 0
    while position < len(text):
        part = _PART.match(text, position)
        unit = part and _WORDS.get(part[2], part[2])
        if part is None or unit not in _MICROSECONDS:
            raise ValueError(ALLOWED)
        total += float(part[1]) * _MICROSECONDS[unit]
        position = part.end()
    if not position:
        raise ValueError(ALLOWED)
    try:
        return timedelta(microseconds=round(total))
    except OverflowError:
        raise ValueError(ALLOWED) from None
