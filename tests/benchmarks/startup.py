"""How long a start takes, and what the processes weigh: python -m tests.benchmarks.startup [--runs 5].

Starts and stops the program of this environment on each broker that is here, in a temporary data folder. The first
start of a folder, which makes the database, is not counted. Prints medians; memory is each process's resident and
proportional set (pages shared between processes counted in parts), ten seconds after "ready".
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

import psutil

from scheduler_app import platforms

SETTLE = 10.0
MEBIBYTE = 1024 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    for kind in ("embedded", "auto") if platforms.find_rabbitmq() else ("embedded",):
        with tempfile.TemporaryDirectory(prefix="startup-") as data:
            measure(kind, data, runs)


def measure(kind: str, data: str, runs: int) -> None:
    program = (sys.executable, "-m", "scheduler_app")
    environment = os.environ | {"SCHEDULER_DATA_FOLDER": data, "SCHEDULER_BROKER_KIND": kind}

    def call(verb: str) -> float:
        begun = time.perf_counter()
        subprocess.run([*program, verb], env=environment, check=True, capture_output=True)
        return time.perf_counter() - begun

    first = call("start")
    stops, starts = [call("stop")], []
    for _ in range(runs):
        starts.append(call("start"))
        stops.append(call("stop"))
    call("start")
    time.sleep(SETTLE)
    print(
        f"\nbroker {kind}: first start {first:.1f} s, median of {runs} starts {statistics.median(starts):.1f} s", end=""
    )
    print(f" ({min(starts):.1f}-{max(starts):.1f}), stop {statistics.median(stops):.1f} s")
    weigh(data)
    call("stop")


def weigh(data: str) -> None:
    supervisor = next(
        process
        for process in psutil.process_iter(["cmdline"])
        if "scheduler_app.supervisor" in (process.info["cmdline"] or [])
        and process.environ().get("SCHEDULER_DATA_FOLDER") == data
    )
    total = 0.0
    for process in [supervisor, *supervisor.children(recursive=True)]:
        memory = process.memory_full_info()
        share = getattr(memory, "pss", memory.rss) / MEBIBYTE
        total += share
        name = " ".join(process.cmdline()[1:])[:60]
        print(f"  {memory.rss / MEBIBYTE:6.1f} MiB resident, {share:6.1f} proportional  {process.name()} {name}")
    print(f"  {total:6.1f} MiB proportional in all")


if __name__ == "__main__":
    main()
