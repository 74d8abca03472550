"""Celery tasks as people write them, for the tests of tasks as jobs."""

import logging
import threading
import time

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from celery.utils.log import get_task_logger
from django.contrib.auth.models import User

from jobs import SecretText

started = threading.Event()
swallowed = threading.Event()


@shared_task
def add(x: int, y: int = 3, *, note: str = "none", loose=True, data=None):
    """Add two numbers.

    Args:
        x: The first one.
    """
    return {"sum": x + y, "note": note, "loose": loose, "data": data}


@shared_task(bind=True, name="shop.own-name", autoretry_for=(OSError,), soft_time_limit=60)
def bound(self, subject):
    return f"{self.name} {self.request.id} {subject!r}"


@shared_task
def count_users(prefix: str) -> int:
    logging.getLogger("shop").warning("looking for %s", prefix)
    get_task_logger(__name__).error("größe")
    other = threading.Thread(target=logging.getLogger("shop").warning, args=("of somebody else",))
    other.start()
    other.join()
    return User.objects.filter(username__startswith=prefix).count()


@shared_task
def fail():
    raise ValueError("the shelf is empty")


@shared_task
def wait(swallow: bool = False):
    started.set()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            time.sleep(0.01)
        except SoftTimeLimitExceeded:
            if not swallow:
                raise
            swallowed.set()
            return


@shared_task
def tell(password: SecretText):
    return password.get_secret_value()


@shared_task
def greedy(*args): ...
