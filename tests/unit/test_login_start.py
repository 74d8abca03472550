"""The files of the systems that start things at login, and launchd's for a service."""

import plistlib
import subprocess

import pytest

from scheduler_app.platforms.login_start import DesktopEntry, LaunchAgent, login_start_name

ARGV = ["/opt/my python/bin/python", "-m", "scheduler_app", "--data", 'C:\\a "b" $c `d` 50%', "tray"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.mark.parametrize("place", [DesktopEntry, LaunchAgent])
def test_switched_on_it_is_on_and_switched_off_nothing_is_left(place, home):
    entry = place("scheduler-app-1234")
    assert not entry.is_on()

    entry.switch_on(ARGV)
    assert entry.is_on()
    entry.switch_off()

    assert not entry.is_on()
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_desktop_entry_quotes_what_the_specification_asks_for(home):
    DesktopEntry("mine").switch_on(ARGV)

    (line,) = [
        line
        for line in (home / "config" / "autostart" / "mine.desktop").read_text().splitlines()
        if line.startswith("Exec=")
    ]
    assert '"/opt/my python/bin/python" "-m"' in line
    assert r'"C:\\\\a \\"b\\" \\$c \\`d\\` 50%%"' in line


def test_an_entry_that_the_desktop_has_switched_off_is_off(home):
    entry = DesktopEntry("mine")
    entry.switch_on(ARGV)
    file = home / "config" / "autostart" / "mine.desktop"
    file.write_text(file.read_text() + "X-GNOME-Autostart-enabled = false\n")

    assert not entry.is_on()


def test_launchd_gets_the_arguments_as_they_are(home):
    LaunchAgent("mine").switch_on(ARGV)

    (file,) = (home / "Library" / "LaunchAgents").iterdir()
    assert plistlib.loads(file.read_bytes()) == {"Label": "local.mine", "ProgramArguments": ARGV, "RunAtLoad": True}


def test_each_installation_has_a_name_of_its_own(tmp_path):
    assert login_start_name(tmp_path / "a") != login_start_name(tmp_path / "b")


def test_a_desktop_runs_the_entry_as_it_was_meant(home, tmp_path):
    """What the specification unquotes, sh unquotes too, once the string's own escapes are gone."""
    DesktopEntry("mine").switch_on(["printf", "%s|", *ARGV])
    text = (home / "config" / "autostart" / "mine.desktop").read_text()
    command = text.partition("Exec=")[2].partition("\n")[0].replace("\\\\", "\\").replace("%%", "%")

    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)

    assert done.stdout.split("|")[:-1] == ARGV
