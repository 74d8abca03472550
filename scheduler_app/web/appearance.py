"""Unfold's settings: names, navigation and the start page's contents."""

from collections.abc import Callable

from django.http import HttpRequest
from django.urls import reverse_lazy


def _for(permission: str) -> Callable[[HttpRequest], bool]:
    """Return who sees an item: those with *permission*; the page itself asks for it again."""
    return lambda request: request.user.has_perm(permission)


UNFOLD = {
    "SITE_TITLE": "Scheduler",
    "SITE_HEADER": "Scheduler",
    "SITE_SYMBOL": "schedule",
    "SITE_ICON": "/static/web/icon.svg",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "/static/web/icon.svg"}],
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": ["/static/web/scheduler.css", "/static/web/people.css"],
    "DASHBOARD_CALLBACK": "scheduler_app.web.dashboard.dashboard",
    "COLORS": {
        "primary": {
            "50": "oklch(97.7% .013 236)",
            "100": "oklch(95.1% .026 236)",
            "200": "oklch(90.1% .058 236)",
            "300": "oklch(82.8% .111 236)",
            "400": "oklch(74.6% .15 236)",
            "500": "oklch(66% .155 240)",
            "600": "oklch(55% .15 243)",
            "700": "oklch(47% .13 244)",
            "800": "oklch(42% .11 243)",
            "900": "oklch(37% .09 242)",
            "950": "oklch(27% .066 243)",
        },
    },
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    {"title": "Overview", "icon": "space_dashboard", "link": reverse_lazy("admin:index")},
                    {
                        "title": "Schedules",
                        "icon": "event_repeat",
                        "link": reverse_lazy("admin:beat_config_schedule_changelist"),
                        "permission": _for("beat_config.view_schedule"),
                    },
                    {
                        "title": "Calendar",
                        "icon": "date_range",
                        "link": reverse_lazy("calendar"),
                        "permission": _for("jobs.view_run"),
                    },
                    {
                        "title": "Blackouts",
                        "icon": "event_busy",
                        "link": reverse_lazy("admin:beat_config_blackout_changelist"),
                        "permission": _for("beat_config.view_blackout"),
                    },
                    {
                        "title": "Secrets",
                        "icon": "key",
                        "link": reverse_lazy("admin:jobs_secret_changelist"),
                        "permission": _for("jobs.view_secret"),
                    },
                    {
                        "title": "Runs",
                        "icon": "history",
                        "link": reverse_lazy("admin:jobs_run_changelist"),
                        "permission": _for("jobs.view_run"),
                    },
                    {
                        "title": "Refused messages",
                        "icon": "unsubscribe",
                        "link": reverse_lazy("admin:jobs_refusedmessage_changelist"),
                        "permission": _for("jobs.view_refusedmessage"),
                    },
                ],
            },
            {
                "title": "People",
                "separator": True,
                "items": [
                    {
                        "title": "Users",
                        "icon": "person",
                        "link": reverse_lazy("admin:auth_user_changelist"),
                        "permission": _for("auth.view_user"),
                    },
                    {
                        "title": "Groups",
                        "icon": "group",
                        "link": reverse_lazy("admin:auth_group_changelist"),
                        "permission": _for("auth.view_group"),
                    },
                    {
                        "title": "Alert channels",
                        "icon": "notifications",
                        "link": reverse_lazy("admin:beat_config_alertchannel_changelist"),
                        "permission": _for("beat_config.view_alertchannel"),
                    },
                    {
                        "title": "System",
                        "icon": "info",
                        "link": reverse_lazy("system"),
                        "permission": _for("jobs.view_service"),
                    },
                    {
                        "title": "Audit log",
                        "icon": "manage_search",
                        "link": reverse_lazy("admin:jobs_auditentry_changelist"),
                        "permission": _for("jobs.view_auditentry"),
                    },
                ],
            },
        ],
    },
}
