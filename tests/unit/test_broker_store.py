"""Message stores that were set aside: kept, dated, and not many."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduler_app.broker_store import feature_flags_of, set_aside, set_aside_at, store_of, stores_set_aside
from scheduler_app.paths import Paths

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC).astimezone()
USER = "scheduler-1"


@pytest.fixture
def paths(tmp_path):
    return Paths(data=tmp_path, jobs=tmp_path / "jobs")


def make_store(paths, content):
    store_of(paths, USER).mkdir(parents=True)
    (store_of(paths, USER) / "messages").write_text(content)
    feature_flags_of(paths, USER).write_text("[].")


def test_a_store_is_kept_under_its_date_and_a_new_one_can_be_made(paths):
    make_store(paths, "old")
    place = set_aside(paths, USER, NOW)
    assert (place / "messages").read_text() == "old"
    assert stores_set_aside(paths) == [place]
    assert set_aside_at(place) == NOW
    make_store(paths, "new")


def test_only_the_newest_two_are_kept(paths):
    for day in range(4):
        make_store(paths, str(day))
        set_aside(paths, USER, NOW + timedelta(days=day))
    assert [(store / "messages").read_text() for store in stores_set_aside(paths)] == ["3", "2"]


def test_without_a_store_nothing_is_set_aside(paths):
    assert set_aside(paths, USER, NOW) is None
    assert stores_set_aside(paths) == []
