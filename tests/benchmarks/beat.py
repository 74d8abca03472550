"""Beat against django-celery-beat's and Celery's own, in one run, on databases and a broker of its own.

    python -m tests.benchmarks.beat [--schedules 1000,100000] [--database sqlite,postgresql] [--quick] [--json FILE]

idle tick      what one look costs when nothing is due: wall time, median of up to 200
edit           from a save in another process until it is in force, and the processor time that beat spends on it
memory         resident, of a process with this scheduler and nothing else
burst          so many schedules due in the same second: fires a second until all are recorded and confirmed by a quorum
               queue (median of 3); a rival's are neither, and are counted for LIMIT seconds at most
late           from the due moment until a consumer has the message, at 100 fires a second

A commit waits for the disk on both databases, as in use.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests import servers
from tests.benchmarks.names import CONTESTANTS, OURS, PERSISTENT

QUICK, FULL = (1_000, 10_000), (1_000, 10_000, 100_000, 1_000_000)
BURST, QUICK_BURST = 10_000, 2_000
SECONDS, QUICK_SECONDS = 15, 3
# How long a rival is given for a burst.
LIMIT, QUICK_LIMIT = 15, 4
# With more, a rival needs gigabytes and takes many minutes to start.
RIVALS_UP_TO = 100_000


def main(argv=None):
    options = _options(argv)
    results = []
    with tempfile.TemporaryDirectory(prefix="beat-benchmark-") as folder, servers.rabbitmq(Path(folder) / "mq") as node:
        for database in options.database:
            for schedules in options.schedules:
                base = Path(folder) / f"{database}-{schedules}"
                base.mkdir()
                with _environment(base, database, node.url) as environment:
                    results += _round(options, database, schedules, environment)
    _show(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    return results


def _options(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser.add_argument("--schedules", type=numbers, help="how many, one round each")
    parser.add_argument("--database", type=lambda text: text.split(","), default=["sqlite", "postgresql"])
    parser.add_argument("--burst", type=int, help="how many fires are due in the same second")
    parser.add_argument("--seconds", type=float, help="how long lateness is measured; 0 leaves it out")
    parser.add_argument("--only", type=lambda text: text.split(","), default=CONTESTANTS, help="these schedulers only")
    parser.add_argument("--quick", action="store_true", help="small numbers: three minutes instead of an hour")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    options = parser.parse_args(argv)
    options.schedules = options.schedules or (QUICK if options.quick else FULL)
    options.burst = options.burst or (QUICK_BURST if options.quick else BURST)
    if options.seconds is None:
        options.seconds = QUICK_SECONDS if options.quick else SECONDS
    return options


@contextmanager
def _environment(base, database, broker):
    """Yield the environment of an installation of its own in *base*."""
    with ExitStack() as resources:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
        environment |= {"SCHEDULER_DATA_FOLDER": str(base / "data"), "SCHEDULER_BROKER_URL": broker}
        # A rival writes a line for each fire at the usual level.
        environment["SCHEDULER_LOGS_LEVEL"] = "warning"
        environment["SCHEDULER_GENERAL_TIME_ZONE"] = "Europe/Berlin"
        if database == "postgresql":
            environment["SCHEDULER_DATABASE_URL"] = resources.enter_context(
                servers.postgresql(base / "postgresql", durable=True)
            )
        yield environment


def _round(options, database, schedules, environment):
    contestants = [name for name in options.only if name == OURS or schedules <= RIVALS_UP_TO]
    if database != options.database[0]:  # it keeps its schedules in a file
        contestants = [name for name in contestants if name != PERSISTENT]
    limit = QUICK_LIMIT if options.quick else LIMIT
    burst = min(options.burst, schedules)
    print(f"{database}, {schedules:,} schedules", file=sys.stderr)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.benchmarks.round",
            str(schedules),
            str(burst),
            str(limit),
            str(options.seconds),
            *contestants,
        ],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    return [{"database": database, "burst": burst, **json.loads(line)} for line in done.stdout.splitlines()]


def _show(results):
    table = Table(
        "database", "schedules", "scheduler", "idle tick", "cpu", "edit", "edit cpu", "memory", "burst", "ratio",
        "late p50", "late p99", title="Beat",
    )  # fmt: skip
    for column in table.columns[3:]:
        column.justify = "right"
    ours = {(each["database"], each["schedules"]): each for each in results if each["contestant"] == OURS}
    for each in results:
        reference = ours.get((each["database"], each["schedules"]))
        faster = reference["burst_rate"] / each["burst_rate"] if reference and each["burst_rate"] else None
        table.add_row(
            each["database"],
            f"{each['schedules']:,}",
            each["contestant"],
            _time(each["tick"]),
            _time(each["tick_cpu"]),
            _time(each.get("edit_delay")),
            _time(each.get("edit_cpu")),
            f"{each['memory'] / 2**20:.0f} MB",
            f"{each['burst_rate']:,.0f}/s",
            "" if faster is None or each is reference else f"1 : {faster:,.0f}",
            _time(each.get("late_p50")),
            _time(each.get("late_p99")),
        )
    Console(width=150).print(table)


def _time(seconds):
    if seconds is None:
        return "–"
    if abs(seconds) < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if abs(seconds) < 1 else f"{seconds:.1f} s"


if __name__ == "__main__":
    main()
