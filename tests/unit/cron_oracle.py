"""A brute-force answer to "when does this cron line fire?", written without cronsim and without arithmetic on changes.

It walks through time minute by minute (second by second for lines with seconds), reads the wall clock at each step and
compares. The rule for clock changes falls out of one number, the latest wall-clock reading so far: a line that names
times of day fires when the wall clock reaches or jumps over a matching reading for the first time; another line fires
whenever the wall clock shows one.

    python -m tests.unit.cron_oracle 100000        compares that many (expression, zone, instant) triples

Zones take turns, so that a run of 1,600 triples has met every one of them; a quarter of the triples lie at one of the
CURIOUS changes.
"""

import calendar
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import count, cycle
from zoneinfo import ZoneInfo, available_timezones

from beat_config.triggers import Crontab, TriggerError

TRIPLES_OF_A_NORMAL_RUN = 1_600
SEED = 20_260_301
MINUTE, SECOND, DAY = timedelta(minutes=1), timedelta(seconds=1), timedelta(days=1)
# The walk begins this long before the first fire that is asked for, so that the latest reading is known. The largest
# fold since 1973 is 7 hours (Antarctica/Vostok, 1994).
RUN_UP = timedelta(hours=8)
NAMES = {
    "month": {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name},
    "weekday": {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))},
}


