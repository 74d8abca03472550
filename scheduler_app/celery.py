"""The Celery application: `celery -A scheduler_app worker`, `celery -A scheduler_app beat`."""

import os
from typing import Any

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_app.settings")

from django.conf import settings

from jobs import topology
from scheduler_app import broker, embedded_transport, platforms, routing

# Seconds. A connection that was cut without a word is given up after two of them without a sign, so that a worker is
# back within 10 s of its broker.
HEARTBEAT = 3
CONNECT_TIMEOUT = 3

CHOICE = broker.choose(settings.SCHEDULER, settings.SCHEDULER_PATHS)

embedded_transport.register()


def _configuration() -> dict[str, object]:
    config = settings.SCHEDULER
    pool = platforms.default_pool() if config.worker.pool == "auto" else config.worker.pool
    embedded = CHOICE.kind == "embedded"
    kind = "classic" if embedded else "quorum"
    return {
        "broker_url": CHOICE.url.reveal(),
        "owns_broker": CHOICE.kind == "private",  # ours, not Celery's
        "broker_connection_retry_on_startup": True,
        # The worker would otherwise exit for good after 100 tries.
        "broker_connection_max_retries": None,
        "broker_connection_timeout": CONNECT_TIMEOUT,
        "broker_heartbeat": HEARTBEAT,
        "broker_channel_error_retry": True,
        "broker_transport_options": {"lease": config.worker.lease} if embedded else {},
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_ignore_result": True,
        "task_queues": topology.read_by(config.worker, quorum=not embedded),
        "task_default_queue": routing.DEFAULT_QUEUE,
        "task_default_queue_type": kind,
        "task_default_exchange": routing.QUEUES,
        "task_create_missing_queue_type": kind,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_consumer": "scheduler_app.worker_consumer:WorkerConsumer",
        "worker_pool": pool,
        "worker_concurrency": 1 if pool == "solo" else config.worker.concurrency or 4,
        "worker_hijack_root_logger": True,
        "beat_scheduler": "beat_config.scheduler:DueScheduler",
        "timezone": settings.TIME_ZONE,
        "enable_utc": True,
    }


class Application(Celery):  # type: ignore[misc]  # Celery has no types
    """Connects to where the broker is now: a private node whose port was taken meanwhile is at another one."""

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        return super().connection_for_read(url or self.broker_address(), **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        return super().connection_for_write(url or self.broker_address(), **options)

    def broker_address(self) -> str:
        # Only the address: a RabbitMQ that is being upgraded is missing for a moment, and another kind of broker
        # would be chosen by this process alone.
        known = broker.node_credentials(settings.SCHEDULER_PATHS).url() if CHOICE.kind == "private" else CHOICE.url
        return known.reveal()


app = Application("scheduler_app", amqp=topology.RunAMQP)
app.conf.update(_configuration())
app.autodiscover_tasks(["jobs"])
