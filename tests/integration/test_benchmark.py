"""The benchmark runs; what it measures is not judged here."""

import pytest

from tests.benchmarks import beat
from tests.benchmarks.names import CONTESTANTS


@pytest.mark.needs("rabbitmq")
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def test_the_benchmark_measures_every_scheduler(database, capsys):
    results = beat.main(["--schedules", "100", "--burst", "20", "--seconds", "0", "--database", database])

    assert [each["contestant"] for each in results] == list(CONTESTANTS)
    for each in results:
        assert each["tick"] > 0
        assert each["burst_rate"] > 0
        assert each["memory"] > 0
    assert "DueScheduler" in capsys.readouterr().out
