"""A RabbitMQ node of our own: started through `erl` itself as the current user, on loopback only.

No epmd and no listener for Erlang's distribution, so nothing but AMQP listens and several installations live
side by side, next to a system's RabbitMQ. The node ends when its stdin closes, so it cannot outlive who started it.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil

from scheduler_app import platforms
from scheduler_app.broker import NodeCredentials, node_credentials, node_credentials_with_free_port
from scheduler_app.broker_store import feature_flags_of, set_aside, store_of
from scheduler_app.paths import Paths
from scheduler_app.platforms import RabbitMQInstallation
from scheduler_app.supervisor import amqp_check

NODE_NAME = "scheduler@localhost"  # fixed: the store belongs to a node name, and machines change theirs
# Starts in a row that lead to nothing, after which it is the store that is to blame. One may be a port just taken.
VAIN_STARTS = 2
PREDECESSOR_TIMEOUT = 10.0  # seconds a node of ours gets to end by itself, before it is killed
STOP_LIMIT = 15_000  # milliseconds that an orderly end may take; what was confirmed survives a halt too
ORPHAN_STOP_LIMIT = 5_000  # the same when whoever started the node is gone
CONSUMER_TIMEOUT = 30 * 24 * 3600 * 1000  # milliseconds; the default of 30 minutes is shorter than many a job

# Reads stdin from the first moment of the boot on. "stop" (115, 116, 111, 112; numbers need no quotes on a Windows
# command line) or the end of the file ends the node.
LIFELINE = (
    "spawn(fun() -> "
    "Wait = fun(Again) -> case io:get_line([]) of "
    f"[115, 116, 111, 112 | _] -> {STOP_LIMIT}; eof -> {ORPHAN_STOP_LIMIT}; {{error, _}} -> {ORPHAN_STOP_LIMIT}; "
    "_ -> Again(Again) end end, "
    "Limit = Wait(Wait), "
    "spawn(fun() -> timer:sleep(Limit), erlang:halt(1, [{flush, false}]) end), "
    # Writes a window title to standard output; with nobody there to read it fails again and again, and the end hangs.
    "catch supervisor:terminate_child(rabbit_boot_state_sup, xterm_titlebar), "
    "init:stop() end)."
)

# A store that cannot be used makes Mnesia write its cores into the current folder, which is the person's.
WORKING_FOLDER = f"file:set_cwd(os:getenv({list(b'RABBITMQ_BASE')}))."

# A quorum queue that was made in the seconds before a kill -9 comes back without its log and, being alone, never
# elects a leader (seen with RabbitMQ 3.10.8): every use of it would time out. This makes it an empty queue.
ELECTION = "catch [ra:trigger_election({Name, node()}) || {Name, _} <- ra_directory:list_registered(quorum_queues)]."

# Would start epmd after a minute, on every interface, although nobody is to find this node.
NO_EPMD = "catch supervisor:terminate_child(rabbit_sup, rabbit_epmd_monitor_sup)."

# As RabbitMQ's own start script has them, and: no busy waiting, two schedulers instead of one a core.
EMULATOR_OPTIONS = (
    *("+W", "w", "+B", "i", "+S", "2:2", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"),
    *("+MBas", "ageffcbf", "+MHas", "ageffcbf", "+MBlmbcs", "512", "+MHlmbcs", "512", "+MMmcs", "30"),
)


class PrivateNode:
    """How to start the node of one data folder, and whether it answers. Whoever starts it owns the process."""

    def __init__(self, installation: RabbitMQInstallation, paths: Paths) -> None:
        self.installation = installation
        self.paths = paths
        self.folder = paths.rabbitmq
        self._vain_starts = 0  # since the node could be used
        self._distrusted = self.folder / "store-is-not-trusted"

    def argv(self) -> list[str]:
        """Return the command; its stdin is the lifeline and must be a pipe. The same at every start."""
        return [
            str(self.installation.erl),
            *EMULATOR_OPTIONS,
            *("-noshell", "-boot", "start_sasl"),
            *("-eval", WORKING_FOLDER, "-eval", LIFELINE, "-s", "rabbit", "boot", "-eval", ELECTION, "-eval", NO_EPMD),
            *("-sname", NODE_NAME, "-start_epmd", "false", "-dist_listen", "false"),
            # Nothing listens there; RabbitMQ asks for the number while it boots, and would wait for epmd's answer.
            *("-erl_epmd_port", "1"),
            *(
                "-kernel",
                "inet_dist_use_interface",
                "{127,0,0,1}",
                "-kernel",
                "prevent_overlapping_partitions",
                "false",
            ),
            *("-syslog", "logger", "[]", "-syslog", "syslog_error_logger", "false"),
            # Means nothing to Erlang; by it we know our own node again.
            *("-scheduler_app", self.folder.as_posix()),
        ]

    def environment(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the node's whole environment, the same at every start; no setting of a system's RabbitMQ gets in."""
        user = node_credentials(self.paths).user
        home = self.folder / "home"
        own = {
            "HOME": str(home),
            # Windows' Erlang looks for the cookie here; elsewhere there is no drive and nothing reads them.
            **({"HOMEDRIVE": home.drive, "HOMEPATH": str(home)[len(home.drive) :]} if home.drive else {}),
            "ERL_LIBS": str(self.installation.home / "plugins"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",  # should anything start it after all
            "ERL_CRASH_DUMP_SECONDS": "0",  # none is written
            "ERL_MAX_PORTS": "4096",
            "ERL_MAX_ETS_TABLES": "50000",
            "RABBITMQ_BASE": self.folder.as_posix(),
            "RABBITMQ_NODENAME": NODE_NAME,
            "RABBITMQ_CONF_ENV_FILE": self._file("env.conf"),
            "RABBITMQ_CONFIG_FILE": self._file("rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": self._file("advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": self._file("enabled_plugins"),
            "RABBITMQ_PLUGINS_DIR": (self.installation.home / "plugins").as_posix(),
            "RABBITMQ_PLUGINS_EXPAND_DIR": self._file("plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": self._file("generated"),
            "RABBITMQ_FEATURE_FLAGS_FILE": feature_flags_of(self.paths, user).as_posix(),
            "RABBITMQ_MNESIA_BASE": self._file("store"),
            "RABBITMQ_MNESIA_DIR": store_of(self.paths, user).as_posix(),
            "RABBITMQ_LOG_BASE": self._file("log"),
            # Not standard output: nobody reads it when the supervisor was killed, and the end may hang, writing there.
            # What keeps the node from starting is written to standard output all the same.
            "RABBITMQ_LOGS": self._file("log/node.log"),
            "RABBITMQ_PID_FILE": self._file("node.pid"),
        }
        foreign = ("RABBITMQ_", "ERL_", "ERLANG_")
        return {**{name: value for name, value in environ.items() if not name.upper().startswith(foreign)}, **own}

    def write_configuration(self) -> None:
        """Make everything ready for a start; waits for an earlier node of this folder to end, or ends it.

        Picks and stores a new port when somebody else has taken the node's own, and sets a store aside with which
        the node could not be used. Raises BrokerError.
        """
        self._end_predecessor()
        for core in self.folder.glob("MnesiaCore.*"):
            core.unlink(missing_ok=True)
        credentials = node_credentials_with_free_port(self.paths)
        if self._vain_starts >= VAIN_STARTS or self._distrusted.exists():
            self._vain_starts = 0
            set_aside(self.paths, credentials.user, datetime.now(UTC).astimezone())
            self._distrusted.unlink(missing_ok=True)
        self._vain_starts += 1
        for name in ("home", "store", "log", "plugins", "generated"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        # Erlang insists on a cookie that nobody else can read; on the command line everybody could.
        _write_private(self.folder / "home" / ".erlang.cookie", credentials.cookie, mode=0o400)
        _write_private(self.folder / "rabbitmq.conf", _configuration(credentials))
        _write_private(self.folder / "enabled_plugins", "[].\n")
        _write_private(self.folder / "advanced.config", "[].\n")
        _write_private(self.folder / "env.conf", "")

    def distrust_store(self) -> None:
        """Have the next start, perhaps another day, begin with a new store: this one hangs and is being given up."""
        self._distrusted.touch()

    def is_ready(self) -> bool:
        """Tell whether our node takes a message from our user in our vhost, not just whether a port is open.

        Raises UnusableError when it has started with a store that cannot be used.
        """
        try:
            amqp_check.check(node_credentials(self.paths))
        except OSError:
            return False
        except amqp_check.UnusableError:
            self._vain_starts = VAIN_STARTS
            raise
        self._vain_starts = 0
        return True

    def _file(self, name: str) -> str:
        return (self.folder / name).as_posix()

    def _end_predecessor(self) -> None:
        # Two nodes on one store damage it. A node whose supervisor was killed is on its way out.
        for process in self._running_nodes():
            with suppress(psutil.NoSuchProcess):
                try:
                    process.wait(PREDECESSOR_TIMEOUT)
                except psutil.TimeoutExpired:
                    process.kill()
                    process.wait(PREDECESSOR_TIMEOUT)

    def _running_nodes(self) -> list[psutil.Process]:
        mark = ["-scheduler_app", self.folder.as_posix()]
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if _contains(process.info["cmdline"] or [], mark) and process.pid != os.getpid()
        ]


def _contains(arguments: list[str], wanted: list[str]) -> bool:
    return any(arguments[start : start + len(wanted)] == wanted for start in range(len(arguments)))


def _configuration(credentials: NodeCredentials) -> str:
    user = credentials.user
    return f"""\
listeners.tcp.1 = 127.0.0.1:{credentials.port}
num_acceptors.tcp = 2
default_user = {user}
default_pass = {credentials.password}
default_vhost = {credentials.vhost}
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
loopback_users.{user} = true
consumer_timeout = {CONSUMER_TIMEOUT}
vm_memory_high_watermark.absolute = 256MiB
disk_free_limit.absolute = 200MB
mnesia_table_loading_retry_timeout = 10000
mnesia_table_loading_retry_limit = 2
log.console = false
log.file.level = info
log.file.rotation.size = 5000000
log.file.rotation.count = 3
log.connection.level = warning
"""


def _write_private(path: Path, text: str, mode: int = 0o600) -> None:
    if path.exists():
        path.chmod(0o600)  # Windows does not delete what is read-only
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(text)
    platforms.restrict_to_owner(path)
    path.chmod(mode)
