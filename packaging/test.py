"""Set up what the tests need, then run them: python3 packaging/test.py [--strict] [pytest's own arguments].

--strict (the rule where CI is set): a test that could not run here, because a server or a browser is missing, fails.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import ROOT, check_python, prepare, say
from windows_python import prepare_windows_python

# Debian package → what it is known by when it is there already.
DEBIAN_PACKAGES = {
    "rabbitmq-server": "/usr/lib/rabbitmq/lib",
    "postgresql": "/usr/lib/postgresql",
    "chromium": "/usr/bin/chromium",
    "dbus-daemon": "/usr/bin/dbus-daemon",
    "gir1.2-ayatanaappindicator3-0.1": "/usr/share/doc/gir1.2-ayatanaappindicator3-0.1",
    "python3-gi": "/usr/lib/python3/dist-packages/gi",
    "xvfb": "/usr/bin/Xvfb",
    "xfce4-panel": "/usr/bin/xfce4-panel",
    "systemd": "/usr/bin/systemd-analyze",
    "fonts-dejavu-core": "/usr/share/fonts/truetype/dejavu",
    "wine": "/usr/bin/wine",
    "wine64": "/usr/lib/wine/wine64",
}
POLICY = Path("/usr/sbin/policy-rc.d")


def main() -> int:
    check_python()
    arguments = [argument for argument in sys.argv[1:] if argument != "--strict"]
    if "--strict" in sys.argv or os.environ.get("CI"):
        arguments.append("--no-missing")
    install_debian_packages()
    version = f"{sys.version_info[0]}{sys.version_info[1]}"
    python = prepare(ROOT / f".venv-test-{version}", ".[test]")
    if not {"--co", "--collect-only", "--ignore=tests/windows"}.intersection(arguments):
        prepare_windows_python(python)
    whole = pytest(python, *arguments)
    say("The tests that use the database, again, on PostgreSQL:")
    postgresql = pytest(python, "--database=postgresql", "-m", "database", *arguments)
    return whole or postgresql


def pytest(python: Path, *arguments: str) -> int:
    return subprocess.run([str(python), "-m", "pytest", *arguments], check=False, cwd=ROOT).returncode


def install_debian_packages() -> None:
    """Install the servers and the browser that the tests talk to, where apt is there and may be used."""
    missing = [package for package, sign in DEBIAN_PACKAGES.items() if not Path(sign).exists()]
    apt = shutil.which("apt-get")
    if not missing or apt is None:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    if sudo and (shutil.which("sudo") is None or subprocess.run([*sudo, "true"], check=False).returncode != 0):
        say(
            f"Not installed, for want of root's rights: {' '.join(missing)}; tests that need them are skipped and named"
        )
        return
    say(f"Installing Debian packages: {' '.join(missing)} …")
    quiet = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", apt, "-qq", "-o", "Dpkg::Use-Pty=0"]
    subprocess.run([*quiet, "update"], check=False)
    with without_starting_services(sudo):
        done = subprocess.run([*quiet, "install", "--yes", "--no-install-recommends", *missing], check=False)
    if done.returncode != 0:
        say(f"cannot install {' '.join(missing)}: see apt's lines above")


class without_starting_services:  # noqa: N801 - reads as the statement it is used in
    """Keep apt from starting the servers it installs: the tests start their own, and the machine's are not ours."""

    def __init__(self, sudo: list[str]) -> None:
        self._sudo = sudo
        self._ours = not POLICY.exists()

    def __enter__(self) -> None:
        if self._ours:
            with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
                script.write("#!/bin/sh\nexit 101\n")
                script.flush()
                subprocess.run([*self._sudo, "install", "-m", "755", script.name, str(POLICY)], check=True)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            subprocess.run([*self._sudo, "rm", "-f", str(POLICY)], check=True)


if __name__ == "__main__":
    sys.exit(main())
