"""The embedded broker: kombu against its file, and real Celery workers."""

import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from amqp.exceptions import NotFound, PreconditionFailed
from celery import Celery
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import OperationalError

from scheduler_app import embedded_queue, embedded_transport
from scheduler_app.embedded_queue import Outgoing, QueueFile, QueueFileError, headers_match, topic_matches
from scheduler_app.embedded_transport import UnroutableError, file_of
from tests.waiting import wait_until

embedded_transport.register()

# The very module the transport uses: two SQLite libraries in one process undo each other's file locks.
sqlite3 = embedded_queue.sqlite3
ROOT = Path(__file__).parents[2]
JOBS = Queue("jobs", Exchange("work", "direct"), routing_key="jobs")


@pytest.fixture
def url(tmp_path):
    return f"embedded://{tmp_path}/broker.sqlite3"


@pytest.fixture
def connect(url):
    """Return a function that opens one more connection, as another process would."""
    opened = []

    def open_one(**options):
        connection = Connection(url, transport_options=options)
        connection.connect()
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        connection.release()


@pytest.fixture
def connection(connect):
    return connect()


def publish(connection, body, queue=JOBS, **options):
    options.setdefault("routing_key", queue.routing_key)
    Producer(connection.default_channel).publish(body, exchange=queue.exchange, declare=[queue], **options)


def get(connection, queue=JOBS):
    return queue(connection.default_channel).get()


def stored(url):
    """Return how many messages and message texts the file holds."""
    with closing(sqlite3.connect(file_of(url))) as file:
        counts = ("SELECT count(*) FROM message", "SELECT count(*) FROM payload")
        return tuple(file.execute(count).fetchone()[0] for count in counts)


# What a message goes through


def test_a_published_message_is_committed_when_publish_returns(connect, url):
    publish(connect(), {"run": 1})
    assert stored(url) == (1, 1)
    assert get(connect()).payload == {"run": 1}


def test_an_acknowledged_message_is_gone(connection, url):
    publish(connection, "x")
    get(connection).ack()
    assert stored(url) == (0, 0)


def test_a_taken_message_is_nobody_elses(connect):
    one, two = connect(), connect()
    publish(one, "x")
    taken = get(one)
    assert get(two) is None
    taken.ack()


def test_a_rejected_message_comes_back_at_once_in_its_place_and_says_so(connect):
    connection = connect()
    publish(connection, "first")
    publish(connection, "second")
    message = get(connection)
    assert not message.delivery_info.get("redelivered")
    message.requeue()
    again = get(connect())
    assert (again.payload, again.delivery_info["redelivered"], again.headers["x-delivery-count"]) == ("first", True, 1)


def test_a_message_rejected_for_good_is_gone(connection, url):
    publish(connection, "x")
    get(connection).reject()
    assert stored(url) == (0, 0)


def test_closing_gives_unacknowledged_messages_back_at_once(connect):
    one, two = connect(lease=600), connect()
    publish(one, "x")
    assert get(one).payload == "x"
    one.release()
    assert get(two).payload == "x"


def test_closing_a_channel_gives_back_what_it_was_delivered(connect):
    one, two = connect(lease=600), connect()
    publish(one, "x")
    channel = one.channel()
    assert JOBS(channel).get().payload == "x"
    channel.close()
    assert get(two).payload == "x"


def test_a_lease_is_renewed_for_as_long_as_the_process_lives(connect):
    one, two = connect(lease=0.4), connect()
    publish(one, "x")
    message = get(one)
    with (
        Consumer(two.default_channel, [JOBS], on_message=lambda _: pytest.fail("delivered twice")),
        pytest.raises(socket.timeout),
    ):
        two.drain_events(timeout=1.5)
    message.ack()


def test_a_lease_that_is_not_renewed_lapses(tmp_path):
    file = QueueFile(tmp_path / "queue.sqlite3")
    file.declare_queue("jobs", message_ttl=None, unused_limit=None, now=0)
    file.put([Outgoing("jobs", "x")], now=0)
    first = file.claim("jobs", now=100, lease=30)
    assert file.claim("jobs", now=129, lease=30) is None
    second = file.claim("jobs", now=130, lease=30)
    assert (second.id, first.deliveries, second.deliveries) == (first.id, 1, 2)
    file.close()


