"""Unfold's settings: names, navigation and the start page's contents."""

from django.urls import reverse_lazy

UNFOLD = {
    "SITE_TITLE": "Scheduler",
    "SITE_HEADER": "Scheduler",
    "SITE_SYMBOL": "schedule",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "/static/web/icon.svg"}],
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": ["/static/web/scheduler.css"],
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
                        "icon": "calendar_month",
                        "link": reverse_lazy("admin:beat_config_schedule_changelist"),
                    },
                    {
                        "title": "Blackouts",
                        "icon": "event_busy",
                        "link": reverse_lazy("admin:beat_config_blackout_changelist"),
                    },
                    {"title": "Secrets", "icon": "key", "link": reverse_lazy("admin:jobs_secret_changelist")},
                    {"title": "Runs", "icon": "history", "link": reverse_lazy("admin:jobs_run_changelist")},
                    {
                        "title": "Refused messages",
                        "icon": "unsubscribe",
                        "link": reverse_lazy("admin:jobs_refusedmessage_changelist"),
                    },
                ],
            },
            {
                "title": "People",
                "separator": True,
                "items": [
                    {"title": "Users", "icon": "person", "link": reverse_lazy("admin:auth_user_changelist")},
                    {"title": "Groups", "icon": "group", "link": reverse_lazy("admin:auth_group_changelist")},
                ],
            },
        ],
    },
}
