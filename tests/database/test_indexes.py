"""What beat and workers ask of the runs goes through an index of what goes on, however long the history is.

On SQLite: it uses a partial index only for a question that says the index's condition in so many words, and says which.
"""

from datetime import timedelta

import pytest
from django.db import connection

from beat_config import recorder
from jobs import claims
from jobs.claims import Outcome
from jobs.dispatcher import Dispatcher
from jobs.publisher import Receipt
from jobs.states import State
from tests.factories import NOW, make_run, make_schedule

pytestmark = pytest.mark.django_db

OF_WHAT_GOES_ON = {"jobs_run_to_send", "jobs_run_exclusive", "jobs_run_beside_others", "jobs_run_held"}


class Explained(list):
    """Collects how SQLite reads the runs: each use of an index, or of none."""

    def __call__(self, execute, sql, params, many, context):
        if not many and sql.startswith(("SELECT", "UPDATE")):
            context["cursor"].execute(f"EXPLAIN QUERY PLAN {sql}", params)
            self += [row[-1] for row in context["cursor"].fetchall() if " jobs_run" in row[-1]]
        return execute(sql, params, many, context)

    def indexes(self):
        assert not [line for line in self if line.startswith("SCAN")]
        return {word for line in self for word in line.split() if word.startswith("jobs_run_")}


@pytest.fixture
def explained():
    plans = Explained()
    with connection.execute_wrapper(plans):
        yield plans


class Taker:
    def publish(self, shipments):
        return Receipt([shipment.message.run_id for shipment in shipments], {})


def test_recording_asks_for_what_goes_on(explained):
    make_schedule(policy={"overlap": "skip"})
    make_schedule(policy={"overlap": "queue"})

    assert recorder.record_due(NOW) == 2

    assert explained.indexes() == {"jobs_run_exclusive", "jobs_run_beside_others"}


def test_sending_asks_for_what_waits(explained):
    make_run()

    assert Dispatcher(Taker(), "scheduler").send_due(NOW) == 1

    assert explained.indexes() == {"jobs_run_to_send"}


def test_the_end_of_a_run_asks_for_what_waits_for_it(explained):
    run = make_run(exclusive_key="a")
    held = claims.claim(run.pk, 1, worker="w", lease=timedelta(seconds=30), now=NOW)

    assert claims.finish(held, Outcome(State.SUCCEEDED), now=NOW)

    assert explained.indexes() <= OF_WHAT_GOES_ON
    assert explained.indexes()
