"""The admin's heavy pages beside Unfold's stock list of the same tables, on databases of their own.

    python -m tests.benchmarks.admin [--quick] [--schedules 100000] [--runs 1000000] [--database sqlite,postgresql] [--json FILE]

Each page is asked ROUNDS times by a signed-in person, through all of Django, without a network: p50 and p95.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests import servers

FULL, QUICK = (100_000, 1_000_000, 40), (2_000, 20_000, 5)


def main(argv=None):
    options = _options(argv)
    results = []
    with tempfile.TemporaryDirectory(prefix="admin-benchmark-") as folder:
        for database in options.database:
            results += _measured(Path(folder) / database, database, options)
    _show(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    return results


def _options(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--rounds", type=int, help="how often each page is asked")
    parser.add_argument("--database", type=lambda text: text.split(","), default=["sqlite", "postgresql"])
    parser.add_argument("--quick", action="store_true", help="small numbers: half a minute instead of ten")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    options = parser.parse_args(argv)
    schedules, runs, rounds = QUICK if options.quick else FULL
    options.schedules, options.runs = options.schedules or schedules, options.runs or runs
    options.rounds = options.rounds or rounds
    return options


def _measured(folder, database, options):
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    environment |= {
        "SCHEDULER_DATA_FOLDER": str(folder / "data"),
        "SCHEDULER_BROKER_KIND": "embedded",
        "SCHEDULER_GENERAL_TIME_ZONE": "Europe/Berlin",
        "SCHEDULER_LOGS_LEVEL": "error",
    }
    with ExitStack() as resources:
        if database == "postgresql":
            environment["SCHEDULER_DATABASE_URL"] = resources.enter_context(servers.postgresql(folder / "postgresql"))
        print(f"{database}: {options.schedules:,} schedules, {options.runs:,} runs", file=sys.stderr)
        numbers = [str(options.schedules), str(options.runs), str(options.rounds)]
        command = [sys.executable, "-m", "tests.benchmarks.admin_pages", *numbers]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return [{"database": database, **json.loads(line)} for line in done.stdout.splitlines()]


def _show(results):
    table = Table("database", "page", "p50", "p95", "size", title="Admin pages")
    for column in table.columns[2:]:
        column.justify = "right"
    for each in results:
        times = [f"{each[name] * 1e3:.0f} ms" for name in ("p50", "p95")]
        table.add_row(each["database"], each["page"], *times, f"{each['size'] / 1024:.0f} kB")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
