"""Queues, exchanges and leased messages in one SQLite file that several processes share.

What an AMQP broker keeps, without the broker: a message is put into each queue its exchange routes it to,
taken under a lease, and deleted when it is acknowledged; the messages of a process that died are
taken again once their lease has lapsed. Times are seconds since the epoch, handed in by the caller.
"""

import os
import secrets
import socket
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from json import dumps, loads
from pathlib import Path
from typing import Any

from scheduler_app import platforms
from scheduler_app.sqlite import use_safe_sqlite

use_safe_sqlite()  # before anything imports sqlite3

import sqlite3  # noqa: E402

BUSY_TIMEOUT = 20.0  # seconds a statement waits for another process's transaction
FREE_PAGES = 2_000  # of 4 kB that the file may keep for later
VERSION = 1  # of the tables below
# AMQP 0-9-1 wants these to exist without being declared.
STANDARD_EXCHANGES = [
    (f"amq.{name}", kind)
    for name, kind in [
        ("direct", "direct"),
        ("topic", "topic"),
        ("fanout", "fanout"),
        ("headers", "headers"),
        ("match", "headers"),
    ]
]
TABLES = (
    "CREATE TABLE exchange (name TEXT PRIMARY KEY, kind TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE queue (name TEXT PRIMARY KEY, message_ttl REAL, unused_limit REAL, expires_at REAL) WITHOUT ROWID",
    """CREATE TABLE binding (
        exchange TEXT NOT NULL, routing_key TEXT NOT NULL, arguments TEXT NOT NULL, queue TEXT NOT NULL,
        PRIMARY KEY (exchange, routing_key, arguments, queue)
    ) WITHOUT ROWID""",
    "CREATE INDEX binding_by_queue ON binding (queue)",
    """CREATE TABLE message (
        id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, priority INTEGER NOT NULL,
        leased_until REAL NOT NULL DEFAULT 0, owner TEXT, deliveries INTEGER NOT NULL DEFAULT 0, expires_at REAL
    )""",
    "CREATE INDEX message_in_order ON message (queue, priority DESC, id)",  # read by claim
    "CREATE INDEX message_by_owner ON message (owner) WHERE owner IS NOT NULL",  # read by renew and release_all
    "CREATE INDEX message_by_expiry ON message (expires_at) WHERE expires_at IS NOT NULL",  # read by sweep
    # A message's text has a table of its own: a lease is renewed many times, and an UPDATE writes the whole row.
    "CREATE TABLE payload (id INTEGER PRIMARY KEY, content TEXT NOT NULL)",
    """CREATE TRIGGER payload_goes_with_message AFTER DELETE ON message
    BEGIN DELETE FROM payload WHERE id = OLD.id; END""",
)
READY = "queue = :queue AND leased_until <= :now AND (expires_at IS NULL OR expires_at > :now)"


class QueueFileError(Exception):
    """The queue file cannot be used right now; str() says why and what to do. Nothing of the request was done."""


