"""Cron lines: a text that a person typed becomes checked, plain fields, and those find matching wall-clock times.

Dialect: cronsim's (`L`, `LW`, `5L`, `5#2`, names, seconds as a first of six fields), plus `@hourly … @yearly` and
ranges that wrap (`22-2`). What leaves `normalise` is written so that Celery's own crontab reads it the same way
wherever it knows the notation: numbers instead of names, Sunday as 0, no wrapped range, no step on a single value.
Time zones and clock changes are no concern of this module; see `beat_config.triggers`.
"""

import calendar
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

from cronsim import CronSim, CronSimError

DayRule = Literal["or", "and"]

LONGEST_LINE = 255
SHOWN_OF_A_VALUE = 40
# Any leap year will do for "does it ever fire?": cronsim looks 50 years ahead, and a date with a weekday comes back
# after 40 years at most (29 February over a century that is no leap year).
LOOK_FOR_A_FIRE_FROM = datetime(2000, 1, 1)  # noqa: DTZ001  wall-clock time of no zone in particular

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class TriggerError(ValueError):
    """A trigger cannot be used; the text is a full sentence.

    `field` names the field at fault as django-celery-beat does (`minute`, `day_of_week`, …), so that a form can put the
    sentence next to it; a whole cron line is `expression`, others are `time_zone`, `period`, `moment`.
    """

    def __init__(self, sentence: str, *, field: str, value: str) -> None:
        super().__init__(sentence)
        self.field = field
        self.value = value

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_error, (str(self), self.field, self.value)


def _rebuild_error(sentence: str, field: str, value: str) -> TriggerError:
    return TriggerError(sentence, field=field, value=value)


def shown(value: str) -> str:
    """Quote *value* for a sentence: shortened, control and foreign characters made visible."""
    return ascii(value if len(value) <= SHOWN_OF_A_VALUE else value[: SHOWN_OF_A_VALUE - 1] + "~")


@dataclass(frozen=True, slots=True)
class Field:
    key: str
    title: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()
    specials: str = ""
    wraps: bool = True

    @property
    def allowed(self) -> str:
        names = f" or {self.names[0][:3].upper()}-{self.names[-1][:3].upper()}" if self.names else ""
        sunday = " (7 is Sunday too)" if self.key == "day_of_week" else ""
        return f"{self.lowest}-{self.highest}{names}{sunday}, lists, ranges and steps of these, or *{self.specials}"

    def error(self, value: str, why: str) -> TriggerError:
        return TriggerError(
            f"cannot use {shown(value)} as {self.title}: {why}; allowed: {self.allowed}", field=self.key, value=value
        )


# fmt: off
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)
# fmt: on
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")

SECOND = Field("second", "second", 0, 59)
MINUTE = Field("minute", "minute", 0, 59)
HOUR = Field("hour", "hour", 0, 23)
# A range of days that wraps (25-5) would have a different length each month; two ranges say it better.
DAY = Field("day_of_month", "day of month", 1, 31, specials=", L (last day), LW (last Monday to Friday)", wraps=False)
MONTH = Field("month_of_year", "month", 1, 12, names=MONTHS)
WEEKDAY = Field("day_of_week", "weekday", 0, 6, names=WEEKDAYS, specials=", 5L (last Friday), 5#2 (second Friday)")
FIELDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)

SUNDAY_AS_SEVEN = 7
WEEKS_A_MONTH_CAN_HAVE = 5
_SEVERAL = re.compile(r"(?P<first>[^-/]+)(?:-(?P<last>[^-/]+))?(?:/(?P<step>.*))?")


@lru_cache(maxsize=4096)
def normalise(expression: str) -> str:
    """Return *expression* as five plain fields (six with seconds first); TriggerError names the field that is wrong.

    Names become numbers, 7 becomes 0 (Sunday), `22-2` becomes `22-23,0-2`, `@daily` becomes `0 0 * * *`. Ranges wrap
    in seconds, minutes, hours, months and weekdays, not in days of the month. A line that can never fire is refused.
    """
    parts = _split(expression)
    checked = tuple(_check(field, part) for field, part in zip(FIELDS[-len(parts) :], parts, strict=True))
    line = " ".join(checked)
    if len(line) > LONGEST_LINE:
        raise TriggerError(
            f"cannot use {shown(expression)} as a cron line: written out it has {len(line)} characters; "
            f"{LONGEST_LINE} are allowed; use ranges and steps instead of lists",
            field="expression",
            value=expression,
        )
    compile_line(line, "or")
    return line


