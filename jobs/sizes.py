"""Numbers of bytes as people write them: "500MB", "1.5 GiB"."""

import re

ALLOWED = 'a size is needed, such as "500MB", "20 GB" or "1GiB"'

_UNITS = {"": 1, "b": 1, "byte": 1, "bytes": 1}
for _power, _letter in enumerate("kmgt", 1):
    _UNITS[f"{_letter}b"] = _UNITS[_letter] = 1000**_power
    _UNITS[f"{_letter}ib"] = 1024**_power
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([a-z]*)")


def parse_size(value: object) -> int:
    """Return the bytes of a text or a whole number; ValueError with the reason when it is none."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if found is None or found[2] not in _UNITS:
        raise ValueError(ALLOWED)
    return round(float(found[1]) * _UNITS[found[2]])


def format_size(size: int) -> str:
    """Return the text that `parse_size` reads as *size*, in the largest unit that divides it."""
    for unit in ("TB", "TiB", "GB", "GiB", "MB", "MiB", "kB", "KiB"):
        if size and size % _UNITS[unit.lower()] == 0:
            return f"{size // _UNITS[unit.lower()]}{unit}"
    return str(size)
