"""The tools that are law: style, types, and the floors that modules stand on."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

TOOLS = [
    pytest.param(["-m", "ruff", "check", "."], id="ruff check"),
    pytest.param(["-m", "ruff", "format", "--check", "."], id="ruff format"),
    pytest.param(["-m", "mypy"], id="mypy strict"),
    pytest.param(["-m", "mypy", "--platform", "win32", "scheduler_app/platforms"], id="mypy for Windows"),
    pytest.param(["-c", "from importlinter.cli import lint_imports_command as lint; lint()"], id="floors"),
]


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tree_is_clean(tool):
    done = subprocess.run([sys.executable, *tool], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