def _split(expression: str) -> list[str]:
    def error(why: str) -> TriggerError:
        return TriggerError(
            f"cannot use {shown(expression)} as a cron line: {why}", field="expression", value=expression
        )

    if len(expression) > LONGEST_LINE:
        raise error(f"it has {len(expression)} characters; {LONGEST_LINE} are allowed")
    text = expression.strip(" \t\r\n")
    if not text:
        raise error("it is empty; an example is 30 2 * * 1-5 (02:30 on weekdays)")
    foreign = next((character for character in text if not (" " <= character <= "~" or character == "\t")), None)
    if foreign is not None and foreign.isascii():
        raise error(f"it contains the control character {foreign!a}; write the fields on one line, with spaces between")
    if foreign is not None:
        raise error(f"it contains {foreign!a}; only plain digits 0-9, letters A-Z and * , - / # are allowed")
    if text.startswith("@"):
        if text.lower() == "@reboot":
            raise error("@reboot names no time, and a schedule fires at times; write when it should fire")
        if text.lower() not in ALIASES:
            raise error(f"allowed names are {', '.join(ALIASES)}")
        return ALIASES[text.lower()].split()
    parts = text.split()
    if len(parts) not in {len(FIELDS) - 1, len(FIELDS)}:
        count = "1 field" if len(parts) == 1 else f"{len(parts)} fields"
        raise error(
            f"it has {count}; 5 are needed (minute, hour, day of month, month, weekday), or 6 with seconds first"
        )
    return parts


def _check(field: Field, text: str) -> str:
    """Return the plain form of one field."""
    plain: dict[str, None] = {}
    for item in text.split(","):
        if not item:
            raise field.error(text, "a list has an empty place")
        plain.update(dict.fromkeys(_plain(field, item)))
    return ",".join(plain)


def _plain(field: Field, item: str) -> Iterator[str]:
    """Yield the plain items that stand for *item* of a list."""
    if field is DAY and item.upper() in {"L", "LW"}:
        yield item.upper()
        return
    if field is WEEKDAY and item.upper().endswith("L") and len(item) > 1 and not item.isalpha():
        yield f"{_number(field, item[:-1], item) % SUNDAY_AS_SEVEN}L"
        return
    if field is WEEKDAY and item.upper().endswith("L") and item[:-1].lower() in _names(field):
        yield f"{_names(field)[item[:-1].lower()]}L"
        return
    if field is WEEKDAY and "#" in item:
        day, _, week = item.partition("#")
        if not _is_number(week) or not 1 <= int(week) <= WEEKS_A_MONTH_CAN_HAVE:
            raise field.error(item, f"{shown(week)} is no week of a month (1-5)")
        yield f"{_number(field, day, item) % SUNDAY_AS_SEVEN}#{int(week)}"
        return
    parts = _SEVERAL.fullmatch(item)
    if parts is None:
        raise field.error(item, "it is no number, range or step")
    first, last, step = parts["first"], parts["last"], _step(field, parts["step"], item)
    if first == "*" and last is None:
        yield "*" if step == 1 else f"*/{step}"
        return
    low = _number(field, first, item)
    if last is not None:
        high = _number(field, last, item)
    elif parts["step"] is not None:  # 5/15 goes on to the end of the field
        high = SUNDAY_AS_SEVEN if field is WEEKDAY else field.highest
    else:
        high = low
    yield from _plain_range(field, low, high, step, item)


def _plain_range(field: Field, low: int, high: int, step: int, item: str) -> Iterator[str]:
    if low > high and not field.wraps:
        raise field.error(item, f"{low} comes after {high}; write {low}-{field.highest},{field.lowest}-{high}")
    if low == SUNDAY_AS_SEVEN and field is WEEKDAY:
        low, high = 0, high % SUNDAY_AS_SEVEN  # a range that begins with Sunday
    if low > high:
        values = [*range(low, field.highest + 1), *range(field.lowest, high + 1)][::step]
    else:
        values = list(range(low, high + 1))[::step]
    if field is WEEKDAY:
        values = list(dict.fromkeys(value % SUNDAY_AS_SEVEN for value in values))
    wrap = next((place for place in range(1, len(values)) if values[place] < values[place - 1]), len(values))
    yield from _progression(values[:wrap], step)
    yield from _progression(values[wrap:], step)


