"""Pausing all schedules, and resuming them, from the overview and the list of schedules."""

from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from beat_config import pausing
from jobs.permissions import RUN_SCHEDULE


@require_POST
@permission_required(RUN_SCHEDULE, raise_exception=True)
def pause(request: HttpRequest) -> HttpResponse:
    """Pause for one of `pausing.LABELS`, or until a moment."""
    now = timezone.now()
    try:
        length, at = request.POST.get("length", ""), request.POST.get("at", "")
        end = pausing.end_of(length, now, ZoneInfo(settings.TIME_ZONE), at)
    except ValueError as error:
        messages.error(request, str(error))
    else:
        pausing.pause(end, by=request.user.get_username(), now=now)
        messages.success(request, "Schedules are paused. Runs that are going on are not touched.")
    return redirect(_back(request))


@require_POST
@permission_required(RUN_SCHEDULE, raise_exception=True)
def resume(request: HttpRequest) -> HttpResponse:
    if pausing.resume(timezone.now(), by=request.user.get_username()):
        messages.success(request, "Schedules run again. What came due meanwhile is in the history as skipped.")
    return redirect(_back(request))


def _back(request: HttpRequest) -> str:
    """Return the page that the button was on."""
    page = request.POST.get("next", "")
    return page if url_has_allowed_host_and_scheme(page, allowed_hosts=None) else reverse("admin:index")
