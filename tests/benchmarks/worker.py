"""What a run costs: this worker beside plain Celery (solo, prefork) and beside `sh -c`, doing nothing and starting `true`.

`python -m tests.benchmarks.worker` prints runs a second, the median and its ratio to plain Celery, and a running job's
memory. Each contestant is warmed up, then measured several times in turn; all use the embedded broker on this machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
NOTHING = """
from jobs import job

@job
def nothing() -> None:
    pass

@job(inline=True)
def inline() -> None:
    pass
"""
# One process for both sides: what it asks of the broker and the database is the same work for each.
PLAIN = """
import os, subprocess, sys
from celery import Celery
from scheduler_app import embedded_transport
embedded_transport.register()
app = Celery("plain", broker=os.environ["PLAIN_BROKER"])
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1, task_acks_late=True)

@app.task(name="plain.nothing")
def nothing():
    note()

@app.task(name="plain.command")
def command():
    subprocess.run(["true"], check=True)
    note()

def note():
    file = os.open(os.environ["PLAIN_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"x")
    os.close(file)
"""
FILL = """
import json, sys, time, django; django.setup()
from django.utils import timezone
from jobs.models import Run
count, job, parameters = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
now = timezone.now()
Run.objects.bulk_create(Run(job=job, parameters=parameters, dispatch_at=now) for _ in range(count))
began = time.perf_counter()
while Run.objects.filter(finished_at=None).exists():
    time.sleep(0.02)
assert not Run.objects.exclude(state="succeeded").exists(), Run.objects.exclude(state="succeeded").first().reason
print(time.perf_counter() - began)
"""
SEND = """
import os, sys, time
sys.path.insert(0, os.environ["PLAIN_FOLDER"])
from plain import app
ledger, count = os.environ["PLAIN_LEDGER"], int(sys.argv[1])
size = lambda: os.path.getsize(ledger) if os.path.exists(ledger) else 0
before = size()
began = time.perf_counter()
with app.connection_for_write() as connection, connection.Producer() as producer:
    for _ in range(count):
        app.send_task(sys.argv[2], producer=producer)
while size() < before + count:
    time.sleep(0.02)
print(time.perf_counter() - began)
"""


def clean_environment(folder: Path, pool: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
    return clean | {
        "SCHEDULER_DATA_FOLDER": str(folder / "data"),
        "SCHEDULER_JOBS_FOLDER": str(folder / "jobs"),
        "SCHEDULER_BROKER_KIND": "embedded",
        "SCHEDULER_WORKER_POOL": pool,
        "SCHEDULER_LOGS_LEVEL": "warning",
        "DJANGO_SETTINGS_MODULE": "scheduler_app.settings",
        "PLAIN_BROKER": f"embedded:///{folder / 'plain.sqlite3'}",
        "PLAIN_LEDGER": str(folder / "plain-ledger"),
        "PLAIN_FOLDER": str(folder),
    }


def python(env: dict[str, str], code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=env, cwd=ROOT, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stdout


@contextmanager
def services(env: dict[str, str], folder: Path, *commands: tuple[str, ...]):
    with (folder / "log").open("ab") as log:
        started = [
            subprocess.Popen([sys.executable, "-m", "celery", *command], env=env, cwd=ROOT, stdout=log, stderr=log)
            for command in commands
        ]
        try:
            yield started
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(30)


def ours(env, count, job, parameters):
    return float(python(env, FILL, str(count), job, json.dumps(parameters)))


def plain(env, count, task):
    return float(python(env, SEND, str(count), task))


def measure(pool: str, count: int, rounds: int) -> dict[str, float]:
    """Return the median seconds a run of each contestant on *pool*."""
    with tempfile.TemporaryDirectory(prefix="worker-benchmark-") as name:
        folder = Path(name)
        (folder / "jobs").mkdir()
        (folder / "jobs" / "nothing.py").write_text(NOTHING)
        (folder / "plain.py").write_text(PLAIN)
        env = clean_environment(folder, pool)
        subprocess.run([sys.executable, "-m", "scheduler_app.migrate"], env=env, cwd=ROOT, check=True)
        plain_env = env | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
        seconds: dict[str, list[float]] = {}
        mine = ("-A", "scheduler_app")
        size = ["-c", "1" if pool == "solo" else "4"]
        with (
            services(env, folder, (*mine, "worker", *size), (*mine, "beat")),
            services(
                plain_env, folder, ("-A", "plain", "worker", "-P", "threads" if pool == "threads" else pool, *size)
            ),
        ):
            for number in range(rounds + 1):
                taken = {
                    "ours, nothing": ours(env, count, "nothing", {}),
                    "ours, inline": ours(env, count, "inline", {}),
                    "ours, command": ours(env, count, "run_command", {"command": "true"}),
                    "plain, nothing": plain(plain_env, count, "plain.nothing"),
                    "plain, command": plain(plain_env, count, "plain.command"),
                }
                if number:  # the first warms up
                    for contestant, spent in taken.items():
                        seconds.setdefault(contestant, []).append(spent / count)
        return {contestant: statistics.median(values) for contestant, values in seconds.items()}


def seconds_of_a_shell(count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        subprocess.run(["sh", "-c", "true"], check=True)
    return (time.perf_counter() - began) / count


def memory_of_a_job() -> tuple[float, float]:
    """Return the resident and the proportional MB of a job's process that has been told what to do, on Linux."""
    with tempfile.TemporaryDirectory(prefix="worker-benchmark-") as name:
        (Path(name) / "waits.py").write_text(
            "import time\nfrom jobs import job\n\n@job\ndef waits() -> None:\n    print('here')\n    time.sleep(60)\n"
        )
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobs.child"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        child.stdin.write(json.dumps({"job": "waits", "parameters": {}, "folder": name}).encode() + b"\n")
        child.stdin.flush()
        child.stdout.readline()
        memory = psutil.Process(child.pid).memory_full_info()
        child.kill()
        child.communicate()
        return memory.rss / 1e6, memory.pss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="runs a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pools", nargs="+", default=["threads", "prefork", "solo"])
    options = parser.parse_args()
    print(
        f"{os.cpu_count()} processors, {options.rounds} rounds of {options.count} runs; median ms a run (runs a second)"
    )
    for pool in options.pools:
        taken = measure(pool, options.count, options.rounds)
        for work, other in (("nothing", "nothing"), ("inline", "nothing"), ("command", "command")):
            mine, theirs = taken[f"ours, {work}"], taken[f"plain, {other}"]
            print(
                f"{pool:8} {work:8} ours {mine * 1e3:7.1f} ({1 / mine:6.1f}/s)"
                f"   plain Celery {theirs * 1e3:7.1f} ({1 / theirs:6.1f}/s)   ratio {mine / theirs:5.1f}"
            )
    print(f"sh -c true {seconds_of_a_shell(200) * 1e3:.1f} ms")
    print("a running job: {:.0f} MB resident, {:.0f} MB proportional".format(*memory_of_a_job()))


if __name__ == "__main__":
    main()