class Oracle:
    """One cron line, read by the letter."""

    def __init__(self, expression: str, day_rule: str) -> None:
        fields = expression.lower().split()
        self.step = SECOND if len(fields) == 6 else MINUTE
        if len(fields) == 5:
            fields.insert(0, "0")
        second, minute, hour, self.day, month, self.weekday = fields
        self.seconds, self.minutes = self._numbers(second, 0, 59), self._numbers(minute, 0, 59)
        self.hours, self.months = self._numbers(hour, 0, 23), self._numbers(month, 1, 12, "month")
        times = (second, minute, hour) if self.step == SECOND else (minute, hour)
        self.follows_elapsed_time = any(text.startswith("*") for text in times)
        self.both_days = day_rule == "and" or self.day.startswith("*") or self.weekday.startswith("*")
        self._dates: dict[date, bool] = {}

    @staticmethod
    def _numbers(text, lowest, highest, names=""):
        found = set()
        for item in text.split(","):
            span, _, step = item.partition("/")
            ends = [NAMES[names][end] if names and end in NAMES[names] else end for end in span.split("-")]
            if span == "*":
                first, last = lowest, highest
            elif len(ends) == 2:
                first, last = int(ends[0]), int(ends[1])
            else:
                first, last = int(ends[0]), (highest if step else int(ends[0]))
            value, place = first, 0
            while True:
                if place % int(step or 1) == 0:
                    found.add(value)
                if value == last:
                    break
                value, place = (lowest if value == highest else value + 1), place + 1
        return found

    def matches_date(self, day: date) -> bool:
        if day not in self._dates:
            self._dates[day] = day.month in self.months and self._matches_day(day)
        return self._dates[day]

    def _matches_day(self, day: date) -> bool:
        of_month, of_week = self._day_of_month(day), self._day_of_week(day)
        return (of_month and of_week) if self.both_days else (of_month or of_week)

    def _day_of_month(self, day: date) -> bool:
        in_month = [date(day.year, day.month, n) for n in range(1, calendar.monthrange(day.year, day.month)[1] + 1)]
        for item in self.day.split(","):
            if item == "l":
                hit = day == in_month[-1]
            elif item == "lw":
                hit = day == [each for each in in_month if each.isoweekday() <= 5][-1]
            else:
                hit = day.day in self._numbers(item, 1, 31)
            if hit:
                return True
        return False

    def _day_of_week(self, day: date) -> bool:
        number = day.isoweekday() % 7
        for item in self.weekday.split(","):
            name, _, week = item.partition("#")
            if week:
                hit = (day.day - 1) // 7 + 1 == int(week) and number in self._weekdays(name)
            elif item.endswith("l"):
                hit = (day + 7 * DAY).month != day.month and number in self._weekdays(item[:-1])
            else:
                hit = number in self._weekdays(item)
            if hit:
                return True
        return False

    def _weekdays(self, text):
        if "7" in text.partition("/")[0] or ("/" in text and "-" not in text and not text.startswith("*")):
            return {number % 7 for number in self._numbers(text, 0, 7, "weekday")}
        return self._numbers(text, 0, 6, "weekday")

    def matches(self, wall: datetime) -> bool:
        return (
            wall.minute in self.minutes
            and wall.hour in self.hours
            and wall.second in self.seconds
            and self.matches_date(wall.date())
        )

    def fires(self, zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the fire times in (after, until]."""
        # Python compares and adds times of one and the same zone by their readings, which is just what is wanted here.
        if self.follows_elapsed_time:
            now = after.replace(microsecond=0) if self.step == SECOND else after.replace(second=0, microsecond=0)
            while now <= until:
                if now > after and self.matches(now.astimezone(zone)):
                    yield now
                now += self.step
            return
        now = (after - RUN_UP).replace(second=0, microsecond=0)
        latest = now.astimezone(zone)
        while now <= until:
            wall = now.astimezone(zone)
            hit, passed = False, latest + self.step
            while passed <= wall and not hit:
                hit, passed = self.matches(passed), passed + self.step
            latest = max(latest, wall)
            if hit and now > after:
                yield now
            now += self.step

    def first_date(self, start: date, years: int = 45) -> date | None:
        days = (start + number * DAY for number in range(366 * years))
        return next((day for day in days if self.matches_date(day)), None)

    def first_after(self, zone: ZoneInfo, moment: datetime, years: int = 45) -> datetime | None:
        """Return the first fire after *moment*: day by day to a date that matches, then minute by minute."""
        day, end = moment.date() - 3 * DAY, moment.date() + 366 * years * DAY
        searched = moment
        while day < end:
            if self.matches_date(day):
                # A date lies within 14 hours of the UTC date of its name; a skipped one fires when the next begins.
                until = datetime(day.year, day.month, day.day, tzinfo=UTC) + 3 * DAY
                if until > searched:
                    start = max(searched, until - 5 * DAY)
                    for fire in self.fires(zone, start, until):
                        return fire
                    searched = until
            day += DAY
        return None


ZONES = sorted(available_timezones() - {"Factory", "localtime"})


@lru_cache(maxsize=8192)
def changes_of(zone_name: str, year: int) -> tuple[datetime, ...]:
    """Return the full hours at or right after a change of the UTC offset."""
    zone, day, found = ZoneInfo(zone_name), datetime(year, 1, 1, tzinfo=UTC), []
    offset = day.astimezone(zone).utcoffset()
    while day.year == year:
        day += DAY
        if day.astimezone(zone).utcoffset() != offset:
            hours = (day - timedelta(hours=number) for number in range(23, -1, -1))
            found.append(next(hour for hour in hours if hour.astimezone(zone).utcoffset() != offset))
            offset = day.astimezone(zone).utcoffset()
    return tuple(found)


# Changes by half an hour, at odd quarters, twice around a month, and dates that a zone skipped as a whole (the year is
# enough to find the change; None is any year).
CURIOUS = (
    ("Australia/Lord_Howe", None),
    ("Pacific/Chatham", None),
    ("Africa/Casablanca", None),
    ("Pacific/Apia", 2011),
    ("Pacific/Kiritimati", 1994),
    ("Pacific/Kwajalein", 1993),
)
EVERY_NTH_IS_CURIOUS = 4
YEARS = (*range(1973, 2060), *range(2005, 2035))


class Generator:
    """Random lines over the whole dialect, and instants, half of which lie at a clock change; zones take turns."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        zones, curious = self.random.sample(ZONES, len(ZONES)), cycle(CURIOUS)
        ordinary = ((zone, None) for zone in cycle(zones))
        self.places = (next(ordinary if n % EVERY_NTH_IS_CURIOUS else curious) for n in count())

    def triple(self) -> tuple[str, str, ZoneInfo, datetime]:
        chance = self.random
        zone_name, curious_year = next(self.places)
        year = curious_year or chance.choice(YEARS)
        moment = datetime(year, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(365 * 86_400 * 10**6))
        at_change = curious_year or chance.random() < 0.6
        if at_change and (changes := changes_of(zone_name, year)):
            moment = chance.choice(changes) + timedelta(microseconds=chance.randrange(-24 * 3600, 4 * 3600) * 10**6)
        if chance.random() < 0.7:
            moment = moment.replace(second=0, microsecond=0)
        zone = ZoneInfo(zone_name)
        return self.line(moment.astimezone(zone)), chance.choice(["or", "or", "and"]), zone, moment

    def line(self, near: datetime) -> str:
        fields = [self.numbers(0, 59), self.numbers(0, 23, near.hour), self.day(near), self.month(near), self.weekday()]
        if self.random.random() < 0.1:
            fields.insert(0, self.random.choice(["0", "30", "*", "*/7", "5-10", "0,59", self.numbers(0, 59)]))
        return " ".join(fields)

    def numbers(self, lowest, highest, near=None):
        chance = self.random
        low, high = sorted((chance.randint(lowest, highest), chance.randint(lowest, highest)))
        if near is not None and chance.random() < 0.5:
            low, high = max(lowest, near - 1), min(highest, near + chance.randint(0, 3))
        one = chance.choice([low, high, lowest, chance.randint(0, min(3, highest))])
        step = chance.choice([1, 2, 3, 5, 7, 10, 15, 20, 23])
        return chance.choice(
            ["*", "*", f"*/{step}", f"{one}", f"{one}", f"{low}-{high}", f"{low}-{high}/{step}", f"{low},{high}",
             f"{one},{low}-{high}", f"{high}-{low}", f"{high}-{low}/{step}", f"{one}/{step}", f"{one},*/{step}"]
        )  # fmt: skip

    def day(self, near):
        chance = self.random
        close = min(31, max(1, near.day + chance.randint(-1, 1)))
        return chance.choice(
            ["*", "*", "*", "*", f"{close}", f"{close}", f"{chance.randint(1, 31)}", f"*/{chance.randint(1, 9)}", "L", "LW",
             f"{close},L", f"1-{close}", f"{close}-31/2", f"{close}/5", "29", "30,31"]
        )  # fmt: skip

    def month(self, near):
        chance = self.random
        close = chance.choice([near.month, near.strftime("%b"), near.strftime("%b").upper()])
        return chance.choice(
            ["*", "*", "*", "*", f"{close}", f"{close}", "2", "*/3", "11-2", "nov-FEB", "1-6/2", f"12,{close}"]
        )

    def weekday(self):
        chance = self.random
        one, two = chance.randint(0, 7), chance.choice(["SUN", "mon", "TUE", "wed", "Thu", "fri", "SAT"])
        return chance.choice(
            ["*", "*", "*", "*", f"{one}", two, "1-5", "MON-FRI", "5-1", "5-7", "6,0", f"{one}L", f"{one}#{chance.randint(1, 5)}",
             "*/2", "1/2", "0-6/3", f"{one % 7},{two}", "sat-sun", f"{two}#2,{one}L"]
        )  # fmt: skip


def disagreement(expression: str, day_rule: str, zone: ZoneInfo, moment: datetime) -> str | None:
    """Compare the next 26 hours (90 minutes with seconds) and the first fire; return what differs."""
    oracle = Oracle(expression, day_rule)
    try:
        trigger = Crontab(expression, zone, day_rule)  # type: ignore[arg-type]
    except TriggerError as error:
        ever = oracle.first_date(moment.date())
        return f"refused ({error}), but fires on {ever}" if ever else None
    with_seconds = oracle.step == SECOND
    until = moment + (timedelta(minutes=90) if with_seconds else timedelta(hours=26))
    expected = list(oracle.fires(zone, moment, until))
    actual = list(trigger.between(moment, until))
    if actual != expected:
        only = sorted(set(actual) ^ set(expected))[:3]
        return f"{len(actual)} fires instead of {len(expected)}; first differences {[f'{each}' for each in only]}"
    if not expected and not with_seconds:
        first = oracle.first_after(zone, moment)
        if trigger.after(moment) != first:
            return f"first fire {trigger.after(moment)} instead of {first}"
    return None


def compare(triples: int, seed: int = SEED) -> Iterator[str]:
    """Yield a sentence for each of so many random triples where trigger and oracle disagree."""
    generator = Generator(seed)
    for _ in range(triples):
        expression, day_rule, zone, moment = generator.triple()
        difference = disagreement(expression, day_rule, zone, moment)
        if difference:
            yield f"{expression!r} ({day_rule}) in {zone.key} from {moment}: {difference}"


def main() -> int:
    triples = int(sys.argv[1]) if len(sys.argv) > 1 else TRIPLES_OF_A_NORMAL_RUN
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else SEED
    started, differences = time.monotonic(), 0
    for sentence in compare(triples, seed):
        differences += 1
        sys.stdout.write(f"{sentence}\n")
    sys.stdout.write(
        f"{triples:,} triples in {len(ZONES)} zones, seed {seed}, {differences} differences, {time.monotonic() - started:.0f} s\n"
    )
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
