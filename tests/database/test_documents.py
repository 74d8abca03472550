"""Schedules as documents: what is read is what is stored, and what is written goes through the form's rules."""

import json
import math
from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django_celery_beat.models import PeriodicTask

from beat_config.documents import DocumentError, differences, parse, read, readings, write
from beat_config.models import Blackout, Schedule, SchedulePolicy
from jobs import vault
from jobs.models import AuditEntry
from tests.factories import make_task

pytestmark = [pytest.mark.database, pytest.mark.django_db]

LEAST = {"name": "mine", "job": "run_command", "parameters": {"command": "echo hi"}, "every": "10 minutes"}
FULL = {
    **LEAST,
    "enabled": False,
    "description": "Two lines,\nof which this is one.",
    "tags": ["backup", "Nightly"],
    "parameters": {"command": "echo 'a\n b'", "environment": {"A": "1", "B": "x=two, "}, "accepted_exit_codes": [0, 3]},
    "every": None,
    "cron": "30 2 * * 1-5",
    "time_zone": "Europe/Berlin",
    "start": "2026-01-01T00:00:00.250000Z",
    "every_nth_week": 2,
    "weeks_from": "2026-01-05",
    "spread": "5m",
    "blackouts": ["Works outing"],
    "where": {"labels": {"gpu": "yes", "os": "linux"}},
    "priority": 7,
    "catch_up": "all",
    "catch_up_window": "7d",
    "catch_up_cap": 12,
    "grace": "2m",
    "expires_after": "1h",
    "overlap": "queue",
    "concurrency_key": "disk",
    "when_wrong": "any",
    "attempts": 5,
    "retry_delay": "90s",
    "retry_doubles": True,
    "retry_longest": "20m",
    "retry_varies": True,
    "time_limit": "1h 30m",
    "on_failure": "follower",
}


def problems(data, **options):
    with pytest.raises(DocumentError) as refused:
        write(parse(data), by="ada", **options)
    return {problem.path: problem.sentence for problem in refused.value.problems}


def rows():
    """Everything that is stored of schedules, but for the moments at which it was stored."""
    tables = [
        PeriodicTask.objects.order_by("pk").values(),
        SchedulePolicy.objects.order_by("pk").values(),
    ]
    return [{k: v for k, v in row.items() if k != "date_changed"} for table in tables for row in table]


def test_a_document_becomes_a_schedule_as_the_form_would_make_it():
    schedule = write(parse(LEAST), by="ada")

    assert (schedule.task, schedule.interval.every, schedule.interval.period) == ("run_command", 10, "minutes")
    assert json.loads(schedule.kwargs)["command"] == "echo hi"
    policy = SchedulePolicy.objects.get(pk=schedule.pk)
    assert (policy.catch_up, policy.grace, policy.retry_delay) == ("latest", timedelta(minutes=1), timedelta(minutes=1))
    assert policy.next_fire_at is not None
    entry = AuditEntry.objects.get()
    assert (entry.by, entry.action, entry.subject_id) == ("ada", "added", str(schedule.pk))


def test_everything_a_document_says_is_read_back():
    Blackout.objects.create(name="Works outing", kind="weekly", zone="UTC", start_time="01:00", end_time="02:00")
    write(parse({**LEAST, "name": "follower"}), by="ada")

    schedule = write(parse(FULL), by="ada")

    assert differences(parse(FULL), read(schedule)) == {}
    shown = read(schedule).model_dump(exclude_none=True)
    assert shown["parameters"]["environment"] == {"A": "1", "B": "x=two, "}
    assert shown["start"] == datetime(2026, 1, 1, 0, 0, 0, 250_000, UTC)
    assert (shown["weeks_from"], shown["priority"]) == (date(2026, 1, 5), 7)


@pytest.mark.parametrize(
    "timing",
    [
        {"every": "60 seconds"},
        {"every": "14 days"},
        {"every": "1 week", "end": "2030-01-01T00:00:00+01:00", "priority": 9},
        {"every": "1h 30m"},
        {"cron": "0 5 13 * fri", "day_rule": "and"},
        {"cron": "0 0 12 L * *"},
        {"once": "2100-01-01T00:00:00.123456+05:30"},
        {"once": "2100-07-01T12:00:00", "time_zone": "America/New_York"},
        {"sun": {"event": "sunset", "latitude": -33.868, "longitude": 151.2093}},
    ],
    ids=json.dumps,
)
def test_writing_what_was_read_changes_nothing(timing):
    schedule = write(parse({**LEAST, "every": None, **timing}), by="ada")
    before = rows()

    write(read(schedule), schedule=schedule, by="bob")

    assert rows() == before
    assert AuditEntry.objects.count() == 1
    assert differences(read(schedule), parse({**LEAST, "every": None, **timing})) == {}


