"""What each broker costs and how fast it hands out work: python -m tests.benchmarks.broker [--quick].

start     from the launch of the private node to the first message it takes: on a new folder, then median of three
memory    resident set of the node's processes, with a worker connected
idle      processor time of the node, and of a worker, in percent of a core, while nothing is to be done
latency   from publishing a run's message, to a worker that has nothing to do, until the run is started in the database
publish   messages a second that the broker has taken over and confirmed
through   runs a second, published, claimed and finished by one worker; its database is SQLite
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests import servers

STARTS = 3
MEBIBYTE = 1024 * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer messages, a shorter look at the idle processes")
    quick = parser.parse_args().quick
    for kind in ("rabbitmq", "embedded"):
        if kind == "rabbitmq" and (missing := servers.missing("rabbitmq")):
            sys.stdout.write(f"rabbitmq: {missing}\n")
            continue
        with tempfile.TemporaryDirectory(prefix="broker-") as folder, ExitStack() as stack:
            show(kind, measure(kind, Path(folder), stack, quick=quick))


def measure(kind, folder, stack, *, quick):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    environment |= {"SCHEDULER_DATA_FOLDER": str(folder / "data"), "SCHEDULER_BROKER_KIND": "embedded"}
    found, node = {}, None
    if kind == "rabbitmq":
        first, *later = [start_and_stop(folder / "node") for _ in range(STARTS + 1)]
        found |= {"first start s": first, "start s": statistics.median(later)}
        node = stack.enter_context(servers.rabbitmq(folder / "node"))
        environment |= {"SCHEDULER_BROKER_KIND": "rabbitmq", "SCHEDULER_BROKER_URL": node.url}
    command = [sys.executable, "-m", "tests.benchmarks.broker_round", "quick" if quick else "long"]
    pid = [str(node.tree.popen.pid)] if node else []
    done = subprocess.run([*command, *pid], env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found |= json.loads(done.stdout.splitlines()[-1])
    if node:
        process = psutil.Process(node.tree.popen.pid)
        resident = sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
        found["memory MiB"] = resident / MEBIBYTE
    return found


def start_and_stop(folder):
    folder.mkdir(exist_ok=True)
    begun = time.perf_counter()
    with servers.rabbitmq(folder):
        return time.perf_counter() - begun


def show(kind, found):
    values = "  ".join(f"{name} {value:,.2f}" for name, value in found.items())
    sys.stdout.write(f"{kind}: {values}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
