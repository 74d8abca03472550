"""Processes that record are killed at any instruction: nothing is lost, nothing is doubled."""

import os
import random
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from beat_config import recorder
from jobs.models import Run
from tests.factories import NOW, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("recording_process.py")
SCHEDULES, SECONDS, KILLS = 20, 1_800, 8
END = NOW + timedelta(seconds=SECONDS)


def recording_process():
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{settings['NAME']}"
    else:
        url = "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**settings)
    environment = os.environ | {"SCHEDULER_DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, str(PROGRAM), END.isoformat()], env=environment, stdout=subprocess.PIPE)


def test_two_recording_processes_that_are_killed_at_random_lose_and_double_nothing():
    chance = random.Random(3)
    for _ in range(SCHEDULES):
        make_schedule(every=timedelta(seconds=1), policy={"catch_up": "all", "overlap": "allow"})
    killed_at = []

    running = [recording_process(), recording_process()]
    for _ in range(KILLS):
        process = running.pop(0)
        assert process.stdout.readline() == b"recorded\n"
        time.sleep(chance.uniform(0, 0.1))  # not a wait: the moment of the kill
        process.kill()
        process.communicate()
        killed_at.append(Run.objects.count())
        running.append(recording_process())
    for process in running:
        process.communicate(timeout=120)
        assert process.returncode == 0

    fires = list(Run.objects.values_list("schedule_id", "fire_time"))
    assert len(fires) == len(set(fires)) == SCHEDULES * (SECONDS + 1)
    assert recorder.next_look() > END
    assert 0 < killed_at[-1] < len(fires), "the kills came while there was work"