def test_a_late_acknowledgement_leaves_the_second_delivery_alone(tmp_path):
    file = QueueFile(tmp_path / "queue.sqlite3")
    file.declare_queue("jobs", message_ttl=None, unused_limit=None, now=0)
    file.put([Outgoing("jobs", "x")], now=0)
    late = file.claim("jobs", now=0, lease=30)
    file.claim("jobs", now=31, lease=30)
    file.acknowledge(late.id, late.deliveries)
    file.release(late.id, late.deliveries)
    assert file.claim("jobs", now=32, lease=30) is None
    third = file.claim("jobs", now=61, lease=30)
    assert third.deliveries == 3
    file.acknowledge(third.id, third.deliveries)
    assert file.claim("jobs", now=1000, lease=30) is None
    file.close()


def test_an_idle_consumer_is_woken_by_another_process(connect):
    received = []
    consumer = connect()
    sender = connect()
    JOBS(sender.default_channel).declare()
    with Consumer(
        consumer.default_channel, [JOBS], on_message=lambda message: (message.ack(), received.append(time.monotonic()))
    ):
        with pytest.raises(socket.timeout):
            consumer.drain_events(timeout=0.2)
        delays = []
        for _ in range(10):
            timer = threading.Timer(0.1, lambda: (delays.append(time.monotonic()), publish(sender, "x")))
            timer.start()
            consumer.drain_events(timeout=5)
            timer.join()
    assert max(end - start for start, end in zip(delays, received, strict=True)) < 0.5


def test_higher_priorities_go_first_and_equal_ones_in_order(connection):
    for body, priority in [("a", 0), ("b", 5), ("c", 9), ("d", 5)]:
        publish(connection, body, priority=priority)
    assert [get(connection).payload for _ in range(4)] == ["c", "b", "d", "a"]


def test_a_large_message_arrives_whole_and_leaves_no_space_behind(connection, url):
    body = {"text": "ü" * 3_000_000}
    publish(connection, body)
    message = get(connection)
    assert message.payload == body
    message.ack()
    for _ in range(10):
        connection.transport.file.sweep(time.time())
    connection.release()
    assert file_of(url).stat().st_size < 9_000_000


def test_an_expired_message_is_not_delivered_and_not_kept(connection, url):
    publish(connection, "late", expiration=0.001)
    publish(connection, "in time", expiration=600)
    wait_until(lambda: time.sleep(0.002) is None, 1, "the message has expired")
    assert get(connection).payload == "in time"
    connection.transport.file.sweep(time.time())
    assert stored(url) == (1, 1)


def test_a_temporary_queue_that_nobody_uses_goes_with_its_messages(connection, url):
    reply = Queue("reply", Exchange("replies", "direct"), routing_key="r", auto_delete=True, expires=10)
    publish(connection, "answer", queue=reply)
    file = connection.transport.file
    file.sweep(time.time() + 59)
    assert file.has_queue("reply")
    file.sweep(time.time() + 61)
    assert not file.has_queue("reply")
    assert stored(url) == (0, 0)
    assert file.bindings() == []


def test_messages_to_a_temporary_queue_whose_time_is_over_are_not_stored(tmp_path):
    file = QueueFile(tmp_path / "queue.sqlite3")
    file.declare_queue("reply", message_ttl=None, unused_limit=60, now=0)
    file.put([Outgoing("reply", "x")], now=61)
    assert file.size("reply", now=61) == 0
    file.close()


def test_a_consumer_that_lost_its_queue_learns_of_it(connect):
    consumer, other = connect(lease=0.2), connect()
    queue = Queue("control", Exchange("control", "fanout"), auto_delete=True, expires=10)
    with Consumer(consumer.default_channel, [queue]):
        other.default_channel.queue_delete("control")
        with pytest.raises(QueueFileError, match="control"):
            consumer.drain_events(timeout=10)


def test_an_exclusive_queue_goes_with_its_consumer(connect):
    one, two = connect(), connect()
    with Consumer(one.default_channel, [Queue("mine", Exchange("control", "fanout"), exclusive=True)]):
        assert two.default_channel.queue_declare("mine", passive=True).queue == "mine"
    with pytest.raises(NotFound):
        two.default_channel.queue_declare("mine", passive=True)


# Exchanges

