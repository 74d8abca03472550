"""`scheduler-app service`: the unit is one that systemd accepts, and systemctl is asked for the right things.

No systemd runs where tests run: systemctl is a stand-in that writes down what it is asked, systemd-analyze is real.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import free_port

SYSTEMCTL = """#!/bin/sh
echo "$@" >> {calls}
case "$*" in
  *is-active*) cat {state} ;;
  *enable*) if [ -e {refuses} ]; then echo "Failed to connect to bus" >&2; exit 1; fi; echo active > {state} ;;
  *disable*) echo inactive > {state} ;;
esac
"""


class Machine:
    """A home folder, a systemctl, and the command line in them."""

    def __init__(self, tmp_path):
        self.home, self.calls_file = tmp_path / "home of möre", tmp_path / "calls"
        self.refuses = tmp_path / "refuses"
        tools = tmp_path / "tools"
        tools.mkdir()
        self.home.mkdir()
        state = tmp_path / "state"
        state.write_text("inactive\n")
        names = {"calls": self.calls_file, "state": state, "refuses": self.refuses}
        (tools / "systemctl").write_text(
            SYSTEMCTL.format(**{key: shlex.quote(str(path)) for key, path in names.items()})
        )
        (tools / "systemctl").chmod(0o700)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SCHEDULER_", "DJANGO_"))}
        self.environment = {
            **clean,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "PATH": f"{tools}{os.pathsep}{clean['PATH']}",
        }
        self.data = self.home / "data 100% $HOME"

    def __call__(self, *arguments, **variables):
        return subprocess.run(
            [sys.executable, "-m", "scheduler_app", "service", *arguments, "--data", str(self.data)],
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def calls(self):
        return self.calls_file.read_text().splitlines()

    @property
    def unit(self) -> Path:
        (unit,) = (self.home / "config" / "systemd" / "user").iterdir()
        return unit


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_installing_writes_the_unit_and_starts_it(machine):
    done = machine("install")

    assert (done.returncode, done.stderr) == (0, "")
    assert "enable-linger" in done.stdout
    assert machine.calls() == ["--user daemon-reload", f"--user enable --now {machine.unit.name}"]
    assert machine("status").stdout == "active\n"


@pytest.mark.needs("systemd")
def test_systemd_accepts_the_unit_and_reads_the_command_as_it_was_meant(machine):
    machine("install")

    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(machine.unit)],
        env={**machine.environment, "XDG_RUNTIME_DIR": str(machine.home)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert machine.unit.name not in done.stdout + done.stderr
    (command,) = [line for line in machine.unit.read_text().splitlines() if line.startswith("ExecStart=")]
    assert f'"--data" "{machine.home}/data 100%% $$HOME" "run" "--headless"' in command


def test_removing_stops_it_and_leaves_nothing_but_the_data(machine):
    machine("install")
    unit = machine.unit

    done = machine("remove")

    assert (done.returncode, done.stdout) == (0, "It is stopped and removed.\n")
    assert machine.calls()[-2:] == [f"--user disable --now {unit.name}", "--user daemon-reload"]
    assert not unit.exists()
    assert machine.data.is_dir()
    assert machine("remove").stdout == "Nothing was installed.\n"


def test_status_of_nothing_is_not_installed(machine):
    done = machine("status")

    assert (done.returncode, done.stdout) == (3, "not installed\n")


def test_what_systemd_refuses_is_told_in_its_words(machine):
    machine.refuses.touch()

    done = machine("install")

    assert done.returncode == 1
    assert "cannot do `systemctl --user enable --now" in done.stderr
    assert "Failed to connect to bus" in done.stderr


def test_without_systemd_the_refusal_says_what_to_do(machine):
    done = machine("install", PATH="/nowhere")

    assert done.returncode == 1
    assert "systemd does not run here" in done.stderr
    assert "scheduler-app run --headless" in done.stderr


def test_settings_that_would_be_lost_are_named(machine):
    done = machine("install", SCHEDULER_WEB_PORT=str(free_port()))

    assert done.returncode == 1
    assert "SCHEDULER_WEB_PORT" in done.stderr
    assert not machine.calls_file.exists()
