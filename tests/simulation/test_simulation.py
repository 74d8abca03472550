"""The scheduling core under a fake clock, with crashes, two beats and a bad broker; and whether that would notice.

`python -m tests.simulation --help` tells how to run more of it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutations import MUTATIONS

ROOT = Path(__file__).resolve().parent.parent.parent
TIMEOUT = 840

# The seeded defects take two minutes of a quiet core, and all share one run.
pytestmark = pytest.mark.timeout(900)
VERDICT = re.compile(r"^(?P<name>.*): (?P<verdict>caught by seed \d+|SURVIVED) \(", re.MULTILINE)


def simulate(*arguments, **variables):
    """Run it as its own program: its Django has a database of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_no_invariant_breaks_in_the_short_set_of_seeds():
    done = simulate()

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr


def test_the_same_seed_gives_the_same_trace():
    first = simulate("--seeds", "4", PYTHONHASHSEED="1")
    second = simulate("--seeds", "4", PYTHONHASHSEED="2")

    traces = [re.findall(r"^seed .*: trace .*$", done.stdout, re.MULTILINE) for done in (first, second)]
    assert len(traces[0]) == 4, first.stdout + first.stderr
    assert traces[0] == traces[1]


@pytest.fixture(scope="module")
def verdicts():
    done = simulate("--mutations")
    found = {each["name"]: each["verdict"] for each in VERDICT.finditer(done.stdout)}
    assert found, done.stdout + done.stderr
    return found


@pytest.mark.parametrize("mutation", [mutation.name for mutation in MUTATIONS])
def test_a_seeded_defect_is_caught(verdicts, mutation):
    assert verdicts[mutation].startswith("caught")