class UnknownExchangeError(LookupError):
    """The exchange was never declared."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way into one queue; `ttl` in seconds; a durable one survives a power cut."""

    queue: str
    content: str
    priority: int = 0
    ttl: float | None = None
    durable: bool = True


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message taken from a queue. `deliveries` counts every time it was taken, so (id, deliveries) names this one."""

    id: int
    deliveries: int
    content: str


class QueueFile:
    """One connection to the file, shared by all threads of this process and safe to have across a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.owner = _new_owner()
        self.inherited = False  # True in a forked child: what is leased and consumed belongs to the parent
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closer: weakref.finalize[[int, sqlite3.Connection], QueueFile] | None = None
        self._identity: tuple[int, int] | None = None
        self._synchronous = ""
        with _forking:
            _open_files.add(self)

    def open(self) -> None:
        """Make the file when there is none, and make sure that it can be written to."""
        with self._transaction() as connection:
            # A full or read-only disk must be noticed here, where the caller waits and tries again.
            connection.execute("UPDATE exchange SET kind = kind WHERE name = 'amq.direct'")

    def close(self) -> None:
        """Give back what this process still holds and close the connection; any later call opens it again."""
        with self._lock:
            if self._connection is None:
                return
            try:
                self.release_all()
            finally:
                self._disconnect()

    def version(self) -> int:
        """Return a number that differs from the last one when another connection has changed the file; a few µs."""
        with self._statements() as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def check_in_place(self) -> None:
        """Raise QueueFileError when the path no longer leads to the file that is open here."""
        with self._lock:
            try:
                in_place = self._identity is None or self._identity == _identity(self.path)
            except FileNotFoundError:
                in_place = False
            if not in_place:
                self._disconnect()
                raise QueueFileError(f"cannot go on with the queue file {self.path}: it was removed; it is made anew")

    # Exchanges, queues, bindings

    def declare_exchange(self, name: str, kind: str) -> str:
        """Make the exchange unless there is one of that name; return the kind it has."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO exchange VALUES (?, ?)", (name, kind))
            return str(connection.execute("SELECT kind FROM exchange WHERE name = ?", (name,)).fetchone()[0])

    def exchanges(self) -> dict[str, str]:
        return dict(self._rows("SELECT name, kind FROM exchange ORDER BY name"))

    def delete_exchange(self, name: str) -> None:
        with self._transaction() as connection:
            connection.execute("DELETE FROM binding WHERE exchange = ?", (name,))
            connection.execute("DELETE FROM exchange WHERE name = ?", (name,))

    def declare_queue(self, name: str, *, message_ttl: float | None, unused_limit: float | None, now: float) -> None:
        """Make the queue unless there is one; it goes when it has been unused for *unused_limit* seconds."""
        expires_at = None if unused_limit is None else now + unused_limit
        self._write(
            "INSERT INTO queue VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at"
            " WHERE unused_limit IS NOT NULL AND excluded.expires_at IS NOT NULL",
            (name, message_ttl, unused_limit, expires_at),
        )

    def has_queue(self, name: str) -> bool:
        return bool(self._rows("SELECT 1 FROM queue WHERE name = ?", (name,)))

    def delete_queue(self, name: str) -> None:
        with self._transaction() as connection:
            _drop_queues(connection, [name])

    def bind(self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any]) -> None:
        row = (exchange, routing_key, dumps(arguments, sort_keys=True), queue)
        self._write("INSERT OR IGNORE INTO binding VALUES (?, ?, ?, ?)", row)

    def unbind(self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any]) -> None:
        self._write(
            "DELETE FROM binding WHERE exchange = ? AND routing_key = ? AND arguments = ? AND queue = ?",
            (exchange, routing_key, dumps(arguments, sort_keys=True), queue),
        )

    def bindings(self) -> list[tuple[str, str, str]]:
        """Return (queue, exchange, routing key) of every binding."""
        return [(str(q), str(e), str(r)) for q, e, r in self._rows("SELECT queue, exchange, routing_key FROM binding")]

    def route(self, exchange: str, routing_key: str, headers: Mapping[str, Any]) -> list[str]:
        """Return the queues that *exchange* hands the message to; "" is AMQP's default exchange."""
        if not exchange:
            return [routing_key] if self.has_queue(routing_key) else []
        kinds = self._rows("SELECT kind FROM exchange WHERE name = ?", (exchange,))
        if not kinds:
            raise UnknownExchangeError(exchange)
        rows = self._rows("SELECT routing_key, arguments, queue FROM binding WHERE exchange = ?", (exchange,))
        return sorted({row[2] for row in rows if _matches(kinds[0][0], row[0], row[1], routing_key, headers)})

    # Messages

    def put(self, messages: Sequence[Outgoing], now: float) -> None:
        """Put all *messages* into their queues, or none; a queue that has gone meanwhile is passed over."""
        self.check_in_place()  # or the message would go into a file that nobody else can see
        with self._transaction(durable=any(message.durable for message in messages)) as connection:
            for message in messages:
                row = connection.execute(
                    "INSERT INTO message (queue, priority, expires_at) SELECT name, :priority,"
                    " :now + min(coalesce(:ttl, message_ttl), coalesce(message_ttl, :ttl))"
                    " FROM queue WHERE name = :queue AND (expires_at IS NULL OR expires_at > :now)",
                    {"queue": message.queue, "priority": message.priority, "ttl": message.ttl, "now": now},
                )
                if row.rowcount == 1:
                    connection.execute("INSERT INTO payload VALUES (?, ?)", (row.lastrowid, message.content))

    def claim(self, queue: str, *, now: float, lease: float) -> Delivery | None:
        """Take the next message for *lease* seconds; None when none is ready."""
        # Look before writing: an idle queue must not cost a write lock.
        if not self.is_ready(queue, now):
            return None
        with self._statements() as connection:
            # fetchall(), since a statement with RETURNING commits only when it has been read to its end.
            taken = connection.execute(
                "UPDATE message SET leased_until = :until, owner = :owner, deliveries = deliveries + 1 WHERE id ="  # noqa: S608 - ours
                f" (SELECT id FROM message WHERE {READY} ORDER BY priority DESC, id LIMIT 1) RETURNING id, deliveries",
                {"queue": queue, "now": now, "until": now + lease, "owner": self.owner},
            ).fetchall()
            if not taken:
                return None
            contents = connection.execute("SELECT content FROM payload WHERE id = ?", taken[0][:1]).fetchall()
        message, deliveries = taken[0]
        return (
            Delivery(message, deliveries, contents[0][0]) if contents else None
        )  # none: its queue has just been deleted

    def take(self, queue: str, *, now: float) -> Delivery | None:
        """Take the next message for good; None when none is ready."""
        if not self.is_ready(queue, now):
            return None
        with self._transaction() as connection:
            row = connection.execute(
                f"SELECT id, deliveries + 1, content FROM message JOIN payload USING (id) WHERE {READY}"  # noqa: S608 - ours
                " ORDER BY priority DESC, id LIMIT 1",
                {"queue": queue, "now": now},
            ).fetchone()
            if row is None:
                return None
            connection.execute("DELETE FROM message WHERE id = ?", (row[0],))
            return Delivery(*row)

    def is_ready(self, queue: str, now: float) -> bool:
        return bool(self._rows(f"SELECT 1 FROM message WHERE {READY} LIMIT 1", {"queue": queue, "now": now}))  # noqa: S608 - ours

    def acknowledge(self, message: int, deliveries: int) -> None:
        """Delete a delivered message, unless its lease has lapsed and it was delivered again."""
        self._write("DELETE FROM message WHERE id = ? AND deliveries = ?", (message, deliveries))

    def release(self, message: int, deliveries: int) -> None:
        """Give a delivered message back to its place in the queue, at once."""
        self._write(
            "UPDATE message SET leased_until = 0, owner = NULL WHERE id = ? AND deliveries = ? AND owner = ?",
            (message, deliveries, self.owner),
        )

    def release_all(self) -> None:
        self._write("UPDATE message SET leased_until = 0, owner = NULL WHERE owner = ?", (self.owner,))

    def renew(self, *, now: float, lease: float) -> None:
        """Extend the leases of all that this process holds; writes nothing when it holds nothing."""
        if self._rows("SELECT 1 FROM message WHERE owner = ? LIMIT 1", (self.owner,)):
            self._write("UPDATE message SET leased_until = ? WHERE owner = ?", (now + lease, self.owner))

    def size(self, queue: str, now: float) -> int:
        """Return the number of messages that wait to be taken."""
        return int(self._rows(f"SELECT count(*) FROM message WHERE {READY}", {"queue": queue, "now": now})[0][0])  # noqa: S608 - ours

    def purge(self, queue: str, now: float) -> int:
        """Delete the messages that wait to be taken; return how many."""
        return self._write(f"DELETE FROM message WHERE {READY}", {"queue": queue, "now": now})  # noqa: S608 - ours

    # What would pile up

    def keep_queues(self, names: Sequence[str], now: float) -> list[str]:
        """Mark the temporary queues *names* as used; return those that are gone."""
        with self._transaction() as connection:
            return [
                name
                for name in names
                if not connection.execute(
                    "UPDATE queue SET expires_at = ? + unused_limit WHERE name = ?", (now, name)
                ).rowcount
            ]

    def sweep(self, now: float) -> None:
        """Delete expired messages and unused temporary queues, and give space back; an idle file is not written."""
        expired = "SELECT id FROM message WHERE expires_at <= :now AND leased_until <= :now LIMIT 1000"
        unused = "SELECT name FROM queue WHERE expires_at <= :now"
        free_pages = self._rows("PRAGMA freelist_count")[0][0]
        if not (self._rows(expired, {"now": now}) or self._rows(unused, {"now": now}) or free_pages > FREE_PAGES):
            return
        with self._transaction() as connection:
            connection.execute(f"DELETE FROM message WHERE id IN ({expired})", {"now": now})  # noqa: S608 - ours
            _drop_queues(connection, [name for (name,) in connection.execute(unused, {"now": now}).fetchall()])
        if free_pages > FREE_PAGES:
            # Step by step: a vacuum of all of it would hold up the others.
            self._rows(f"PRAGMA incremental_vacuum({FREE_PAGES})")

    # The connection

    def _rows(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        with self._statements() as connection:
            return connection.execute(statement, values).fetchall()

    def _write(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        with self._statements() as connection:
            return connection.execute(statement, values).rowcount

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        with self._statements(durable=durable) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _statements(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Hold the connection for one transaction; SQLite's own errors come out as QueueFileError."""
        with self._lock:
            try:
                connection = self._connection or self._connect()
                # A confirmed message survives a power cut. That a lease or an acknowledgement may be lost
                # with the power is harmless, as the message is then delivered again; it saves the disk a sync.
                synchronous = "FULL" if durable else "NORMAL"
                if synchronous != self._synchronous:
                    connection.execute(f"PRAGMA synchronous = {synchronous}")
                    self._synchronous = synchronous
                yield connection
            except sqlite3.DatabaseError as error:
                if type(error) not in (sqlite3.OperationalError, sqlite3.DatabaseError):
                    raise  # a mistake in this module, not a state of the file
                if _code(error) != sqlite3.SQLITE_BUSY:
                    self._disconnect()  # the next attempt starts from a fresh look at the file
                raise QueueFileError(_sentence(self.path, error)) from error

    def _connect(self) -> sqlite3.Connection:
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            raise QueueFileError(f"cannot make the queue file {self.path}: {error.strerror}") from error
        else:
            platforms.restrict_to_owner(self.path)  # SQLite gives its -wal and -shm files the same permissions
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, self.path)
        except BaseException:
            connection.close()
            raise
        self._identity = _identity(self.path)
        self._synchronous = ""
        self._connection = connection
        # Holds the connection as well, so that a child never closes what it has inherited by garbage collection.
        self._closer = weakref.finalize(self, _close_in, os.getpid(), connection)
        return connection

    def _disconnect(self) -> None:
        self._connection = self._identity = None
        if self._closer is not None:
            self._closer()
            self._closer = None

    def start_over_in_child(self) -> None:
        # SQLite (howtocorrupt.html, 2.6): a connection must neither be used nor closed on the other side of a fork.
        self._lock = threading.RLock()
        self._connection = self._closer = self._identity = None
        self.owner = _new_owner()
        self.inherited = True


def sqlite_version() -> str:
    return sqlite3.sqlite_version


def _matches(kind: str, key: str, arguments: str, routing_key: str, headers: Mapping[str, Any]) -> bool:
    """Tell whether a binding with *key* and *arguments* to an exchange of *kind* takes the message."""
    if kind == "topic":
        return topic_matches(key, routing_key)
    if kind == "headers":
        return headers_match(loads(arguments), headers)
    return kind == "fanout" or key == routing_key


def topic_matches(pattern: str, routing_key: str) -> bool:
    """AMQP 0-9-1, 3.1.3.3: words between dots, `*` is one word, `#` any number of them, also none."""
    return _words_match(pattern.split("."), routing_key.split("."))


def _words_match(pattern: Sequence[str], words: Sequence[str]) -> bool:
    if not pattern:
        return not words
    head, *rest = pattern
    if head == "#":
        return any(_words_match(rest, words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and head in ("*", words[0]) and _words_match(rest, words[1:])


def headers_match(wanted: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    """Match as RabbitMQ does: x-match is all (default), any, all-with-x or any-with-x; None asks for presence only."""
    mode = str(wanted.get("x-match", "all"))
    asked = {
        name: value
        for name, value in wanted.items()
        if name != "x-match" and (mode.endswith("-with-x") or not name.startswith("x-"))
    }
    hits = [name in headers and (value is None or headers[name] == value) for name, value in asked.items()]
    return any(hits) if mode.startswith("any") else all(hits)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    deadline = time.monotonic() + BUSY_TIMEOUT
    pause = threading.Event()
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has an effect on a file without tables only
                connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            # Several processes make the file at once: this statement does not wait for the others by itself.
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            pause.wait(0.02)
    connection.execute("PRAGMA journal_size_limit = 4194304")
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in TABLES:
                connection.execute(statement)
            connection.executemany("INSERT INTO exchange VALUES (?, ?)", STANDARD_EXCHANGES)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise QueueFileError(
                f"cannot use the queue file {path}: it was made by another version of the program"
                f" (tables {version}, this one knows {VERSION}); stop everything and move the file away,"
                " runs that wait in it are sent again"
            )
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _drop_queues(connection: sqlite3.Connection, names: Sequence[str]) -> None:
    for name in names:
        for statement in (
            "DELETE FROM message WHERE queue = ?",
            "DELETE FROM binding WHERE queue = ?",
            "DELETE FROM queue WHERE name = ?",
        ):
            connection.execute(statement, (name,))


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _sentence(path: Path, error: sqlite3.Error) -> str:
    damaged = "it is damaged; stop everything and move it away, runs that wait in it are sent again"
    reasons = {
        sqlite3.SQLITE_FULL: "the disk is full; make room, nothing is lost and work goes on by itself",
        sqlite3.SQLITE_BUSY: f"another process has kept it locked for {BUSY_TIMEOUT:g} s",
        sqlite3.SQLITE_READONLY: "it cannot be written to; check the permissions of the file and its folder",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that its folder exists and can be written to",
        sqlite3.SQLITE_CORRUPT: damaged,
        sqlite3.SQLITE_NOTADB: damaged,
    }
    return f"cannot use the queue file {path}: {reasons.get(_code(error), error)}"


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _new_owner() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


# Forking. The lock of every file is held meanwhile, so that no thread is inside SQLite at that moment:
# the child would inherit SQLite's locked mutexes and wait for them forever.

_open_files: weakref.WeakSet[QueueFile] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []
_forking = threading.Lock()
_held: list[QueueFile] = []


def _close_in(process: int, connection: sqlite3.Connection) -> None:
    if process == os.getpid():
        connection.close()
    else:
        _inherited.append(connection)


def _before_fork() -> None:
    _forking.acquire()
    _held[:] = list(_open_files)
    for file in _held:
        file._lock.acquire()  # noqa: SLF001 - the file's own fork handler


def _after_fork_in_parent() -> None:
    for file in _held:
        file._lock.release()  # noqa: SLF001 - as above
    _held.clear()
    _forking.release()


def _after_fork_in_child() -> None:
    global _forking  # noqa: PLW0603 - the inherited lock is held by a thread that does not exist here
    _forking = threading.Lock()
    for file in _held:
        file.start_over_in_child()
    _held.clear()


if hasattr(os, "register_at_fork"):  # where there is no fork there is nothing to do
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
