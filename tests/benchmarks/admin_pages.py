"""One database: fill it, ask every page, print JSON, a line a page.

python -m tests.benchmarks.admin_pages SCHEDULES RUNS ROUNDS
"""

import json
import os
import statistics
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scheduler_app.settings")
django.setup()

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import path
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

from jobs.models import Run
from scheduler_app.urls import urlpatterns as own
from tests.benchmarks import filling, filling_history

LIST, HISTORY = "/admin/beat_config/schedule/", "/admin/jobs/run/"


class StockSchedules(ModelAdmin):
    list_display = ("name", "task", "enabled", "interval", "crontab", "last_run_at")
    list_filter = ("enabled",)
    search_fields = ("name",)
    list_per_page = 50


class StockRuns(ModelAdmin):
    list_display = ("id", "state", "schedule_name", "job", "fire_time", "started_at", "finished_at", "reason")
    list_filter = ("state", "origin")
    search_fields = ("schedule_name",)
    list_per_page = 50
    ordering = ("-id",)


stock = UnfoldAdminSite("stock")
stock.register(PeriodicTask, StockSchedules)
stock.register(Run, StockRuns)
urlpatterns = [*own, path("stock/", stock.urls)]


def pages(schedules, runs):
    last = schedules // 50
    yield "overview", "/admin/"
    yield "schedules", LIST
    yield "schedules, last page", f"{LIST}?page={last}"
    yield "schedules, words", f"{LIST}?q=schedule+99"
    yield "schedules, words that none has", f"{LIST}?q=zzz"
    yield "schedules, tag", f"{LIST}?tag=tag+3"
    yield "schedules, job", f"{LIST}?job=run_script"
    yield "schedules, failing", f"{LIST}?state=failing"
    yield "schedules, failing first", f"{LIST}?sort=failing"
    yield "schedules, failing first, in the middle", f"{LIST}?sort=failing&page={last // 2}"
    yield "schedules, next first", f"{LIST}?sort=next"
    yield "schedules, live part", f"{LIST}live/?" + "&".join(f"id={pk}" for pk in range(1, min(51, schedules)))
    yield "history", HISTORY
    yield "history, failed", f"{HISTORY}?state__exact=failed"
    yield "history, a deep page", f"{HISTORY}?p={runs // 100}"
    yield "stock schedules", "/stock/django_celery_beat/periodictask/"
    yield "stock schedules, last page", f"/stock/django_celery_beat/periodictask/?p={last}"
    yield "stock schedules, words", "/stock/django_celery_beat/periodictask/?q=schedule+99"
    yield "stock history", "/stock/jobs/run/"
    yield "stock history, failed", "/stock/jobs/run/?state__exact=failed"
    yield "stock history, a deep page", f"/stock/jobs/run/?p={runs // 100}"


def main(schedules, runs, rounds):
    settings.ROOT_URLCONF = __name__
    call_command("migrate", verbosity=0)
    now = timezone.now()
    filling.fill(schedules, due=min(10, schedules), at=now + filling.QUIET, now=now)
    filling_history.fill(runs, schedules, now)
    client = Client(HTTP_HOST="localhost")
    client.force_login(User.objects.create_superuser("ada"))
    for name, address in pages(schedules, runs):
        times = []
        for _ in range(rounds + 1):
            start = time.perf_counter()
            answer = client.get(address)
            times.append(time.perf_counter() - start)
            assert answer.status_code == 200, f"{address}: {answer.status_code}"
        # The first one compiles templates and fills caches.
        p95 = statistics.quantiles(times[1:], n=20)[-1] if rounds > 1 else times[1]
        print(
            json.dumps({"page": name, "p50": statistics.median(times[1:]), "p95": p95, "size": len(answer.content)}),
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
