"""A process that records what is due, second by second, until it is killed: `recording_process.py UNTIL`."""

import sys
from datetime import datetime

import django

django.setup()

from beat_config import recorder  # noqa: E402

until = datetime.fromisoformat(sys.argv[1])
while (moment := recorder.next_look()) is not None and moment <= until:
    recorder.record_due(moment)
    sys.stdout.write("recorded\n")
    sys.stdout.flush()
