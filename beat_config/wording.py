"""Plain English for triggers and durations, as the admin, the CLI and the reasons of missed runs show them.

Own words for all of cron instead of cron-descriptor's: version 1.4.5 says "on day 13 of the month, only on Friday" for
`0 12 13 * 5`, where cron fires on either; "day 15 and L of the month" for `15,L`; and "every 5 hours" for `*/5`, which
starts anew each day.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import product
from zoneinfo import ZoneInfo

from beat_config import cron
from beat_config.bounds import Bounded
from beat_config.composed import EveryNthWeek, Jittered
from beat_config.solar import EVENTS, Solar
from beat_config.triggers import Clocked, Crontab, Interval, Trigger

UTC = ZoneInfo("UTC")

UNIT_LENGTHS = (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
HOURS_A_DAY = 24
PARTS_OF_A_WHOLE = 60  # seconds of a minute, minutes of an hour
MOST_TIMES_TO_LIST = 6
MOST_STEPS_TO_LIST = 12
WORKING_DAYS = {"1-5", "1,2,3,4,5"}
WEEKEND = {"0,6", "6,0"}
WEEKS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}


def lateness(delta: timedelta) -> str:
    """Return a duration in its two largest units: "2 h 5 min", "3 days 4 h", "45 s"; a negative one as if positive."""
    seconds = int(abs(delta).total_seconds())
    if seconds < 1:
        return "less than 1 s"
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{days} day{'s' * (days != 1)}", f"{hours} h", f"{minutes} min", f"{seconds} s"]
    numbers = [days, hours, minutes, seconds]
    largest = next(place for place, number in enumerate(numbers) if number)
    return " ".join(parts[place] for place in range(largest, min(largest + 2, len(parts))) if numbers[place])


def describe(trigger: Trigger, zone: ZoneInfo = UTC) -> str:
    """Return when *trigger* fires, as one would say it: "Every 10 seconds", "At 02:30 on weekdays (Europe/Berlin)".

    Moments are told in *zone*; a trigger that has a zone of its own keeps it.
    """
    match trigger:
        case Interval(period=period):
            return f"Every {_period(period)}"
        case Clocked(at=at):
            local = at.astimezone(zone)
            return f"Once, at {local:{'%H:%M:%S' if at.second else '%H:%M'} on %Y-%m-%d} ({zone.key})"
        case Crontab(zone=own):
            return f"{_cron(trigger)} ({own.key})"
        case Solar(event=event, latitude=latitude, longitude=longitude):
            return f"At {EVENTS[event].words} ({_place(latitude, longitude)})"
        case EveryNthWeek() | Jittered() | Bounded():
            return ", ".join([describe(trigger.trigger, zone), *_addition(trigger, zone)])
        case _:
            raise TypeError(f"cannot describe a {type(trigger).__name__}: no words are known for this kind of trigger")


def _addition(trigger: EveryNthWeek | Jittered | Bounded, zone: ZoneInfo) -> list[str]:
    """Return what a composed trigger adds to the words of the one inside."""
    match trigger:
        case EveryNthWeek(weeks=weeks, monday=monday):
            every = "every week" if weeks == 1 else f"only every {_ordinal(weeks)} week"
            return [f"{every}, counted from the week of Monday {monday}"]
        case Jittered(offset=offset, spread=spread):
            moved = f"{_period(offset, one=True)} later each time" if offset else "not moved"
            return [f"{moved} (spread over {_period(spread, one=True)})"] if spread else []
        case Bounded(start=start, end=end):
            ends = [(word, each) for word, each in (("from", start), ("until", end)) if each is not None]
            words = [f"{word} {each.astimezone(zone):%Y-%m-%d %H:%M}" for word, each in ends]
            return [f"{' '.join(words)} ({zone.key})"] if words else []


def _place(latitude: float, longitude: float) -> str:
    """Return "52.52° N, 13.405° E"."""
    return f"{abs(latitude):.6g}° {'S' if latitude < 0 else 'N'}, {abs(longitude):.6g}° {'W' if longitude < 0 else 'E'}"


def _period(period: timedelta, *, one: bool = False) -> str:
    """Return "hour" ("1 hour" with *one*), "2 weeks", "1 hour 30 minutes"."""
    seconds, micro = divmod(period // timedelta(microseconds=1), 1_000_000)
    if micro:
        return f"{seconds + micro / 1_000_000:.6f}".rstrip("0") + " seconds"
    parts = []
    for unit, length in UNIT_LENGTHS:
        if unit == "week" and seconds % length:
            continue  # 10 days are not "1 week 3 days" to most people
        number, seconds = divmod(seconds, length)
        if number:
            parts.append((number, unit))
    if len(parts) == 1 and parts[0][0] == 1 and not one:
        return parts[0][1]
    return " ".join(f"{number} {unit}{'s' * (number != 1)}" for number, unit in parts)


def _cron(trigger: Crontab) -> str:
    fields = trigger.expression.split()
    second, minute, hour, day, month, weekday = fields if len(fields) == len(cron.FIELDS) else ["0", *fields]
    days = _days(day, month, weekday, trigger.day_rule)
    times = _times_of_day(second, minute, hour)
    if times:
        return f"At {times} {days or 'every day'}"
    return f"{_pattern(second, minute, hour)}{', ' if days else ''}{days}"


def _times_of_day(second: str, minute: str, hour: str) -> str:
    """Return "02:30 and 14:30"; empty where the times are too many for a list."""
    seconds, minutes, hours = _values(cron.SECOND, second), _values(cron.MINUTE, minute), _values(cron.HOUR, hour)
    if "*" in {second, minute, hour} or len(seconds) * len(minutes) * len(hours) > MOST_TIMES_TO_LIST:
        return ""
    if hour.startswith("*/") and len(hours) > 1 and HOURS_A_DAY % _step(hour) == 0:
        return ""  # "every 6 hours" says more
    return _join([_clock(*reading, with_seconds=second != "0") for reading in product(hours, minutes, seconds)])


def _pattern(second: str, minute: str, hour: str) -> str:
    """Return "Every 5 minutes from 09:00 to 17:59", "At minutes 0 and 30 of every hour"."""
    if second != "0":
        within = "" if minute == "*" else f" of {_of(cron.MINUTE, minute)}"
        words = _of(cron.SECOND, second)
        words += within or ("" if words.startswith("every") else " of every minute")
    elif minute.isdigit() and (hourly := _hourly(int(minute), hour)):
        return hourly
    else:
        words = _of(cron.MINUTE, minute)
        words += "" if words.startswith("every") else " of every hour"
    start = words if words.startswith("every") else f"at {words}"
    return start[0].upper() + start[1:] + _within_hours(hour)


def _hourly(minute: int, hour: str) -> str:
    """Return "Every hour from 09:05 to 17:05"; empty where the hours have no such order."""
    if hour == "*":
        return "Every hour, on the hour" if minute == 0 else f"Every hour, at {_count(minute, 'minute')} past"
    if hour.startswith("*/") and "," not in hour:
        return f"Every {_count(_step(hour), 'hour')} from 00:{minute:02}"
    first, dash, last = _joined_at_the_wrap(cron.HOUR, hour).partition("-")
    if dash and last.isdigit() and first.isdigit():
        return f"Every hour from {int(first):02}:{minute:02} to {int(last):02}:{minute:02}"
    return ""


def _of(field: cron.Field, text: str) -> str:
    """Return "every 5 minutes", "minutes 0 and 30"."""
    if text.startswith("*") and "," not in text:
        step = _step(text)
        anew = ", anew each " + ("hour" if field is cron.MINUTE else "minute") if PARTS_OF_A_WHOLE % step else ""
        return f"every {field.title if step == 1 else _count(step, field.title)}{anew}"
    return f"{field.title}{'' if text.isdigit() else 's'} {_items(field, text)}"


def _within_hours(hour: str) -> str:
    if hour == "*":
        return ""
    first, dash, last = _joined_at_the_wrap(cron.HOUR, hour).partition("-")
    if first.isdigit() and (last.isdigit() or not dash):
        return f" from {int(first):02}:00 to {int(last or first):02}:59"
    return f", in hours {_items(cron.HOUR, hour)}"


def _days(day: str, month: str, weekday: str, rule: cron.DayRule) -> str:
    """Return "on weekdays", "on day 13 of the month or on Friday, in January"; empty for every day."""
    months = _months(month)
    if day == "*" and weekday == "*":
        return f"every day {months}" if months else ""
    days, weekdays = _day_of_month(day), _weekday(weekday)
    if weekday == "*":
        if day.isdigit() and month.isdigit():
            return f"on {day} {_month_name(int(month))}"
        return f"{days} {months}".rstrip()
    if day == "*":
        return f"{weekdays} {months}".rstrip()
    both = f"{days} or {weekdays}" if _either(day, weekday, rule) else f"{days}, only if it falls {weekdays}"
    return f"{both}, {months}" if months else both


def _either(day: str, weekday: str, rule: cron.DayRule) -> bool:
    return rule == "or" and not day.startswith("*") and not weekday.startswith("*")


def both_days(trigger: Crontab) -> str:
    """Return what it means that day of month and weekday are both restricted; empty where they are not."""
    day, month, weekday = trigger.expression.split()[-3:]
    if "*" in {day, weekday}:
        return ""
    which = "either is enough" if _either(day, weekday, trigger.day_rule) else "both must hold"
    days = _days(day, month, weekday, trigger.day_rule)
    return f"Day of month and weekday are both restricted, and {which}: it fires {days}."


def _months(month: str) -> str:
    if month == "*":
        return ""
    text = _joined_at_the_wrap(cron.MONTH, month)
    return f"{'from' if '-' in text and not set(',/') & set(text) else 'in'} {_items(cron.MONTH, text, _month_name)}"


def _day_of_month(day: str) -> str:
    special = {"L": "the last day", "LW": "the last working day (Monday to Friday)"}
    plain = ",".join(item for item in day.split(",") if item not in special)
    words = [special[item] for item in day.split(",") if item in special]
    if plain.startswith("*/") and "," not in plain:
        words.insert(0, f"every {_ordinal(_step(plain))} day from day 1")
    elif plain:
        words.insert(0, f"day{'' if plain.isdigit() else 's'} {_items(cron.DAY, plain)}")
    return f"on {_join(words)} of the month"


def _weekday(weekday: str) -> str:
    if weekday in WORKING_DAYS:
        return "on weekdays"
    if weekday in WEEKEND:
        return "on weekends"
    words = []
    for item in _joined_at_the_wrap(cron.WEEKDAY, weekday).split(","):
        if item.endswith("L"):
            words.append(f"the last {_weekday_name(int(item[:-1]))} of the month")
        elif "#" in item:
            name, _, week = item.partition("#")
            words.append(f"the {WEEKS[int(week)]} {_weekday_name(int(name))} of the month")
        else:
            words.append("any weekday" if item == "*" else _items(cron.WEEKDAY, item, _weekday_name))
    return f"on {_join(words)}"


def _items(field: cron.Field, text: str, name: Callable[[int], str] = str) -> str:
    """Return "1, 5 to 7 and 20 to 50 in steps of 2"; short steps are listed: "8, 10 and 12"."""
    words = []
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, dash, last = span.partition("-")
        values = _values(field, item) if step else []
        if 0 < len(values) <= MOST_STEPS_TO_LIST:
            words += [name(value) for value in values]
            continue
        word = "any" if span == "*" else name(int(first)) + (f" to {name(int(last))}" if dash else "")
        words.append(f"{word} in steps of {step}" if step else word)
    return _join(words)


def _joined_at_the_wrap(field: cron.Field, text: str) -> str:
    """Return `22-2` for `22-23,0-2`, which is how a person would say it; other texts as they are."""
    items = text.split(",")
    if len(items) != 2 or set("/*#L") & set(text):  # noqa: PLR2004  the two sides of the wrap
        return text
    start, _, end_of_field = items[0].partition("-")
    start_of_field, _, end = items[1].partition("-")
    if (end_of_field or start, start_of_field) != (str(field.highest), str(field.lowest)):
        return text
    return f"{start}-{end or start_of_field}"


def _values(field: cron.Field, text: str) -> list[int]:
    """Return the numbers that a field stands for."""
    values: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = (f"{field.lowest}-{field.highest}" if span == "*" else span).partition("-")
        values.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return sorted(values)


def _step(text: str) -> int:
    return int(text.partition("/")[2] or 1)


def _clock(hour: int, minute: int, second: int, *, with_seconds: bool) -> str:
    return f"{hour:02}:{minute:02}:{second:02}" if with_seconds else f"{hour:02}:{minute:02}"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' * (number != 1)}"


def _ordinal(number: int) -> str:
    teen = number in {11, 12, 13}
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _month_name(number: int) -> str:
    return cron.MONTHS[number - 1].capitalize()


def _weekday_name(number: int) -> str:
    return cron.WEEKDAYS[number].capitalize()
