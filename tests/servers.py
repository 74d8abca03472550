"""Real servers for tests, each on 127.0.0.1 and a free port, gone when the `with` block ends."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from kombu import Connection

from scheduler_app import platforms
from scheduler_app.broker import node_credentials
from scheduler_app.paths import Paths
from scheduler_app.supervisor.rabbitmq import PrivateNode
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0


class MissingServer(Exception):  # noqa: N818 - it is not the test that is wrong
    """A server's programs are not installed on this machine; str() says which."""


@cache
def missing(server: str) -> str | None:
    """Return why *server* (rabbitmq, postgresql, chromium, dbus, …) cannot be used here; None when it can."""
    try:
        _CHECKS[server]()
    except MissingServer as reason:
        return str(reason)
    return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgresql(folder: Path | None = None, *, durable: bool = False) -> Iterator[str]:
    """Run a fresh PostgreSQL cluster; yield postgresql://user:password@127.0.0.1:port/database.

    The cluster lives in *folder*, or in one of its own when there is none or when we are root: PostgreSQL
    refuses to run as root, and the user it then runs as cannot enter root's pytest folders.
    What is committed survives a power cut only when *durable*. Raises MissingServer when initdb or postgres is not installed.
    """
    programs = _postgresql_programs()
    identity = _unprivileged_identity()
    own = tempfile.mkdtemp(prefix="pg-") if folder is None or identity else None
    base = Path(own) if own else folder
    assert base is not None
    base.mkdir(parents=True, exist_ok=True)
    try:
        if identity:
            os.chown(base, identity["user"], identity["group"])
        password = secrets.token_hex(12)
        data = _initdb(programs / "initdb", base, password, identity)
        with _postgres(programs / "postgres", data, identity, durable=durable) as (process, port):
            server = f"postgresql://scheduler:{password}@127.0.0.1:{port}"
            wait_until(
                lambda: _accepts(f"{server}/postgres", process, data), START_TIMEOUT, "PostgreSQL accepts logins"
            )
            with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE scheduler")
            yield f"{server}/scheduler"
    finally:
        if own:
            shutil.rmtree(own, ignore_errors=True)