TOPICS = [
    ("eu.#", "eu", True),
    ("eu.#", "eu.de.berlin", True),
    ("eu.#", "us.eu", False),
    ("eu.*", "eu", False),
    ("eu.*", "eu.de", True),
    ("eu.*", "eu.de.berlin", False),
    ("*.daily", "us.daily", True),
    ("a.#.z", "a.z", True),
    ("a.#.z", "a.b.c.z", True),
    ("a.#.z", "a.b.c", False),
    ("#", "", True),
    ("a.b", "a_b", False),
    ("a+b", "aab", False),
]


@pytest.mark.parametrize(("pattern", "key", "expected"), TOPICS, ids=[f"{p} {k}" for p, k, _ in TOPICS])
def test_topics_match_as_amqp_says(pattern, key, expected):
    assert topic_matches(pattern, key) is expected


@pytest.mark.parametrize(
    ("wanted", "headers", "expected"),
    [
        pytest.param({"dept": "fin", "prio": 1}, {"dept": "fin", "prio": 1, "more": 2}, True, id="all is the default"),
        pytest.param({"x-match": "all", "dept": "fin", "prio": 1}, {"dept": "fin"}, False, id="all needs all"),
        pytest.param({"x-match": "any", "dept": "fin", "prio": 1}, {"dept": "fin"}, True, id="any needs one"),
        pytest.param({"x-match": "any", "dept": "fin"}, {"dept": "ops"}, False, id="any and none"),
        pytest.param({"x-match": "any"}, {"dept": "ops"}, False, id="any of nothing"),
        pytest.param({}, {"dept": "ops"}, True, id="all of nothing"),
        pytest.param({"dept": None}, {"dept": "ops"}, True, id="presence"),
        pytest.param({"dept": None}, {}, False, id="absence"),
        pytest.param({"x-kind": "a"}, {"x-kind": "b"}, True, id="x- headers do not count"),
        pytest.param({"x-match": "all-with-x", "x-kind": "a"}, {"x-kind": "b"}, False, id="x- headers count with-x"),
    ],
)
def test_headers_match_as_rabbitmq_does(wanted, headers, expected):
    assert headers_match(wanted, headers) is expected


EXCHANGES = {
    "default": (None, "one", {}, ["one"]),
    "direct": ("d", "report", {}, ["one"]),
    "topic": ("t", "eu.de", {}, ["one", "two"]),
    "topic, one word": ("t", "eu", {}, ["one"]),
    "fanout": ("f", "whatever", {}, ["one", "two"]),
    "headers, all": ("h", "", {"dept": "fin", "prio": "high"}, ["one", "two"]),
    "headers, any": ("h", "", {"dept": "fin"}, ["two"]),
    "nobody": ("d", "unknown", {}, []),
}


@pytest.mark.parametrize(("exchange", "key", "headers", "expected"), EXCHANGES.values(), ids=EXCHANGES.keys())
def test_each_kind_of_exchange_reaches_its_queues_also_from_another_process(connect, exchange, key, headers, expected):
    d, t, f, h = (Exchange(kind[0], kind) for kind in ("direct", "topic", "fanout", "headers"))
    bindings = [
        ("one", d, "report", {}),
        ("two", d, "other", {}),
        ("one", t, "eu.#", {}),
        ("two", t, "*.de", {}),
        ("one", f, "", {}),
        ("two", f, "", {}),
        ("one", h, "", {"x-match": "all", "dept": "fin", "prio": "high"}),
        ("two", h, "", {"x-match": "any", "dept": "fin", "region": "eu"}),
    ]
    for name, bound, binding_key, arguments in bindings:
        Queue(name, bound, routing_key=binding_key, binding_arguments=arguments)(connect().default_channel).declare()
    Producer(connect().default_channel).publish("x", exchange=exchange or "", routing_key=key, headers=headers)
    reader = connect()
    assert [name for name in ("one", "two") if Queue(name)(reader.default_channel).get()] == expected


def test_a_binding_that_was_removed_routes_no_more(connection):
    queue = JOBS(connection.default_channel)
    queue.declare()
    queue.unbind_from(exchange=JOBS.exchange, routing_key="jobs")
    Producer(connection.default_channel).publish("x", exchange="work", routing_key="jobs")
    assert get(connection) is None


