import pytest

from beat_config import cron
from beat_config.cron import TriggerError, normalise

PLAIN = {
    "plain numbers stay": ("30 2 * * 1-5", "30 2 * * 1-5"),
    "spaces and tabs separate": (" 30\t2  * * * \n", "30 2 * * *"),
    "leading zeros go": ("05 02 01 * *", "5 2 1 * *"),
    "names become numbers": ("0 0 * jan-Mar MON,fri", "0 0 * 1-3 1,5"),
    "long names too": ("0 0 * february Sunday", "0 0 * 2 0"),
    "7 is Sunday": ("0 0 * * 7", "0 0 * * 0"),
    "7 in a range": ("0 0 * * 5-7", "0 0 * * 5-6,0"),
    "range that begins with 7": ("0 0 * * 7-2", "0 0 * * 0-2"),
    "all week twice Sunday": ("0 0 * * 0-7", "0 0 * * 0-6"),
    "wrapped hours": ("0 22-2 * * *", "0 22-23,0-2 * * *"),
    "wrapped hours in steps": ("0 22-4/2 * * *", "0 22,0-4/2 * * *"),
    "wrapped minutes": ("55-5 * * * *", "55-59,0-5 * * * *"),
    "wrapped weekdays": ("0 0 * * fri-mon", "0 0 * * 5-6,0-1"),
    "wrapped months": ("0 0 1 nov-feb *", "0 0 1 11-12,1-2 *"),
    "wrapped seconds": ("58-1 * * * * *", "58-59,0-1 * * * * *"),
    "step from a value on": ("5/15 * * * *", "5-50/15 * * * *"),
    "step from a weekday on": ("0 0 * * 1/2", "0 0 * * 1-5/2,0"),
    "range of one": ("5-5/2 * * * *", "5 * * * *"),
    "step of one": ("*/1 */1 * * *", "* * * * *"),
    "step over the whole field": ("*/60 */24 * * *", "*/60 */24 * * *"),
    "last days": ("0 0 l,LW * *", "0 0 L,LW * *"),
    "last weekdays": ("0 0 * * 5L,friL,7L", "0 0 * * 5L,0L"),
    "nth weekdays": ("0 0 * * 5#2,MON#1,7#3", "0 0 * * 5#2,1#1,0#3"),
    "doubles go": ("1,1,1 * * * *", "1 * * * *"),
    "seconds first": ("*/10 * * * * *", "*/10 * * * * *"),
    "hourly": ("@hourly", "0 * * * *"),
    "daily": ("@Daily", "0 0 * * *"),
    "midnight": ("@midnight", "0 0 * * *"),
    "weekly": ("@weekly", "0 0 * * 0"),
    "monthly": ("@monthly", "0 0 1 * *"),
    "yearly": ("@yearly", "0 0 1 1 *"),
    "annually": ("@annually", "0 0 1 1 *"),
    "31 February or a Monday": ("0 0 31 2 1", "0 0 31 2 1"),
}


@pytest.mark.parametrize(("typed", "plain"), PLAIN.values(), ids=PLAIN)
def test_typed_line_becomes_plain_fields(typed, plain):
    assert normalise(typed) == plain


@pytest.mark.parametrize("typed", [typed for typed, _ in PLAIN.values()], ids=PLAIN)
def test_plain_fields_stay_as_they_are(typed):
    assert normalise(normalise(typed)) == normalise(typed)


