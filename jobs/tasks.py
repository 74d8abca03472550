"""The Celery task that travels: it names a run, and the database says what that is."""

from typing import Any

from celery import shared_task
from django.conf import settings

from jobs import reception
from jobs.messages import TASK_NAME, unseal


@shared_task(bind=True, name=TASK_NAME, acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def run(self: Any, **said: object) -> None:
    """Claim and execute the run that the message names; `inbox` has looked at the message before."""
    request = self.request
    redelivered = bool((request.delivery_info or {}).get("redelivered"))
    reception.receive(unseal(settings.SECRET_KEY, said), worker=request.hostname or "", redelivered=redelivered)
