"""Many rows in one statement: as Django would have written them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobs import bulk, rows
from jobs.models import Run, Service
from jobs.states import State
from tests.factories import NOW

pytestmark = [pytest.mark.database, pytest.mark.django_db]

NAMES = ["plain", "with 'single' quotes", 'with "double" quotes', "back\\slash", "{a,b}", "ünïcode ☃", "NULL", ""]


def new_run(number, **columns):
    return rows.new(Run, job="run_command", created_at=NOW, schedule_id=number, parameters={}, **columns)


def stored():
    return list(Run.objects.order_by("schedule_id"))


def test_texts_are_stored_as_they_are():
    bulk.insert([new_run(number, schedule_name=name) for number, name in enumerate(NAMES)])

    assert [run.schedule_name for run in stored()] == NAMES


def test_parameters_are_stored_as_they_are():
    parameters = [{"text": name, "number": 1.5, "nothing": None, "list": [True, {}]} for name in NAMES]

    bulk.insert([rows.new(Run, schedule_id=n, created_at=NOW, parameters=each) for n, each in enumerate(parameters)])

    assert [run.parameters for run in stored()] == parameters


def test_a_column_may_be_set_in_some_rows_only():
    in_tokyo = datetime(2026, 3, 2, 21, tzinfo=ZoneInfo("Asia/Tokyo"))
    with_microseconds = NOW + timedelta(microseconds=7)
    moments = [None, NOW, in_tokyo, with_microseconds]
    limits = [None, timedelta(hours=30, microseconds=1), timedelta(0), timedelta(days=400)]

    bulk.insert([new_run(n, fire_time=moments[n], time_limit=limits[n]) for n in range(len(moments))])

    assert [(run.fire_time, run.time_limit) for run in stored()] == [*zip(moments, limits, strict=True)]
    assert Run.objects.filter(fire_time=in_tokyo.astimezone(UTC)).exists()


def test_what_is_there_already_stays_as_it_is():
    bulk.insert([new_run(1, fire_time=NOW, reason="first")])

    bulk.insert([new_run(1, fire_time=NOW, reason="second"), new_run(2, fire_time=NOW, reason="second")])

    assert [run.reason for run in stored()] == ["first", "second"]


def test_more_rows_than_one_statement_takes_parameters(monkeypatch):
    monkeypatch.setattr(bulk, "MOST_PARAMETERS", 100)
    bulk.insert([new_run(number, schedule_name=f"schedule {number}") for number in range(300)])
    runs = stored()
    for run in runs:
        run.reason = f"because of {run.schedule_id}"

    bulk.update(runs, ["reason"])

    assert [(run.schedule_name, run.reason) for run in stored()] == [
        (f"schedule {number}", f"because of {number}") for number in range(300)
    ]


def test_an_update_changes_the_columns_that_it_names_and_no_others():
    bulk.insert([new_run(1, reason="before"), new_run(2, reason="before")])
    runs = stored()
    for run in runs:
        run.reason, run.schedule_name = "after", "changed"

    bulk.update(runs[:1], ["reason"])

    assert [(run.reason, run.schedule_name) for run in stored()] == [("after", ""), ("before", "")]


def test_an_enumeration_is_stored_as_its_value():
    bulk.insert([new_run(1, state=State.MISSED, finished_at=NOW), new_run(2, state=State.PENDING)])

    assert [run.state for run in stored()] == ["missed", "pending"]


def test_json_that_is_a_text_or_a_number_stays_json():
    columns = {"kind": "beat", "host": "here", "started_at": NOW, "seen_at": NOW}
    queues = ["text", 5]
    services = [rows.new(Service, instance=str(n), pid=n, queues=each, **columns) for n, each in enumerate(queues)]

    bulk.insert(services)

    assert [service.queues for service in Service.objects.order_by("pid")] == queues
