"""A virtual environment made and filled once, for scripts that have nothing but Python's standard library."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NEWEST = (3, 13)
STAMP = "scheduler-app-installed"


def say(text: str) -> None:
    print(text, flush=True)


def check_python() -> None:
    """End with a sentence when this Python cannot run the program."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SystemExit(
            f"cannot run with Python {sys.version.split()[0]} ({sys.executable}): Python {OLDEST[0]}.{OLDEST[1]} to"
            f" {NEWEST[0]}.{NEWEST[1]} is needed; call this script with one, for example python3.13"
        )


def prepare(folder: Path, requirement: str) -> Path:
    """Return the Python of the virtual environment *folder* with *requirement* installed; quick when it is already."""
    python = _python_of(folder)
    wanted = _fingerprint(requirement)
    stamp = folder / STAMP
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    _make(folder)
    _step(
        "Installing what it needs",
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", requirement],
        "cannot install: see the lines above; without a network connection the first start cannot work",
    )
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _make(folder: Path) -> None:
    try:
        import ensurepip  # noqa: F401, PLC0415 - Debian ships venv without it
        import venv  # noqa: F401, PLC0415
    except ImportError:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SystemExit(
            f"cannot make a virtual environment: this Python has no venv module or no pip for it; on Debian and Ubuntu"
            f" install it with: sudo apt install python{version}-venv"
        ) from None
    _step(
        f"Making a virtual environment in {folder.name}",
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        f"cannot make a virtual environment in {folder}: see the lines above",
    )


def _step(title: str, command: list[str], problem: str) -> None:
    say(f"{title} …")
    begun = time.monotonic()
    if subprocess.run(command, check=False, cwd=ROOT).returncode != 0:
        raise SystemExit(problem)
    say(f"{title}: done in {time.monotonic() - begun:.1f} s")


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _fingerprint(requirement: str) -> str:
    parts = [(ROOT / "pyproject.toml").read_bytes(), sys.version.encode(), requirement.encode(), str(ROOT).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
