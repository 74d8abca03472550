from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from beat_config.run_again import run_again
from scheduler_app.api import hooks, openapi
from scheduler_app.api.v1 import api
from scheduler_app.web import desktop, pausing
from scheduler_app.web.calendar import calendar
from scheduler_app.web.health import health
from scheduler_app.web.login import login_link
from scheduler_app.web.system import system

admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("health/", health, name="health"),
    path("login/", login_link, name="login-link"),
    path("desktop/activity/", desktop.activity, name="desktop-activity"),
    path("desktop/run/", desktop.run_schedule, name="desktop-run"),
    path("desktop/cancel/", desktop.cancel_run, name="desktop-cancel"),
    path("desktop/pause/", desktop.pause_schedules, name="desktop-pause"),
    path("desktop/resume/", desktop.resume_schedules, name="desktop-resume"),
    path("api/v1/openapi.json", openapi.openapi_json, name="api-openapi"),
    path("api/v1/docs", openapi.docs, name="api-docs"),
    path("api/v1/", api.urls),
    path("hooks/<str:text>", hooks.receive, name="web-hook"),
    path("admin/system/", admin.site.admin_view(system), name="system"),
    path("admin/pause/", admin.site.admin_view(pausing.pause), name="pause"),
    path("admin/resume/", admin.site.admin_view(pausing.resume), name="resume"),
    path("admin/calendar/", admin.site.admin_view(calendar), name="calendar"),
    path("admin/run-again/<int:run_id>/", admin.site.admin_view(run_again), name="run-again-edited"),
    path("admin/", admin.site.urls),
]
