"""`{% examples %}`: what greets a person whose installation has no schedule of their own yet; nothing later."""

from typing import Any

from django import template

from beat_config import examples as ready
from jobs.permissions import may_use_job

register = template.Library()


@register.inclusion_tag("beat_config/examples.html", takes_context=True)
def examples(context: dict[str, Any]) -> dict[str, Any]:
    request = context.get("request")
    user = getattr(request, "user", None)
    offers = ready.offers() if user is not None and user.has_perm("beat_config.add_schedule") else []
    return {
        "offers": [(offer, may_use_job(user, offer.example.job)) for offer in offers],
        "csrf_token": context.get("csrf_token"),
        "request": request,
    }