def test_a_mandatory_message_without_a_queue_is_refused(connection, url):
    Exchange("work")(connection.default_channel).declare()
    producer = Producer(connection.default_channel)
    with pytest.raises(UnroutableError, match="'nowhere'"):
        producer.publish("x", exchange="work", routing_key="nowhere", mandatory=True, retry=True)
    with pytest.raises(UnroutableError, match="no queue 'nowhere'"):
        producer.publish("x", routing_key="nowhere", mandatory=True)
    producer.publish("x", exchange="work", routing_key="nowhere")
    assert stored(url) == (0, 0)


def test_an_exchange_that_nobody_declared_is_an_error(connection):
    with pytest.raises(NotFound, match="'nowhere'"):
        Producer(connection.default_channel).publish("x", exchange="nowhere")


def test_an_exchange_cannot_change_its_kind(connection):
    Exchange("work", "direct")(connection.default_channel).declare()
    with pytest.raises(PreconditionFailed, match="it exists as direct"):
        Exchange("work", "topic")(connection.default_channel).declare()


def test_a_batch_is_stored_as_a_whole_or_not_at_all(connection, url):
    JOBS(connection.default_channel).declare()
    producer = Producer(connection.default_channel)

    def send_two():
        with producer.batch():
            producer.publish("x", exchange="work", routing_key="jobs")
            producer.publish("y", exchange="nowhere", routing_key="jobs")

    with pytest.raises(NotFound):
        send_two()
    assert stored(url) == (0, 0)
    with producer.batch():
        for number in range(500):
            producer.publish(number, exchange="work", routing_key="jobs")
        assert stored(url) == (0, 0)
    assert stored(url) == (500, 500)
    assert [get(connection).payload for _ in range(500)] == list(range(500))


# The file


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("embedded:///home/me/broker.sqlite3", "/home/me/broker.sqlite3"),
        ("embedded:///home/me/my%20data%3B/b.sqlite3", "/home/me/my data;/b.sqlite3"),
    ],
)
def test_the_address_names_the_file(address, path):
    assert file_of(address) == Path(path)


@pytest.mark.parametrize("address", ["embedded://", "embedded:///", "sqlite:///x"])
def test_an_address_without_a_file_is_refused(address):
    with pytest.raises(ValueError, match="cannot use the broker address"):
        file_of(address)


def test_the_address_is_shown_as_it_was_given(connection, url):
    assert connection.as_uri() == url


def test_only_its_owner_reads_the_file(connection, url):
    publish(connection, "x")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file_of(url).parent.iterdir()}
    assert modes == {f"broker.sqlite3{end}": 0o600 for end in ("", "-wal", "-shm")}


def limit(file, pages):
    """Make the file's disk full at *pages* pages, for this connection."""
    with file._statements() as connection:
        connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_said_clearly_and_harms_nothing(connection):
    publish(connection, "before")
    file = connection.transport.file
    JOBS(connection.default_channel).declare()
    limit(file, 30)
    with pytest.raises(QueueFileError, match="the disk is full; make room"):
        Producer(connection.default_channel).publish("x" * 1_000_000, exchange="work", routing_key="jobs")
    publish(connection, "after")
    assert [get(connection).payload for _ in range(2)] == ["before", "after"]
    with file._statements() as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_publisher_that_retries_gets_a_librarys_error_in_the_end(connection, tmp_path, url):
    publish(connection, "x")
    connection.release()
    for path in tmp_path.iterdir():
        path.unlink()
    tmp_path.joinpath("broker.sqlite3").write_bytes(b"not a database, " * 500)
    policy = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    with Connection(url) as again, pytest.raises(OperationalError, match="damaged; stop everything and move it away"):
        Producer(again).publish("x", exchange="", routing_key="jobs", retry=True, retry_policy=policy)


def test_a_file_that_was_removed_is_noticed_by_publishers(connection, tmp_path):
    publish(connection, "x")
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(QueueFileError, match="it was removed"):
        publish(connection, "y")
    connection.release()
    publish(connection, "z")
    assert get(connection).payload == "z"


def test_a_file_of_another_version_is_refused(connection, url):
    publish(connection, "x")
    connection.release()
    with closing(sqlite3.connect(file_of(url))) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(QueueFileError, match="another version of the program"):
        QueueFile(file_of(url)).open()


