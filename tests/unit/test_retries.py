"""How long a run that went wrong waits before it is tried again, and what a job may say of it."""

from datetime import timedelta

import pytest

from jobs.errors import JobDefinitionError
from jobs.options import check_options
from jobs.retries import Retry, from_json
from jobs.states import State

FAILED = frozenset({State.FAILED})
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("retry", "waits"),
    [
        pytest.param(Retry(FAILED, 10 * SECOND), [10, 10, 10, 10], id="the same each time"),
        pytest.param(Retry(FAILED, 10 * SECOND, doubles=True, longest=50 * SECOND), [10, 20, 40, 50], id="doubled"),
        pytest.param(Retry(FAILED, 90 * SECOND, doubles=True, longest=50 * SECOND), [90] * 4, id="longest is shorter"),
        pytest.param(Retry(FAILED), [0, 0, 0, 0], id="at once"),
    ],
)
def test_the_wait_before_each_further_attempt(retry, waits):
    assert [retry.wait(attempt, 0.5).total_seconds() for attempt in (1, 2, 3, 4)] == waits


def test_a_wait_that_varies_is_between_half_and_all_of_it():
    retry = Retry(FAILED, 10 * SECOND, varies=True)

    assert [retry.wait(1, chance).total_seconds() for chance in (0.0, 0.5, 1.0)] == [5, 7.5, 10]


def test_the_hundredth_attempt_waits_the_longest_time_and_no_longer():
    assert Retry(FAILED, SECOND, doubles=True, longest=60 * SECOND).wait(100, 0) == 60 * SECOND


def test_what_is_stored_is_read_again():
    retry = Retry(frozenset({State.FAILED, State.TIMED_OUT}), 90 * SECOND, doubles=True, varies=True)

    assert from_json(retry.to_json()) == retry


def test_a_job_says_how_often_and_the_rest_has_defaults():
    assert check_options({"retries": 2}, "f").retry == Retry(
        frozenset({State.FAILED, State.TIMED_OUT}), timedelta(minutes=1)
    )
    said = check_options({"retries": 2, "retry_delay": "5s", "retry_on": "interrupted"}, "f")
    assert said.retry == Retry(frozenset({State.INTERRUPTED}), 5 * SECOND)


@pytest.mark.parametrize(("rate", "pause"), [("10/m", 6), ("2 / s", 0.5), ("1/h", 3600), ("4/d", 21_600), (None, None)])
def test_a_rate_is_spread_evenly(rate, pause):
    wait = check_options({"rate": rate}, "f").pause
    assert (wait and wait.total_seconds()) == pause


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"retries": -1}, "retries=-1"),
        ({"retries": True}, "retries=True"),
        ({"retries": "many"}, "retries='many'"),
        ({"retries": 1, "retry_delay": "soon"}, "retry_delay='soon'"),
        ({"retries": 1, "retry_on": ("cancelled",)}, "allowed are failed, timed_out, interrupted"),
        ({"retries": 1, "retry_on": ()}, "allowed are failed"),
        ({"retry_delay": "1m"}, "without retries="),
        ({"inline": 1}, "inline=1"),
        ({"inline": True, "nice": 5}, "nice= for tidy() with inline=True"),
        ({"max_running": 0}, "max_running=0"),
        ({"rate": "10"}, "rate='10'"),
        ({"rate": "0/m"}, "rate='0/m'"),
        ({"rate": 10}, "rate=10"),
        ({"retrys": 1}, "there is no such option of @job"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(options, says):
    with pytest.raises(JobDefinitionError, match="cannot use") as refused:
        check_options(options, "tidy")
    assert says in str(refused.value)
    assert "tidy()" in str(refused.value)
