"""The application's own services, made from its configuration: migrate, broker, web, beat, worker-1 … worker-n."""

import sys
from collections.abc import Mapping
from typing import Any

import psutil

from scheduler_app import platforms, pulse
from scheduler_app.broker import BrokerChoice, BrokerError, choose
from scheduler_app.config import Config
from scheduler_app.paths import Paths
from scheduler_app.supervisor.amqp_check import UnusableError
from scheduler_app.supervisor.loop import BROKER
from scheduler_app.supervisor.ports import reachable_host
from scheduler_app.supervisor.rabbitmq import PrivateNode
from scheduler_app.supervisor.readiness import file_pulse, http_ok, http_pulse, service_row
from scheduler_app.supervisor.service import BrokerInUse, Service, ServiceSet, SupervisorError
from scheduler_app.supervisor.states import Limits

MIGRATE = "migrate"
MIGRATE_LIMIT = 600.0
"""Seconds; a migration of a large history is slow but not stuck."""
BROKER_READY_LIMIT = 60.0
BROKER_STOP_LIMIT = 25.0
"""Seconds; the node ends itself after 20 (rabbitmq.HALT_AFTER)."""
PYTHON_READY_LIMIT = 60.0
"""Seconds for web, beat or a worker; a cold disk and a virus scanner need most of it to import Django."""
WORKER_HURRY_LIMIT = 10.0
"""Seconds for a worker to end its jobs, those that ignore it included, and to write it down."""
WORKER_STOP_MARGIN = 5.0
"""Seconds beyond worker.stop_limit, in which the worker writes down what became of its runs."""
HEALTH = "/health/"


def application_services(config: Config, paths: Paths, environment: Mapping[str, str], port: int) -> ServiceSet:
    """Return what runs for *config*; *environment* is what it was loaded with. Raises BrokerError."""
    choice = choose(config, paths)
    environment = {**environment, **config.as_environment()}
    if choice.kind != "private":
        kind = "rabbitmq" if choice.kind == "configured" else choice.kind
        return _Maker(config, paths, environment, port).make(BrokerInUse(kind, choice.reason), None)
    return _with_private_node(config, paths, environment, port, choice)


def _with_private_node(
    config: Config, paths: Paths, environment: Mapping[str, str], port: int, choice: BrokerChoice
) -> ServiceSet:
    installation = platforms.find_rabbitmq()
    assert installation is not None  # noqa: S101  # choose() said so
    node = PrivateNode(installation, paths)

    def without(reason: str) -> ServiceSet:
        node.distrust_store()
        embedded = {**environment, "SCHEDULER_BROKER_KIND": "embedded"}
        in_use = BrokerInUse("embedded", f"the private RabbitMQ node did not become ready: {reason} (see broker.log)")
        return _Maker(config, paths, embedded, port).make(in_use, None)

    services = _Maker(config, paths, environment, port).make(
        BrokerInUse("private", choice.reason), private_node(node, environment)
    )
    may_fall_back = config.broker.kind == "auto"
    return ServiceSet(services.services, services.broker, without if may_fall_back else None)


def private_node(node: PrivateNode, environment: Mapping[str, str]) -> Service:
    def prepare() -> None:
        try:
            node.write_configuration()
        except (BrokerError, psutil.Error) as error:
            raise SupervisorError(str(error)) from error

    def probe(_instance: str) -> bool:
        try:
            return node.is_ready()
        except UnusableError as error:
            raise SupervisorError(f"it cannot be used with its message store: {error}") from error

    return Service(
        name=BROKER,
        step="Starting the message broker",
        argv=tuple(node.argv()),
        environment=node.environment(environment),
        probe=probe,
        # Needs nothing: RabbitMQ boots while the database is prepared.
        limits=Limits(ready=BROKER_READY_LIMIT, stop=BROKER_STOP_LIMIT),
        prepare=prepare,
    )


class _Maker:
    def __init__(self, config: Config, paths: Paths, environment: Mapping[str, str], port: int) -> None:
        self._config = config
        self._environment = environment
        self._port = port
        url = config.database.url
        self._pulses = paths.run
        self._has_row = service_row(url.reveal() if url is not None else None, paths.database)

    def make(self, in_use: BrokerInUse, broker: Service | None) -> ServiceSet:
        brokers = [broker] if broker is not None else []
        uses = frozenset(service.name for service in brokers)
        services = [self._migrate(), *brokers, self._web(), self._beat(uses)]
        services += [self._worker(number, uses) for number in range(1, self._config.worker.processes + 1)]
        return ServiceSet(tuple(services), in_use)

    def _migrate(self) -> Service:
        return Service(
            MIGRATE,
            "Preparing the database",
            self._launched("scheduler_app.migrate"),
            self._environment,
            limits=Limits(ready=MIGRATE_LIMIT, runs_once=True),
        )

    def _web(self) -> Service:
        return Service(
            "web",
            "Starting the web server",
            self._launched("scheduler_app.web.server", "--port", str(self._port)),
            self._environment,
            probe=http_ok(reachable_host(self._config.web.host), self._port, HEALTH),
            pulse=http_pulse(reachable_host(self._config.web.host), self._port, HEALTH),
            needs=frozenset({MIGRATE}),
            limits=Limits(ready=PYTHON_READY_LIMIT),
        )

    def _beat(self, uses: frozenset[str]) -> Service:
        return self._with_pulse(
            "beat",
            "Starting beat",
            self._celery("beat"),
            probe=self._has_row,
            needs=frozenset({MIGRATE}),
            # Records what is due without a broker, and sends it when there is one.
            uses=uses,
            limits=Limits(ready=PYTHON_READY_LIMIT),
        )

    def _worker(self, number: int, uses: frozenset[str]) -> Service:
        name = f"worker-{number}"
        return self._with_pulse(
            name,
            f"Starting worker {number}",
            self._celery("worker", f"--hostname={name}@%h"),
            probe=self._has_row,
            needs=frozenset({MIGRATE}),
            # Ready only when it is connected, but half of its start is Python's imports, meanwhile.
            uses=uses,
            limits=Limits(
                ready=PYTHON_READY_LIMIT,
                stop=self._config.worker.stop_limit + WORKER_STOP_MARGIN,
                insist=WORKER_HURRY_LIMIT,
            ),
        )

    def _with_pulse(self, name: str, step: str, argv: tuple[str, ...], **options: Any) -> Service:
        file = self._pulses / f"{name}.pulse"
        environment = {**self._environment, pulse.VARIABLE: str(file)}
        return Service(name, step, argv, environment, pulse=file_pulse(file), prepare=file.touch, **options)

    def _celery(self, verb: str, *options: str) -> tuple[str, ...]:
        level = f"--loglevel={self._config.logs.level.upper()}"
        return self._launched("celery", "-A", "scheduler_app", verb, level, *options)

    def _launched(self, module: str, *arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "scheduler_app.launch", module, *arguments)
