"""Pausing all schedules, and resuming them, from the overview."""

from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from beat_config import pausing
from jobs.permissions import RUN_SCHEDULE


@require_POST
@permission_required(RUN_SCHEDULE, raise_exception=True)
def pause(request: HttpRequest) -> HttpResponse:
    """Pause for one of `pausing.LABELS`."""
    now = timezone.now()
    try:
        end = pausing.end_of(request.POST.get("length", ""), now, ZoneInfo(settings.TIME_ZONE))
    except ValueError as error:
        messages.error(request, str(error))
    else:
        pausing.pause(end, by=request.user.get_username(), now=now)
        messages.success(request, "Schedules are paused. Runs that are going on are not touched.")
    return redirect("admin:index")


@require_POST
@permission_required(RUN_SCHEDULE, raise_exception=True)
def resume(request: HttpRequest) -> HttpResponse:
    if pausing.resume(timezone.now(), by=request.user.get_username()):
        messages.success(request, "Schedules run again. What came due meanwhile is in the history as skipped.")
    return redirect("admin:index")