def test_a_change_of_one_field_leaves_the_rest_and_the_next_fire_alone():
    schedule = write(parse({**LEAST, "overlap": "queue"}), by="ada")
    anchor = SchedulePolicy.objects.get(pk=schedule.pk).anchor

    write(parse({**LEAST, "overlap": "queue", "description": "new"}), schedule=schedule, by="bob")

    policy = SchedulePolicy.objects.get(pk=schedule.pk)
    assert (policy.overlap, policy.anchor, policy.schedule.description) == ("queue", anchor, "new")
    assert AuditEntry.objects.get(action="changed").by == "bob"


def test_what_is_left_out_of_a_document_is_back_at_its_default():
    schedule = write(parse({**LEAST, "overlap": "queue", "tags": ["a"], "time_limit": "1h"}), by="ada")

    write(parse(LEAST), schedule=schedule, by="ada")

    assert differences(read(schedule), parse(LEAST)) == {}
    assert SchedulePolicy.objects.get(pk=schedule.pk).time_limit is None


def test_a_preset_sets_policies_and_what_is_given_besides_it_wins():
    schedule = write(parse({**LEAST, "preset": "must", "catch_up_window": "2d"}), by="ada")

    policy = SchedulePolicy.objects.get(pk=schedule.pk)
    assert (policy.catch_up, policy.overlap, policy.catch_up_window) == ("all", "queue", timedelta(days=2))


REFUSED = {
    "a misspelt field": ({"evry": "1h"}, "evry", "did you mean every"),
    "a misspelt part": ({"sun": {"latitud": 1, "longitude": 2}, "every": None}, "sun.latitud", "did you mean latitude"),
    "a misspelt job": ({"job": "run_comand"}, "job", "did you mean run_command"),
    "a misspelt parameter": ({"parameters": {"comand": "x"}}, "parameters.comand", "did you mean command"),
    "a missing parameter": ({"parameters": {}}, "parameters.command", ""),
    "a wrong parameter": ({"parameters": {"command": 5}}, "parameters.command", "text is needed"),
    "a wrong kind": ({"enabled": "yes"}, "enabled", "true or false"),
    "a number for a text": ({"name": 5}, "name", "text"),
    "a moment as a number": ({"once": 5, "every": None}, "once", "date and a time"),
    "a day as a moment of no year": ({"weeks_from": "0001-01-01"}, "weeks_from", "1970"),
    "a moment before all zones": ({"start": "0001-01-01T00:00:00+14:00"}, "start", "1970"),
    "a moment in a gap": (
        {"once": "2100-03-28T02:30:00", "time_zone": "Europe/Berlin", "every": None},
        "once",
        "clocks go forward",
    ),
    "a moment that is over": ({"once": "2020-01-01T00:00:00Z", "every": None}, "once", "is over"),
    "no timing": ({"every": None}, "every", "exactly one"),
    "two timings": ({"cron": "* * * * *"}, "every", "every and cron"),
    "a bad period": ({"every": "10 minuets"}, "every", "no unit"),
    "a fraction of a second": ({"every": "1.5 seconds"}, "every", "whole seconds"),
    "a bad cron line": ({"every": None, "cron": "61 * * * *"}, "cron", "61"),
    "a bad zone": ({"every": None, "cron": "* * * * *", "time_zone": "Europe/Berln"}, "time_zone", "Europe/Berlin"),
    "a bad event": ({"every": None, "sun": {"event": "moonrise", "latitude": 1, "longitude": 2}}, "sun.event", "moon"),
    "beyond the pole": ({"every": None, "sun": {"latitude": 91, "longitude": 2}}, "sun.latitude", "90"),
    "an end before the start": (
        {"start": "2030-01-01T00:00:00Z", "end": "2029-01-01T00:00:00Z"},
        "end",
        "not after its beginning",
    ),
    "an end and an expiry": (
        {"end": "2030-01-01T00:00:00Z", "expires_after": "1h"},
        "expires_after",
        "tables keep one of them",
    ),
    "an expiry of 100 years": ({"expires_after": "36000 days"}, "expires_after", "68 years"),
    "two places": ({"where": {"queue": "a", "topic": "b"}}, "where", "queue and topic"),
    "a pattern for a topic": ({"where": {"topic": "a.#"}}, "where.topic", "pattern"),
    "labels in disguise": ({"where": {"labels": {"a": "b,c=d"}}}, "where.labels", "comma"),
    "a priority beyond the broker's": ({"priority": 10}, "priority", "0 to 9"),
    "an unknown overlap": ({"overlap": "skipp"}, "overlap", "'skip'"),
    "contradicting policies": ({"catch_up": "all"}, "overlap", "Running every missed one"),
    "too many attempts": ({"attempts": 101}, "attempts", "100"),
    "no attempts": ({"attempts": 1}, "attempts", "2"),
    "a bad tag": ({"tags": ["a,b"]}, "tags", "comma"),
    "an unknown blackout": ({"blackouts": ["outing"]}, "blackouts.0", "no blackout"),
    "an unknown follower": ({"on_success": "nobody"}, "on_success", "no schedule of that name"),
    "a name that is too long": ({"name": "x" * 201}, "name", "200"),
    "an empty name": ({"name": " "}, "name", "required"),
}


