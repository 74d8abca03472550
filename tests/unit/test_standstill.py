"""When an expired lease means a dead worker, and when it only means that time has passed unseen."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.standstill import Standstill

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def asked(*moments, lease=30.0):
    """Ask at these (wall, steady) seconds; return the answers."""
    standstill = Standstill(lease)
    return [standstill.is_over(START + timedelta(seconds=wall), steady) for wall, steady in moments]


def test_a_clock_that_goes_on_is_no_standstill():
    assert asked((0, 0), (5, 5), (10, 10), (25, 25)) == [True] * 4


@pytest.mark.parametrize(
    "after",
    [
        pytest.param((3600, 5), id="a suspend, or a clock that was put forward"),
        pytest.param((60, 60), id="all processes were stopped"),
    ],
)
def test_after_time_that_passed_unseen_workers_have_time_to_renew_their_leases(after):
    wall, steady = after
    later = [(wall + seconds, steady + seconds) for seconds in (5, 10, 14.9, 15, 20)]
    assert asked((0, 0), after, *later) == [True, False, False, False, False, True, True]


def test_a_lease_shorter_than_the_time_between_two_questions_is_judged():
    assert asked((0, 0), (6, 6), (12, 12), lease=3.0) == [True] * 3


def test_a_clock_that_was_put_back_ends_no_lease():
    assert asked((0, 0), (-3600, 5)) == [True, True]
