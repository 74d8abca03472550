"""Lists of the admin under the name of what they list: not "Select run to change", as Django says."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst


class NamedList:
    """To be mixed into a ModelAdmin, before it."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = capfirst(self.opts.verbose_name_plural)  # type: ignore[attr-defined]  # ModelAdmin's
        return super().changelist_view(request, {"title": title, **(extra_context or {})})  # type: ignore[misc,no-any-return]  # as above