@pytest.mark.parametrize(("changes", "path", "words"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_schedule_is_refused_at_its_path_and_nothing_is_stored(changes, path, words):
    found = problems({**LEAST, **changes})

    assert words in found[path]
    assert not PeriodicTask.objects.exists()


def test_a_name_that_is_taken_is_refused_and_all_problems_are_told_at_once():
    write(parse(LEAST), by="ada")

    assert set(problems({**LEAST, "attempts": 0, "cron": "x"})) == {"name", "attempts", "every"}


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "nan is no number"),
        (math.inf, "inf is no number"),
        ("half \ud800 a character", "lone surrogate"),
        ("nul \0", "NUL"),
        (nested(100_000), "nested deeper"),
        ([0] * 100_000, "more than"),
        ("x" * 10_000_000, "more than"),
        (10**5_000, "too large"),
        ({5: "a"}, "every name must be a text"),
    ],
    ids=["nan", "infinity", "surrogate", "nul", "deep", "wide", "long", "huge number", "a number for a name"],
)
def test_what_no_person_writes_is_refused_wherever_it_is(value, words):
    for data in ({**LEAST, "parameters": {"command": value}}, {**LEAST, "sun": value}, {**LEAST, "x": [value]}):
        with pytest.raises(DocumentError) as refused:
            parse(data)
        assert words in str(refused.value)
        assert len(str(refused.value)) < 300


@pytest.mark.parametrize("data", [None, 5, "text", [], nested(100_000)], ids=["none", "number", "text", "list", "deep"])
def test_what_is_no_table_is_refused(data):
    with pytest.raises(DocumentError, match="names with values are needed"):
        parse(data)


REQUEST = {"name": "call", "job": "call_web_address", "every": "1h"}


def with_secret(value):
    return parse({**REQUEST, "parameters": {"url": "http://127.0.0.1/", "password": value}})


def test_a_secret_goes_by_its_name():
    vault.store("post", "t0p-s3cret", by="ada")

    schedule = write(with_secret({"secret": "post"}), by="ada")

    assert read(schedule).parameters["password"] == {"secret": "post"}


def test_the_text_of_a_secret_is_stored_as_one_and_never_shown():
    schedule = write(with_secret("t0p-s3cret"), by="ada")

    reference = read(schedule).parameters["password"]
    assert vault.read(reference["secret"]) == "t0p-s3cret"
    assert "t0p" not in str(rows()) + str(list(AuditEntry.objects.values()))
    with pytest.raises(DocumentError) as refused:
        write(
            parse({**REQUEST, "parameters": {"url": 5, "password": ["t0p-s3cret"], "pasword": "t0p-s3cret"}}), by="ada"
        )
    assert "t0p" not in str(refused.value) + str(refused.value.problems)


def test_an_unknown_secret_is_refused():
    with pytest.raises(DocumentError, match="no secret of that name"):
        write(with_secret({"secret": "nobody's"}), by="ada")


def test_whoever_may_not_use_a_job_or_see_a_secret_cannot_write_what_does():
    vault.store("post", "t0p-s3cret", by="ada")
    user = User.objects.create_user("eddie")

    for document in (parse(LEAST), with_secret({"secret": "post"})):
        with pytest.raises(PermissionDenied):
            write(document, by="eddie", user=user)
    assert not PeriodicTask.objects.exists()
    write(with_secret(""), by="eddie", user=user)


def test_rows_of_other_programs_are_read_with_a_note_of_what_is_left_out():
    make_task(name="positional", args='["a"]')
    make_task(name="elsewhere", exchange="theirs", routing_key="x")
    make_task(name="no job", task="app.tasks.gone", kwargs={"a": [1]})
    make_task(name="once", one_off=True)
    make_task(name="plain secret", task="call_web_address", kwargs={"url": "http://h/", "password": "t0p-s3cret"})
    bare = make_task(name="untimed")
    PeriodicTask.objects.filter(pk=bare.pk).update(interval=None)

    found = {each.document.name: each for each in readings(Schedule.objects.all())}

    notes = {name: " ".join(each.notes) for name, each in found.items()}
    assert "positional arguments" in notes["positional"]
    assert "exchange theirs, routing key x" in notes["elsewhere"]
    assert "once only" in notes["once"]
    assert "never runs" in notes["untimed"]
    assert "plain text" in notes["plain secret"]
    assert notes["no job"] == ""
    assert found["no job"].document.parameters == {"a": [1]}
    assert "t0p" not in str(found)
    for each in found.values():  # as they are, they may stay
        write(each.document, schedule=each.schedule, by="ada")


def test_a_row_that_another_program_made_keeps_its_day_rule_and_its_odd_priority():
    task = make_task(cron="0 5 13 * 5", priority=5)
    SchedulePolicy.objects.filter(pk=task.pk).update(day_rule="and")

    copy = read(task).model_copy(update={"name": "copy"})
    written = write(copy, by="ada")

    assert differences(read(written), copy) == {}
    assert (written.priority, SchedulePolicy.objects.get(pk=written.pk).day_rule) == (5, "and")
