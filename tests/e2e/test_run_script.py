"""`python3 packaging/run.py` in a clean clone: the README's command."""

import os
import shutil
import subprocess
import sys

import pytest

from tests import processes
from tests.e2e.conftest import ROOT, until_ready

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def clone(tmp_path):
    """What a clean clone holds: the tracked files, nothing else, in a folder with a space in its name."""
    folder = tmp_path / "clean clone"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def run(folder, tmp_path, python=sys.executable):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SCHEDULER_", "DJANGO_"))}
    return subprocess.Popen(
        [python, folder / "packaging" / "run.py", "--headless", "--data", tmp_path / "data"],
        env=clean | {"SCHEDULER_BROKER_KIND": "embedded"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_one_command_sets_everything_up_and_starts_it_and_a_second_time_installs_nothing(clone, tmp_path):
    first = until_ready(run(clone, tmp_path), tmp_path / "data", timeout=300)
    family = processes.family(first.process.pid)
    assert any("Installing what it needs: done" in line for line in first.lines)
    assert first.stop() == 0
    assert [child for child in family if not processes.is_gone(child)] == []

    second = until_ready(run(clone, tmp_path), tmp_path / "data")
    assert not any("Installing" in line for line in second.lines)
    assert second.address == first.address
    assert second.stop() == 0


def test_a_python_without_venv_is_told_what_to_install(clone, tmp_path):
    # A module that cannot be imported stands in for Debian's missing python3-venv.
    (clone / "packaging" / "ensurepip.py").write_text("raise ImportError('No module named ensurepip')\n")

    process = run(clone, tmp_path)
    said, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "cannot make a virtual environment" in said
    assert "python3." in said
    assert "-venv" in said
    assert "Traceback" not in said
