"""The Celery application: `celery -A scheduler_app worker`, `celery -A scheduler_app beat`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_app.settings")

from django.conf import settings

from jobs import topology
from scheduler_app import broker, embedded_transport, platforms, routing

embedded_transport.register()


def _configuration() -> dict[str, object]:
    config = settings.SCHEDULER
    choice = broker.choose(config, settings.SCHEDULER_PATHS)
    pool = platforms.default_pool() if config.worker.pool == "auto" else config.worker.pool
    embedded = choice.kind == "embedded"
    kind = "classic" if embedded else "quorum"
    return {
        "broker_url": choice.url.reveal(),
        "broker_connection_retry_on_startup": True,
        # The worker would otherwise exit for good after 100 tries.
        "broker_connection_max_retries": None,
        # A solo worker cannot send heartbeats while it runs a job, and RabbitMQ would deliver the job again.
        "broker_heartbeat": 0 if pool == "solo" else 30,
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


app = Celery("scheduler_app", amqp=topology.RunAMQP)
app.conf.update(_configuration())
app.autodiscover_tasks(["jobs"])
