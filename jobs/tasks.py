"""The Celery task that travels: it names a run, and the database says what that is."""

import logging
from typing import Any

from celery import shared_task
from django.conf import settings

from jobs import executor
from jobs.messages import TASK_NAME, MessageError, unseal

logger = logging.getLogger(__name__)


@shared_task(bind=True, name=TASK_NAME, acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def run(self: Any, *, run_id: object = None, attempt: object = None, signature: object = None) -> None:
    """Claim and execute the run that the message names; refuse a message that was not signed here."""
    try:
        message = unseal(settings.SECRET_KEY, run_id=run_id, attempt=attempt, signature=signature)
    except MessageError as error:
        logger.warning("%s", error)
        return
    executor.execute(message.run_id, message.attempt, worker=self.request.hostname or "")