def _postgresql_programs() -> Path:
    candidates = [Path(found).resolve().parent for name in ("postgres",) if (found := shutil.which(name))]
    # Debian keeps the server's programs out of PATH, one folder a version; the newest first.
    packaged = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(packaged, key=lambda path: [int(part) for part in path.parent.name.split(".")], reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise MissingServer("PostgreSQL's initdb and postgres are neither in PATH nor in /usr/lib/postgresql/*/bin")


def _unprivileged_identity() -> dict[str, Any]:
    """What subprocess needs to leave root behind; empty when we are not root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    import pwd

    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return {"user": known[name].pw_uid, "group": known[name].pw_gid, "extra_groups": []}
    raise MissingServer("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")


def _initdb(initdb: Path, base: Path, password: str, identity: dict[str, Any]) -> Path:
    data = base / "data"
    password_file = base / "password"
    password_file.write_text(password)
    password_file.chmod(0o600)
    if identity:
        os.chown(password_file, identity["user"], identity["group"])
    settings = ["--auth=scram-sha-256", "--username=scheduler", "--encoding=UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run(
        [str(initdb), *settings, f"--pwfile={password_file}", "-D", str(data)],
        capture_output=True,
        text=True,
        cwd=base,
        check=False,
        **identity,
    )
    assert done.returncode == 0, f"initdb failed: {done.stderr}"
    return data


@contextmanager
def _postgres(
    postgres: Path, data: Path, identity: dict[str, Any], *, durable: bool
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    written = "on" if durable else "off"
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        **dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), written),
        "shared_buffers": "128MB" if durable else "32MB",
        "max_connections": "60",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (data.parent / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(postgres), "-D", str(data), "-p", str(port), *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=data.parent,
            start_new_session=True,
            **identity,
        )
    try:
        yield process, port
    finally:
        process.send_signal(signal.SIGINT)  # PostgreSQL's "fast" shutdown: open sessions are ended
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _accepts(url: str, process: subprocess.Popen[bytes], data: Path) -> bool:
    log = data.parent / "log"
    assert process.poll() is None, f"PostgreSQL ended with code {process.returncode}: {log.read_text()}"
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


@dataclass
class RunningNode:
    """A private RabbitMQ node that is ready; `tree.popen.stdin` is its lifeline."""

    node: PrivateNode
    tree: platforms.ProcessTree
    log: Path

    @property
    def url(self) -> str:
        return node_credentials(self.node.paths).url().reveal()

    def stop(self) -> int:
        """Close the lifeline; return the exit code."""
        assert self.tree.popen.stdin is not None
        self.tree.popen.stdin.close()
        return self.tree.popen.wait(STOP_TIMEOUT)


@contextmanager
def rabbitmq(folder: Path, *options: str) -> Iterator[RunningNode]:
    """Run a private node in the data folder *folder*, which may be used again; yield it when it is ready.

    *options* are added to its command line.

    Raises MissingServer when RabbitMQ or Erlang is not installed.
    """
    node = private_node(folder)
    node.write_configuration()
    log = folder / "rabbitmq.log"
    with log.open("ab") as output:
        tree = platforms.spawn(
            [*node.argv(), *options], env=node.environment(), stdout=output, stderr=subprocess.STDOUT
        )
    running = RunningNode(node, tree, log)
    try:
        wait_until(lambda: _has_come_up(running), START_TIMEOUT, "the RabbitMQ node is ready")
        yield running
        if tree.popen.poll() is None:
            running.stop()
    finally:
        tree.kill()
        tree.popen.wait(STOP_TIMEOUT)
        assert tree.popen.stdin is not None
        tree.popen.stdin.close()
        tree.close()


class Restarting:
    """A private node that a test kills and starts again; started when it is made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        self._stack = ExitStack()
        self._running = self._stack.enter_context(rabbitmq(self._folder))
        self.url = self._running.url

    def kill(self) -> None:
        self._running.tree.kill()
        self._running.tree.popen.wait(STOP_TIMEOUT)
        self._stack.close()

    def stop(self) -> None:
        self._stack.close()

    def messages(self, queue: str) -> int:
        """Return how many messages wait in *queue*, not counting those that workers hold."""
        with Connection(self.url) as connection:
            return int(connection.default_channel.queue_declare(queue=queue, passive=True).message_count)


def private_node(folder: Path) -> PrivateNode:
    """Return the node of the data folder *folder*, not started."""
    return PrivateNode(_installation(), Paths(data=folder, jobs=folder / "jobs"))


def _installation() -> platforms.RabbitMQInstallation:
    installation = platforms.find_rabbitmq()
    if installation is None:
        raise MissingServer(f"RabbitMQ is not installed: {platforms.rabbitmq_install_hint()}")
    return installation


def _has_come_up(running: RunningNode) -> bool:
    code = running.tree.popen.poll()
    assert code is None, f"the node ended with code {code}: {running.log.read_text()[-3000:]}"
    return running.node.is_ready()


def chromium() -> str:
    """Return the path of the system's Chromium or Chrome; raises MissingServer when there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise MissingServer("Chromium is not installed")


def windows_python() -> Path:
    """Return the Windows Python under wine; raises MissingServer when there is none."""
    if shutil.which("wine") is None:
        raise MissingServer("wine is not installed")
    python = ROOT / ".venv-test-wine" / "python" / "python.exe"
    # The stamp is written last: without it the installation is not complete.
    if not (ROOT / ".venv-test-wine" / "scheduler-app-installed").exists():
        raise MissingServer("there is no Windows Python in .venv-test-wine; python3 packaging/test.py makes it")
    return python


def dbus_daemon() -> str:
    """Return the path of D-Bus's message bus; raises MissingServer when there is none."""
    if found := shutil.which("dbus-daemon"):
        return found
    raise MissingServer("dbus-daemon is not installed")


def systemd_analyze() -> str:
    """Return the path of systemd's checker of units; raises MissingServer when there is none."""
    if found := shutil.which("systemd-analyze"):
        return found
    raise MissingServer("systemd-analyze is not installed")


# Debian's PyGObject.
PYGOBJECT = Path("/usr/lib/python3/dist-packages/gi")


def appindicator() -> Path:
    """Return the system's PyGObject, where it, an AppIndicator library and Xvfb are there; raises MissingServer."""
    if not any(Path("/usr/lib").glob("*/girepository-1.0/AyatanaAppIndicator3-*.typelib")):
        raise MissingServer("gir1.2-ayatanaappindicator3-0.1 is not installed")
    if shutil.which("Xvfb") is None:
        raise MissingServer("Xvfb is not installed")
    if not PYGOBJECT.exists():
        raise MissingServer("python3-gi is not installed")
    return PYGOBJECT


def xfce4_panel() -> str:
    """Return the path of Xfce's panel, where Xvfb is there, too; raises MissingServer."""
    if shutil.which("Xvfb") is None:
        raise MissingServer("Xvfb is not installed")
    if found := shutil.which("xfce4-panel"):
        return found
    raise MissingServer("xfce4-panel is not installed")


# Commands behind this may mount what they like, and nobody else sees it; only Linux lets an ordinary user do so.
WITH_OWN_DISKS = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


def own_disks() -> None:
    """Raise MissingServer where this system lets nobody mount a disk of their own."""
    try:
        done = subprocess.run([*WITH_OWN_DISKS, "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    except FileNotFoundError:
        raise MissingServer("unshare is not installed") from None
    if done.returncode != 0:
        raise MissingServer(f"this system lets nobody mount a disk of their own: {done.stderr.decode().strip()}")


def root() -> None:
    """Raise MissingServer where other users' processes cannot be started."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise MissingServer("only root can start processes of other users")


_CHECKS: dict[str, Callable[[], object]] = {
    "rabbitmq": _installation,
    "postgresql": lambda: (_postgresql_programs(), _unprivileged_identity()),
    "chromium": chromium,
    "wine": windows_python,
    "dbus": dbus_daemon,
    "appindicator": appindicator,
    "xfce4-panel": xfce4_panel,
    "systemd": systemd_analyze,
    "own disks": own_disks,
    "root": root,
}
