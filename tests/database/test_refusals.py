"""The list of refused messages stays short, whatever comes."""

from datetime import timedelta

import pytest

from jobs import refusals
from jobs.models import RefusedMessage
from tests.factories import NOW

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def nothing_refused_yet(monkeypatch):
    monkeypatch.setattr(refusals, "_allowance", refusals._Allowance())


def refuse(now=NOW, reason="it cannot be read", body=b"x", queue="scheduler"):
    refusals.record(reason, body, queue=queue, worker="worker-1@here", now=now)


def test_a_refused_message_is_listed_with_its_beginning_escaped():
    refuse(body=b"\x00\xff<b>" + b"y" * 1_000, reason="its header task is \0", queue="a\0b")

    row = RefusedMessage.objects.get()
    assert (row.received_at, row.worker, row.size) == (NOW, "worker-1@here", 1_005)
    assert row.beginning == r"\x00\xff<b>" + "y" * 195
    assert (row.reason, row.queue) == (r"its header task is \x00", r"a\x00b")


def test_of_a_flood_a_part_is_listed_and_the_rest_counted():
    for _ in range(refusals.LISTED + 70):
        refuse()
    assert RefusedMessage.objects.count() == refusals.LISTED

    refuse(now=NOW + refusals.MINUTE)

    assert RefusedMessage.objects.latest("id").unlisted == 70


def test_the_newest_stay(monkeypatch):
    monkeypatch.setattr(refusals, "KEPT", 3)
    for minute in range(5):
        refuse(now=NOW + timedelta(minutes=minute), reason=f"reason {minute}")

    reasons = RefusedMessage.objects.order_by("id").values_list("reason", flat=True)
    assert [*reasons] == ["reason 2", "reason 3", "reason 4"]