REFUSED = {
    "minute out of range": ("60 * * * *", "minute", "'60'", "0-59"),
    "hour out of range": ("0 24 * * *", "hour", "'24'", "0-23"),
    "day 0": ("0 0 0 * *", "day_of_month", "'0'", "1-31"),
    "day 32": ("0 0 32 * *", "day_of_month", "'32'", "1-31"),
    "month 13": ("0 0 * 13 *", "month_of_year", "'13'", "1-12 or JAN-DEC"),
    "weekday 8": ("0 0 * * 8", "day_of_week", "'8'", "7 is Sunday too"),
    "second out of range": ("60 * * * * *", "second", "'60'", "0-59"),
    "step beyond the field": ("*/61 * * * *", "minute", "'*/61'", "1-60"),
    "step beyond the hours": ("0 */25 * * *", "hour", "'*/25'", "1-24"),
    "step of nothing": ("*/0 * * * *", "minute", "'*/0'", "1-60"),
    "step missing": ("5/ * * * *", "minute", "'5/'", "step"),
    "negative": ("-1 * * * *", "minute", "'-1'", "0-59"),
    "three ends": ("1-2-3 * * * *", "minute", "'1-2-3'", "0-59"),
    "empty place in a list": ("1,,2 * * * *", "minute", "'1,,2'", "empty place"),
    "wrapped days of the month": ("0 0 25-5 * *", "day_of_month", "'25-5'", "25-31,1-5"),
    "unknown name": ("0 0 * foo *", "month_of_year", "'foo'", "JAN-DEC"),
    "weekday name as a month": ("0 0 * mon *", "month_of_year", "'mon'", "JAN-DEC"),
    "question mark": ("0 0 ? * *", "day_of_month", "'?'", "L (last day)"),
    "last day in steps": ("0 0 L/2 * *", "day_of_month", "'L/2'", "L (last day)"),
    "last of no weekday": ("0 0 * * L", "day_of_week", "'L'", "5L (last Friday)"),
    "sixth Friday": ("0 0 * * 5#6", "day_of_week", "'5#6'", "1-5"),
    "31 February": ("0 0 31 2 *", "day_of_month", "'31'", "allowed there: 1-29"),
    "31 of short months": ("0 0 31 4,6,9,11 *", "day_of_month", "'31'", "allowed there: 1-30"),
    "sixth Friday of no leap month": ("0 0 30-31 feb *", "day_of_month", "'30-31'", "never fire"),
    "empty": ("  ", "expression", "'  '", "empty"),
    "one field": ("5", "expression", "'5'", "it has 1 field;"),
    "three fields": ("* * *", "expression", "'* * *'", "it has 3 fields; 5 are needed"),
    "seven fields": ("* * * * * * *", "expression", "'* * * * * * *'", "it has 7 fields"),
    "arabic digits": ("٣ * * * *", "expression", "'\\u0663", "plain digits 0-9"),
    "fullwidth digits": ("５ * * * *", "expression", "'\\uff15", "plain digits 0-9"),
    "superscript": ("² * * * *", "expression", "'\\xb2", "plain digits 0-9"),
    "control character": ("0\x00 * * * *", "expression", "'\\x00'", "control character"),
    "two lines": ("0 * * *\n* *", "expression", "'\\n'", "one line"),
    "too long": ("0," * 2048 + "0 * * * *", "expression", "4105 characters", "255"),
    "too long when written out": (
        ",".join(f"{n}-{n - 1}/8" for n in range(1, 29)) + " * * * *",
        "expression",
        "written out",
        "255",
    ),
    "at the start of the machine": ("@reboot", "expression", "@reboot", "a schedule fires at times"),
    "unknown alias": ("@often", "expression", "'@often'", "@hourly, @daily"),
}


@pytest.mark.parametrize(("typed", "field", "value", "allowed"), REFUSED.values(), ids=REFUSED)
def test_refused_line_names_field_value_and_what_is_allowed(typed, field, value, allowed):
    with pytest.raises(TriggerError) as caught:
        normalise(typed)
    sentence = str(caught.value)
    assert caught.value.field == field
    assert sentence.startswith("cannot use ")
    assert value in sentence
    assert allowed in sentence
    assert sentence.isprintable()
    assert sentence.isascii()


def test_line_of_255_characters_is_accepted():
    line = ",".join(["0"] * 124) + " * * * *"
    assert normalise(line.rjust(255)) == "0 * * * *"


NEVER_BOTH = {"29 February as first Monday": "0 0 29 2 1#1", "first day as second Monday": "0 0 1 * 1#2"}


@pytest.mark.parametrize("line", NEVER_BOTH.values(), ids=NEVER_BOTH)
def test_line_whose_days_exclude_each_other_is_refused_under_the_and_rule_only(line):
    assert cron.compile_line(normalise(line), "or").text == line
    with pytest.raises(TriggerError, match="never fire"):
        cron.compile_line(normalise(line), "and")


@pytest.mark.parametrize("line", [plain for _, plain in PLAIN.values() if not set("L#") & set(plain)])
def test_celery_reads_plain_fields_as_we_do(line):
    """A stock DatabaseScheduler pointed at the same tables must not choke on a line, nor read other values."""
    from celery.schedules import crontab_parser

    fields = line.split()[-5:]
    limits = [(60, 0), (24, 0), (31, 1), (12, 1), (7, 0)]
    celery = [crontab_parser(*limit).parse(text) for limit, text in zip(limits, fields, strict=True)]
    start = cron.compile_line(line, "or")._start
    ours = [start.minutes, start.hours, start.days, start.months, {day % 7 for day in start.weekdays}]
    assert celery == ours


def test_error_survives_the_way_between_processes():
    import pickle

    error = TriggerError("cannot use it", field="minute", value="61")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    assert (str(again), again.field, again.value) == ("cannot use it", "minute", "61")
