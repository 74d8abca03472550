"""Every way of handing out work, through real brokers to real workers: which of two got it."""

import json
from contextlib import ExitStack
from itertools import count

import pytest

from scheduler_app import routing
from tests import servers
from tests.installation import Installation
from tests.waiting import wait_until

SOON = 30

# In order of their ids; beat sends them when it starts.
PLACES = {
    "any": {},
    "queue": {"queue": "reports"},
    "direct": {"exchange": routing.QUEUES, "routing_key": "reports"},
    "any by its queue's name": {"queue": "any"},
    "topic": {"exchange": routing.TOPICS, "routing_key": "eu.reports.daily"},
    "topic of both": {"exchange": routing.TOPICS, "routing_key": "eu.reports.weekly"},
    "one label": {"exchange": routing.LABELS, "headers": {"gpu": "yes"}},
    "both labels": {"exchange": routing.LABELS, "headers": {"os": "linux", "gpu": "yes"}},
    "no worker's queue": {"queue": "nobody-reads-this"},
    "no worker's topic": {"exchange": routing.TOPICS, "routing_key": "us.reports"},
    "no worker's labels": {"exchange": routing.LABELS, "headers": {"gpu": "yes", "os": "windows"}},
    "every machine": {"exchange": routing.MACHINES},
    "no exchange": {"exchange": "no-such-exchange", "routing_key": "x"},
}
NUMBERS = dict(zip(PLACES, count(1), strict=False))
# What each worker offers. The first reads no default queue.
ONE = {
    "SCHEDULER_WORKER_QUEUES": "reports",
    "SCHEDULER_WORKER_TOPICS": "eu.#",
    "SCHEDULER_WORKER_LABELS": "gpu=yes,os=linux",
    "SCHEDULER_WORKER_MACHINE": "one",
}
TWO = {
    "SCHEDULER_WORKER_TOPICS": "*.reports.weekly",
    "SCHEDULER_WORKER_LABELS": "gpu=no,os=linux",
    "SCHEDULER_WORKER_MACHINE": "two",
}

MAKE_RUNS = """
import json
from django.utils import timezone
from jobs import machines
from jobs.models import Run
for route in json.loads({routes!r}):
    now, columns = timezone.now(), {{"route": route or None}}
    if route.get("exchange") == {machines!r}:
        columns = machines.whole(route, "key", "skip", expires_at=None, now=now)
    Run.objects.create(job="run_command", parameters={{"command": "true"}}, dispatch_at=now, **columns)
"""


@pytest.fixture(scope="module", params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.needs("rabbitmq"))])
def installation(request, tmp_path_factory):
    """Two workers that differ, a beat that sends, and a run for each of PLACES."""
    with ExitStack() as stack:
        node = None
        if request.param == "rabbitmq":
            node = stack.enter_context(servers.rabbitmq(tmp_path_factory.mktemp("node"))).url
        made = Installation(tmp_path_factory.mktemp("installation"), node)
        made.python(MAKE_RUNS.format(routes=json.dumps([*PLACES.values()]), machines=routing.MACHINES))
        stack.enter_context(made.worker("one", **ONE))
        stack.enter_context(made.worker("two", **TWO))
        stack.enter_context(made.process("beat", "celery", "-A", "scheduler_app", "beat", "--loglevel=INFO"))
        yield made


def ended(installation, place):
    row = "SELECT state, worker FROM jobs_run WHERE id = ?"
    _, worker = wait_until(
        lambda: next(
            (found for found in installation.rows(row, NUMBERS[place]) if found[0] != "queued" and found[1]), None
        ),
        SOON,
        f"the run for {place} has started",
    )
    return worker.partition("@")[0]


@pytest.mark.parametrize(
    ("place", "workers"),
    [
        ("any", {"two"}),
        ("any by its queue's name", {"two"}),
        ("queue", {"one"}),
        ("direct", {"one"}),
        ("topic", {"one"}),
        ("topic of both", {"one", "two"}),
        ("one label", {"one"}),
        ("both labels", {"one"}),
    ],
)
def test_a_run_goes_to_a_worker_that_offers_what_it_asks_for(installation, place, workers):
    assert ended(installation, place) in workers


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("no worker's queue", "no worker reads the queue 'nobody-reads-this'"),
        ("no worker's topic", "no worker listens to the topic 'us.reports'"),
        ("no worker's labels", "no worker has the labels gpu=yes, os=windows"),
        ("no exchange", "no exchange named 'no-such-exchange'"),
    ],
)
def test_a_run_that_no_worker_can_get_waits_and_says_so(installation, place, says):
    row = "SELECT state, reason FROM jobs_run WHERE id = ? AND reason != ''"
    ((state, reason),) = wait_until(lambda: installation.rows(row, NUMBERS[place]), SOON, "there is a reason")
    assert state == "pending"
    assert says in reason


def test_a_topic_that_two_workers_listen_to_is_run_once(installation):
    ended(installation, "topic of both")
    starts = installation.log("one").count(f"Run {NUMBERS['topic of both']} starts")
    assert starts + installation.log("two").count(f"Run {NUMBERS['topic of both']} starts") == 1


def test_every_machine_runs_it_once(installation):
    parts = "SELECT machine, state, worker FROM jobs_run WHERE part_of = ? ORDER BY machine"

    def both_done():
        rows = installation.rows(parts, NUMBERS["every machine"])
        return rows if [row[1] for row in rows] == ["succeeded", "succeeded"] else None

    rows = wait_until(both_done, SOON, "two machines have run it")
    assert [(machine, worker.partition("@")[0]) for machine, _, worker in rows] == [("one", "one"), ("two", "two")]


def test_a_worker_by_hand_reads_the_queues_it_is_told_to(installation):
    code = """
        from django.utils import timezone
        from jobs.models import Run
        route = {"queue": "by-hand"}
        print(Run.objects.create(job="run_command", parameters={"command": "true"}, route=route, dispatch_at=timezone.now()).pk)
    """
    with installation.worker("hand", "-Q", "by-hand"):
        run = int(installation.python(code))
        wait_until(lambda: installation.state(run) == "succeeded", SOON, "the run has succeeded")
    assert installation.rows("SELECT worker FROM jobs_run WHERE id = ?", run)[0][0].startswith("hand@")