def _progression(values: list[int], step: int) -> Iterator[str]:
    """Yield values that are *step* apart as `9-21/6` or, where there are one or two, as themselves."""
    if len(values) > 1 and step == 1:
        yield f"{values[0]}-{values[-1]}"
    elif len(values) > 2:  # noqa: PLR2004  a range says no less with more characters
        yield f"{values[0]}-{values[-1]}/{step}"
    else:
        yield from map(str, values)


def _step(field: Field, text: str | None, item: str) -> int:
    if text is None:
        return 1
    size = field.highest - field.lowest + 1
    if not _is_number(text):
        raise field.error(item, f"{shown(text)} is no step (1-{size})")
    step = int(text)
    if not 1 <= step <= size:
        raise field.error(item, f"a step of {shown(text)} is not possible (1-{size}); for long intervals use a period")
    return step


def _number(field: Field, text: str, item: str) -> int:
    if text.lower() in _names(field):
        return _names(field)[text.lower()]
    if not _is_number(text):
        raise field.error(item, f"{shown(text)} is no {'number or name' if field.names else 'number'}")
    highest = SUNDAY_AS_SEVEN if field is WEEKDAY else field.highest
    if not field.lowest <= int(text) <= highest:
        raise field.error(item, f"{shown(text)} is out of range")
    return int(text)


def _is_number(text: str) -> bool:
    return text.isdigit()  # 0-9: `_split` lets no other digits through


@lru_cache
def _names(field: Field) -> dict[str, int]:
    """Return `mon` and `monday` with their numbers."""
    numbered = dict(zip(field.names, range(field.lowest, field.highest + 1), strict=False))
    return numbered | {name[:3]: number for name, number in numbered.items()}


class Line:
    """A checked cron line that finds matching wall-clock times. Knows no time zone; safe to share between threads."""

    def __init__(self, line: str, day_rule: DayRule) -> None:
        parts = line.split()
        self.text = line
        self._start = CronSim(line, LOOK_FOR_A_FIRE_FROM)
        if day_rule == "and":
            self._start.day_and = True
        # cron(8) of Debian: "jobs that run at a specified time or with a granularity greater than one hour" are moved
        # to the clock's change; it tells them, as cronsim does, by a first * in minute or hour. cronsim exempts all
        # lines with seconds; for us 30 30 2 * * * is as much a time of day as 30 2 * * *.
        self.names_times_of_day = not any(part.startswith("*") for part in parts[:-3])

    def first_after(self, wall: datetime) -> datetime | None:
        """Return the first matching wall-clock time after *wall* (naive, whole seconds); None: not within 50 years."""
        search = copy.copy(self._start)
        search.dt = wall
        return next(search, None)


@lru_cache(maxsize=4096)
def compile_line(line: str, day_rule: DayRule) -> Line:
    """Return the search for a line that `normalise` gave; TriggerError when it can never fire under *day_rule*."""
    try:
        compiled = Line(line, day_rule)
    except CronSimError:  # it sees at once that 31 February never comes
        compiled = None
    if compiled is not None and compiled.first_after(LOOK_FOR_A_FIRE_FROM) is not None:
        return compiled
    day, month, weekday = line.split()[-3:]
    if weekday == "*":
        raise TriggerError(
            f"cannot use {shown(day)} as day of month: no month of {shown(month)} has such a day, so it would never "
            f"fire; allowed there: 1-{_longest(month)}, or L (last day)",
            field=DAY.key,
            value=day,
        )
    raise TriggerError(
        f"cannot use {shown(line)}: no day is both day of month {shown(day)} and weekday {shown(weekday)} in month "
        f"{shown(month)}, so it would never fire; change one of the three, or let one of the days suffice",
        field=DAY.key,
        value=day,
    )


def _longest(month: str) -> int:
    """Return the days of the longest of some months, in a leap year."""
    months = CronSim(f"0 0 1 {month} *", LOOK_FOR_A_FIRE_FROM).months
    return max(calendar.monthrange(LOOK_FOR_A_FIRE_FROM.year, number)[1] for number in months)
