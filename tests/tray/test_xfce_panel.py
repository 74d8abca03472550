"""The icon's pixels in a real panel: Xfce's, on an X server without a screen."""

import os
import subprocess
import textwrap
from contextlib import contextmanager

import pytest
from PIL import ImageColor, ImageGrab

from scheduler_app.desktop.drawing import COLOURS
from scheduler_app.desktop.observation import Look
from tests.tray.panel import TIMEOUT, session_bus
from tests.tray.test_icon import running
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("dbus"), pytest.mark.needs("xfce4-panel")]

PANEL_HEIGHT = 48
# A panel with nothing in it but the icons.
CONFIGURATION = f"""
    <?xml version="1.0" encoding="UTF-8"?>
    <channel name="xfce4-panel" version="1.0">
      <property name="configver" type="int" value="2"/>
      <property name="panels" type="array"><value type="int" value="1"/>
        <property name="panel-1" type="empty">
          <property name="position" type="string" value="p=6;x=0;y=0"/>
          <property name="length" type="uint" value="100"/>
          <property name="size" type="uint" value="{PANEL_HEIGHT}"/>
          <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
        </property>
      </property>
      <property name="plugins" type="empty"><property name="plugin-1" type="string" value="systray"/></property>
    </channel>
"""


@contextmanager
def ended_at_last(*command, **options):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def display():
    read, write = os.pipe()
    with ended_at_last(
        *("Xvfb", "-displayfd", str(write), "-screen", "0", "400x100x24", "-nolisten", "tcp"), pass_fds=[write]
    ):
        os.close(write)
        with os.fdopen(read) as told:
            yield f":{told.readline().strip()}"


@pytest.fixture
def environment(display, tmp_path):
    """A desktop session with a bus of its own: the service that keeps the panel's settings is started by the bus."""
    settings = tmp_path / "config" / "xfce4" / "xfconf" / "xfce-perchannel-xml"
    settings.mkdir(parents=True)
    (settings / "xfce4-panel.xml").write_text(textwrap.dedent(CONFIGURATION).strip())
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    folders = {"HOME": tmp_path, "XDG_CONFIG_HOME": tmp_path / "config", "XDG_RUNTIME_DIR": runtime}
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SCHEDULER_", "DJANGO_"))}
    own = clean | {name: str(path) for name, path in folders.items()} | {"DISPLAY": display, "NO_AT_BRIDGE": "1"}
    with session_bus(own) as bus:
        yield own | {"DBUS_SESSION_BUS_ADDRESS": bus}


@pytest.fixture
def panel_picture(display, environment):
    """Run the panel; return how to see it."""

    def seen():
        return ImageGrab.grab((0, 0, 400, PANEL_HEIGHT), xdisplay=display).convert("RGB")

    with ended_at_last("xfce4-panel", "--disable-wm-check", env=environment, stdout=subprocess.DEVNULL):
        yield seen


def dots_of(look, picture):
    """Return how many dots of *picture* have the colour of *look*, but for a shade."""
    wanted = ImageColor.getrgb(COLOURS[look])
    found = picture.getcolors(picture.width * picture.height)
    return sum(n for n, colour in found if all(abs(a - b) < 8 for a, b in zip(colour, wanted, strict=True)))


def test_a_panel_draws_each_look_and_nothing_when_it_has_gone(panel_picture, environment):
    with running(environment) as program:
        program.wait_for("host is there")
        for look in Look:
            program.order(f"look {look}")
            wait_until(lambda look=look: dots_of(look, panel_picture()) > 30, TIMEOUT, f"the picture of {look}")
            others = {other: dots_of(other, panel_picture()) for other in Look if other != look}
            assert all(count <= 30 for count in others.values()), others

    wait_until(lambda: not dots_of(Look.FAILING, panel_picture()), TIMEOUT, "the icon has gone from the panel")
