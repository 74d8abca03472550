"""A disk without room, in earnest: a small one of its own, which only Linux lets an ordinary user make."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import WITH_OWN_DISKS

PROGRAM = Path(__file__).with_name("full_disk.py")


@pytest.mark.needs("own disks")
def test_history_is_deleted_from_a_full_disk_and_the_ballast_comes_back_when_there_is_room(tmp_path):
    mount = f"mount -t tmpfs -o size=40m none {tmp_path} && mkdir -m 700 {tmp_path}/data && exec {sys.executable} {PROGRAM} {tmp_path}/data"
    done = subprocess.run([*WITH_OWN_DISKS, mount], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = dict(line.split() for line in done.stdout.splitlines() if line.count(" ") == 1)

    assert "full" in seen["full"]
    assert int(seen["before"]) > 20
    assert (seen["after"], seen["ballast"]) == ("5", "0")
    assert seen["recorded"] == "25"
    assert seen["ballast_again"] == "1"