def test_many_that_make_the_file_at_once_all_succeed(url):
    script = f"from scheduler_app.embedded_queue import QueueFile; from pathlib import Path; QueueFile(Path({str(file_of(url))!r})).open()"
    processes = [subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) for _ in range(6)]
    assert [process.wait(60) for process in processes] == [0] * 6


def test_threads_that_share_a_connection_lose_nothing(connect):
    connection = connect()
    JOBS(connection.default_channel).declare()
    producer = Producer(connection.default_channel)

    def send(name):
        for number in range(100):
            producer.publish(f"{name}.{number}", exchange="work", routing_key="jobs")

    threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = connect()
    assert {get(reader).payload for _ in range(400)} == {
        f"{name}.{number}" for name in range(4) for number in range(100)
    }


def test_a_forked_child_neither_gives_back_nor_deletes_what_is_its_parents(url):
    script = """
        import gc, os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forking with threads; that is the point
        from kombu import Connection, Consumer, Exchange, Producer, Queue
        from scheduler_app.embedded_transport import register
        register()
        queue, control = Queue("jobs", Exchange("work"), routing_key="jobs"), Queue("control", Exchange("c", "fanout"), exclusive=True)
        parent, other = Connection(sys.argv[1]), Connection(sys.argv[1])
        Producer(parent.default_channel).publish("held", exchange="work", routing_key="jobs", declare=[queue])
        consumer = Consumer(parent.channel(), [control])
        consumer.consume()
        held = queue(parent.default_channel).get()
        child = os.fork()
        if child == 0:
            Producer(parent.default_channel).publish("from the child", exchange="work", routing_key="jobs")
            parent.release()
            del parent
            gc.collect()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, "the child failed"
        channel = other.default_channel
        assert queue(channel).get().payload == "from the child"
        assert queue(channel).get() is None, "the child gave the parent's message back"
        channel.queue_declare("control", passive=True)
        held.ack()
        parent.release(), other.release()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# Celery


@pytest.fixture
def echo(url, tmp_path):
    """Return a function that starts a real worker; all are ended with the test."""
    environ = {
        **os.environ,
        "ECHO_BROKER": url,
        "ECHO_OUTPUT": str(tmp_path / "output"),
        "ECHO_LEASE": "1.5",
        "PYTHONPATH": str(ROOT),
    }
    workers = []

    @contextmanager
    def closing_log(path):
        with path.open("wb") as log:
            yield log

    def start(*options, name=None, **variables):
        name = name or f"w{len(workers)}"
        log = tmp_path / f"{name}.log"
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "tests.integration.echo_app",
            "worker",
            "-l",
            "INFO",
            "-n",
            f"{name}@test",
            *options,
        ]
        with closing_log(log) as output:
            worker = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        worker.log = log
        workers.append(worker)
        wait_until(
            lambda: f"{name}@test ready" in log.read_text() or worker.poll() is not None, 60, "the worker is ready"
        )
        assert worker.poll() is None, log.read_text()
        return worker

    yield start
    for worker in workers:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(30)


@pytest.fixture
def app(url):
    app = Celery("sender", broker=url, set_as_current=False)
    app.conf.update(task_default_queue="echo", task_default_exchange="echo", task_default_routing_key="echo")
    yield app
    app.close()


@pytest.fixture
def output(tmp_path):
    """Return a function that returns the lines the tasks have written."""
    path = tmp_path / "output"
    return lambda: path.read_text().splitlines() if path.exists() else []


def send(app, task, *arguments):
    app.send_task(f"echo.{task}", arguments)


@pytest.mark.parametrize("pool", ["solo", "threads", "prefork"])
def test_each_pool_runs_tasks_acknowledges_them_and_stops_cleanly(echo, app, output, url, pool):
    worker = echo("--pool", pool, "-c", "2")
    for number in range(20):
        send(app, "record", str(number))
    wait_until(lambda: len(output()) >= 20, 30, "20 tasks have run")
    assert sorted(output(), key=int) == [str(number) for number in range(20)]
    wait_until(lambda: stored(url)[0] == 0, 10, "all are acknowledged")
    worker.terminate()
    assert worker.wait(20) == 0
    log = worker.log.read_text()
    assert "Traceback" not in log, log


def test_two_workers_share_the_work_and_do_nothing_twice(echo, app, output, url):
    echo("--pool", "solo")
    echo("--pool", "threads", "-c", "2")
    for number in range(300):
        send(app, "record", str(number))
    wait_until(lambda: len(output()) >= 300, 60, "300 tasks have run")
    wait_until(lambda: stored(url)[0] == 0, 10, "all are acknowledged")
    assert Counter(output()) == Counter(str(number) for number in range(300))


@pytest.mark.parametrize("pool", ["solo", "threads", "prefork"])
def test_what_a_killed_worker_held_runs_elsewhere_after_the_lease(echo, app, output, tmp_path, pool):
    victim = echo("--pool", pool, "-c", "2")
    for number in range(2 if pool != "solo" else 1):
        send(app, "hold", str(number))
    for number in range(20):
        send(app, "record", f"later {number}")
    held = 2 if pool != "solo" else 1
    wait_until(lambda: len(output()) == held, 20, "the worker holds its messages")
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait(10)
    (tmp_path / "output.release").touch()
    killed_at = time.monotonic()
    echo("--pool", "solo")
    wait_until(lambda: sum(line.startswith("finished") for line in output()) == held, 30, "the lost tasks have run")
    assert time.monotonic() - killed_at > 0.5
    wait_until(lambda: len({line for line in output() if line.startswith("later")}) == 20, 30, "nothing was lost")
    assert not [line for line, times in Counter(output()).items() if times > 1 and not line.startswith("started")]


def test_a_solo_worker_that_is_busy_for_longer_than_the_lease_keeps_its_message(echo, app, output, tmp_path):
    echo("--pool", "solo", ECHO_LEASE="0.5")
    send(app, "hold", "long")
    wait_until(lambda: output() == ["started long"], 20, "the task has started")
    echo("--pool", "solo", ECHO_LEASE="0.5")
    other_is_idle = time.monotonic() + 2
    wait_until(lambda: time.monotonic() > other_is_idle, 5, "four leases have gone by")
    (tmp_path / "output.release").touch()
    wait_until(lambda: len(output()) > 1, 20, "the task has ended")
    assert output() == ["started long", "finished long"]


def test_a_stopping_worker_gives_back_at_once_what_it_has_not_begun(echo, app, output, tmp_path):
    stopping = echo("--pool", "solo", ECHO_LEASE="600", ECHO_PREFETCH="5")
    send(app, "hold", "x")
    wait_until(lambda: output() == ["started x"], 20, "the task has started")
    for number in range(4):
        send(app, "record", str(number))
    stopping.terminate()
    (tmp_path / "output.release").touch()
    assert stopping.wait(30) == 0
    echo("--pool", "solo")
    wait_until(lambda: len(output()) >= 6, 10, "another worker has the rest")
    assert Counter(output()) == Counter(["started x", "finished x", "0", "1", "2", "3"])


def test_remote_control_reaches_every_worker_and_leaves_nothing_behind(echo, app, url):
    workers = [echo("--pool", "solo", name="a"), echo("--pool", "threads", name="b")]
    for _ in range(3):
        replies = app.control.inspect(timeout=3).ping()
        assert replies == {"a@test": {"ok": "pong"}, "b@test": {"ok": "pong"}}
    app.control.broadcast("shutdown")
    assert [worker.wait(20) for worker in workers] == [0, 0]
    file = QueueFile(file_of(url))
    file.sweep(time.time() + 61)
    assert {queue for queue, _, _ in file.bindings()} == {"echo"}
    assert stored(url) == (0, 0)
    file.close()


def test_a_task_with_a_megabyte_of_arguments_runs(echo, app, output):
    echo("--pool", "prefork", "-c", "1")
    send(app, "record", "x" * 1_500_000)
    wait_until(output, 20, "the task has run")
    assert output()[0].endswith("x 1500000")


def test_a_worker_goes_on_when_the_file_was_removed_under_it(echo, app, output, tmp_path):
    worker = echo("--pool", "solo", ECHO_LEASE="1")
    for path in tmp_path.glob("broker.sqlite3*"):
        path.unlink()
    # The worker has to notice first and declare its queue anew; until then a message goes nowhere.
    wait_until(lambda: send(app, "record", "x") or output(), 30, "the worker is back")
    assert worker.poll() is None
