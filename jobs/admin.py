"""The history: what ran, what did not and why, and what it printed."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST, require_safe
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from jobs import cancelling, catalogue, parents, permissions, run_log, run_page, starting, wording
from jobs.models import Origin, RefusedMessage, Run
from jobs.named_list import NamedList
from jobs.refused_admin import RefusedMessageAdmin
from jobs.run_log import Chunk, Cursor
from jobs.states import ACTIVE, State

admin.site.register(RefusedMessage, RefusedMessageAdmin)


@admin.register(Run)
class RunAdmin(NamedList, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    list_display = ("number", "shown_state", "what", "due", "started", "took", "why")
    list_display_links = ("number", "what")
    list_filter = ("state", "origin", ("created_at", RangeDateTimeFilter))
    list_filter_submit = True
    list_per_page = 50
    show_full_result_count = False
    ordering = ("-id",)
    actions = ()

    def has_add_permission(self, _request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, _request: HttpRequest, _obj: Run | None = None) -> bool:
        return False

    @display(description="Run", ordering="id")
    def number(self, run: Run) -> str:
        return f"{run.pk}"

    @display(description="State", label={state.label: colour for state, colour in wording.COLOURS.items()})
    def shown_state(self, run: Run) -> str:
        return State(run.state).label

    @display(description="What")
    def what(self, run: Run) -> str:
        title = catalogue.title(run.job)
        place = f"{title} on {wording.machine(run)}" if run.machine else title
        if not run.schedule_name:
            return place
        return format_html('{} <span class="text-xs">{}</span>', run.schedule_name, place)

    @display(description="Due", ordering="id")
    def due(self, run: Run) -> str:
        if run.fire_time:
            return _moment(run.fire_time)
        return f"after run {parents.parent_number(run)}" if run.origin == Origin.CHAIN else wording.way(run)

    @display(description="Started")
    def started(self, run: Run) -> str:
        waits_until = wording.waits_until(run, timezone.now())
        return format_html("not before {}", _moment(waits_until)) if waits_until else _moment(run.started_at)

    @display(description="Took")
    def took(self, run: Run) -> str:
        took = wording.seconds(wording.duration(run, timezone.now()))
        return format_html('<span class="whitespace-nowrap">{}</span>', took)

    @display(description="Why")
    def why(self, run: Run) -> str:
        many = f"{run.covers} times: " if run.covers > 1 else ""
        text = f"{many}{run.reason}"
        return text if len(text) <= _LIST_REASON else f"{text[:_LIST_REASON]}…"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("<int:run_id>/log/", view(require_safe(self.log)), name="jobs_run_log"),
            path("<int:run_id>/log.txt", view(require_safe(self.whole_log)), name="jobs_run_whole_log"),
            path("<int:run_id>/live/", view(require_safe(self.live)), name="jobs_run_live"),
            path("<int:run_id>/cancel/", view(require_POST(self.cancel)), name="jobs_run_cancel"),
            path("<int:run_id>/again/", view(require_POST(self.again)), name="jobs_run_again"),
        ]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the run; nothing on it can be edited."""
        del form_url
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self.get_object(request, object_id)
        if run is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[no-any-return]
        context = {
            **self.admin_site.each_context(request),
            **run_page.facts(run, timezone.now()),
            **_lines(run, Cursor()),
            "title": str(run),
            "opts": self.opts,
            "may_operate": permissions.may_operate(request.user),
            **(extra_context or {}),
        }
        return render(request, "jobs/run.html", context)

    def live(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """Return the part of a run's page that changes, or 204 when the page shows it already."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = get_object_or_404(Run, pk=run_id)
        facts = run_page.facts(run, timezone.now())
        if request.GET.get("seen") == facts["version"]:
            return HttpResponse(status=204)
        # The buttons stay as long as they mean the same: nobody's click falls between two drawings of one.
        facts |= {"swap_actions": not facts["active"], "may_operate": permissions.may_operate(request.user)}
        return render(request, "jobs/run_live.html", facts)

    def log(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """Return the lines that the page does not show yet; `from` is the cursor that came with those it shows."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = get_object_or_404(Run, pk=run_id)
        context = _lines(run, Cursor.parse(request.GET.get("from", "")))
        chunk: Chunk = context["chunk"]
        return JsonResponse(
            {
                "html": render_to_string("jobs/run_lines.html", context) if chunk.lines else "",
                "cursor": str(chunk.cursor),
                "replaces": chunk.replaces,
                "more": chunk.more,
                "active": run.state in ACTIVE,
                "nothing": context["nothing"],
            }
        )

    def whole_log(self, request: HttpRequest, run_id: int) -> StreamingHttpResponse:
        """Return all that is kept of the output, to the byte, to be saved as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = get_object_or_404(Run, pk=run_id)
        return StreamingHttpResponse(
            run_log.raw(run),
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="run-{run.pk}.txt"'},
        )

    def cancel(self, request: HttpRequest, run_id: int) -> HttpResponse:
        self._require_operator(request)
        if cancelling.cancel(run_id, by=request.user.get_username(), now=timezone.now()):
            messages.success(request, f"Run {run_id} is being cancelled.")
        else:
            messages.warning(request, f"Run {run_id} had already ended.")
        return redirect(reverse("admin:jobs_run_change", args=[run_id]))

    def again(self, request: HttpRequest, run_id: int) -> HttpResponse:
        self._require_operator(request)
        run = get_object_or_404(Run, pk=run_id)
        if not permissions.may_use_job(request.user, run.job):
            raise PermissionDenied
        new = starting.start_again(run, by=request.user.get_username())
        messages.success(request, f"Run {run.pk} is run again, as run {new.pk}.")
        return redirect(reverse("admin:jobs_run_change", args=[new.pk]))

    def _require_operator(self, request: HttpRequest) -> None:
        if not (self.has_view_permission(request) and permissions.may_operate(request.user)):
            raise PermissionDenied


_LIST_REASON = 80


def _moment(moment: Any) -> str:
    if moment is None:
        return "–"
    return format_html('<span class="whitespace-nowrap">{}</span>', f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}")


def _lines(run: Run, cursor: Cursor) -> dict[str, Any]:
    """Return the context of the output's lines from *cursor* on."""
    ended = run.state not in ACTIVE
    return {"chunk": run_log.read(run, cursor, ended=ended), "nothing": run_page.nothing_printed(run)}
