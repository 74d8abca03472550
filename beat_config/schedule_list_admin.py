"""The list of schedules in the admin: its page, what is done from it, its live part, and what was deleted lately."""

import dataclasses
from operator import itemgetter
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from beat_config import deletion, pausing, schedule_list, tags
from beat_config.models import Schedule
from beat_config.schedule_actions import ACTIONS, ActionError, Done, Order, Undo
from beat_config.schedule_list import Asked
from beat_config.schedule_rows import rows_of
from beat_config.tags import TagError
from jobs import catalogue
from jobs.permissions import may_operate
from jobs.states import State

_UNDO = "schedules_undo"
# How many of all that a filter leaves are acted on at once.
MOST = schedule_list.COUNTED
DELETED_SHOWN = 200


class ScheduleList:
    """To be mixed into the `ModelAdmin` of schedules, before it."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("live/", view(require_safe(self.live)), name="beat_config_schedule_live"),
            path("deleted/", view(self.deleted), name="beat_config_schedule_deleted"),
        ]
        return [*own, *super().get_urls()]  # type: ignore[misc]  # ModelAdmin's

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_or_change_permission(request):  # type: ignore[attr-defined]  # ModelAdmin's
            raise PermissionDenied
        if request.method == "POST":
            return self._act(request, reverse("admin:beat_config_schedule_changelist"))
        now = timezone.now()
        asked = Asked.of(request.GET)
        page = schedule_list.page_of(asked, now)
        context = {
            **self.admin_site.each_context(request),
            **pausing.context(now),
            "title": "Schedules",
            "opts": self.opts,
            "asked": asked,
            "page": page,
            "rows": rows_of(page.ids, request.user, now),
            "states": [
                (asked.address(state=state), label, schedule_list.MEANINGS[state], state == asked.state)
                for state, label in schedule_list.STATES.items()
            ],
            "all_states": asked.address(state=""),
            "previous_page": asked.address(page=page.number - 1),
            "next_page": asked.address(page=page.number + 1),
            "sorts": schedule_list.SORTS,
            "jobs": sorted(((job.name, job.title) for job in catalogue.registry().values()), key=itemgetter(1)),
            "tag_names": tags.offered(),
            "any": page.total > 0 or (asked.narrows and Schedule.objects.exists()),
            "actions": _actions(request),
            "legend": list(State),
            "undo": request.session.get(_UNDO),
            **_allowed(request),
            **(extra_context or {}),
        }
        return render(request, "beat_config/schedule_list.html", context)

    def live(self, request: HttpRequest) -> HttpResponse:
        """Return the rows of the schedules that are named, as they are now."""
        if not self.has_view_or_change_permission(request):  # type: ignore[attr-defined]  # ModelAdmin's
            raise PermissionDenied
        ids = [int(pk) for pk in request.GET.getlist("id")[: schedule_list.ON_A_PAGE] if pk.isdecimal()]
        rows = rows_of(ids, request.user, timezone.now())
        return render(
            request, "beat_config/schedule_rows.html", {"rows": rows, "chooses": _actions(request), **_allowed(request)}
        )

    def deleted(self, request: HttpRequest) -> HttpResponse:
        """Show what was deleted lately, and restore it."""
        if not self.has_view_or_change_permission(request):  # type: ignore[attr-defined]  # ModelAdmin's
            raise PermissionDenied
        if request.method == "POST":
            return self._act(request, reverse("admin:beat_config_schedule_deleted"))
        kept = deletion.kept(timezone.now()).defer("rows")
        context = {
            **self.admin_site.each_context(request),
            "title": "Recently deleted schedules",
            "opts": self.opts,
            "kept": kept[:DELETED_SHOWN],
            "days": deletion.KEPT.days,
            **_allowed(request),
        }
        return render(request, "beat_config/deleted_schedules.html", context)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Let what hangs on a schedule, a web hook for one, go with it, whoever may delete that by itself."""
        going, counts, _lacking, kept = super().get_deleted_objects(objs, request)  # type: ignore[misc]  # ModelAdmin's
        return going, counts, set(), kept

    def delete_model(self, request: HttpRequest, obj: Schedule) -> None:
        done = ACTIONS["delete"].do(Order([obj.pk], request.user, timezone.now()))
        if done.undo is not None:
            _remember(request, done.undo, str(done.words))

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Leave it to `deletion`, which every way of deleting takes."""

    def _act(self, request: HttpRequest, back: str) -> HttpResponse:
        """Do what a button of the page stands for."""
        name, order = self._order(request)
        action = ACTIONS.get(name)
        if action is None:
            messages.error(request, f"cannot do {name!r} with schedules: there is no such action")
            return redirect(_list(request, back))
        if not request.user.has_perm(action.permission):
            raise PermissionDenied
        if not order.ids:
            messages.warning(request, "Choose one or more schedules first.")
            return redirect(_list(request, back))
        try:
            done = action.do(order)
        except (ActionError, TagError) as problem:
            messages.error(request, str(problem))
            return redirect(_list(request, back))
        self._tell(request, done)
        return redirect(done.address or _list(request, back))

    def _order(self, request: HttpRequest) -> tuple[str, Order]:
        """Return what is to be done, and with which schedules: one row's, the chosen ones, or all that are listed."""
        now, sent = timezone.now(), request.POST
        undo = request.session.get(_UNDO)
        if "undo" in sent:
            known = Undo(**undo["how"]) if undo else Undo("", [])
            return known.action, Order(known.ids, request.user, now, known.tags)
        one, _, number = sent.get("one", "").partition(" ")
        if one and number.isdecimal():
            return one, Order([int(number)], request.user, now)
        if sent.get("select_across") == "1":
            found = schedule_list.matching(Asked.of(request.GET), now)
            ids = list(found.order_by("pk").values_list("pk", flat=True)[:MOST])
        else:
            ids = [int(pk) for pk in sent.getlist("_selected_action")[:MOST] if pk.isdecimal()]
        return sent.get("action", ""), Order(ids, request.user, now, sent.get("tags", ""))

    def _tell(self, request: HttpRequest, done: Done) -> None:
        request.session.pop(_UNDO, None)
        for problem in done.problems:
            messages.error(request, problem)
        if done.undo is not None:
            _remember(request, done.undo, str(done.words))
        elif done.words:
            messages.success(request, done.words)


def _remember(request: HttpRequest, undo: Undo, words: str) -> None:
    """Offer to undo it on the next page with the list."""
    request.session[_UNDO] = {"how": dataclasses.asdict(undo), "words": words}


def _actions(request: HttpRequest) -> list[tuple[str, str]]:
    """Return the name and label of what the person may do to many; where that is nothing, no row can be chosen."""
    user = request.user
    return [(name, each.label) for name, each in ACTIONS.items() if each.in_bulk and user.has_perm(each.permission)]


def _allowed(request: HttpRequest) -> dict[str, bool]:
    user = request.user
    return {
        "may_operate": may_operate(user),
        "may_add": user.has_perm("beat_config.add_schedule"),
        "may_change": user.has_perm("beat_config.change_schedule"),
        "may_see_runs": user.has_perm("jobs.view_run"),
    }


def _list(request: HttpRequest, back: str) -> str:
    """Return the page that the button was on, filters and all."""
    query = request.META.get("QUERY_STRING", "")
    return f"{back}?{query}" if query else back
