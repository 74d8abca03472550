"""Signing in by the one-time link that `scheduler-app open` and the tray make: no default account, no password."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from scheduler_app import login_token
from scheduler_app.login_token import LoginTokenError
from scheduler_app.web import person
from scheduler_app.web.models import UsedLoginLink


@never_cache
@require_http_methods(["GET", "POST"])
def login_link(request: HttpRequest) -> HttpResponse:
    """GET: the page whose script posts the token from the address's fragment. POST: sign in with that token."""
    if request.method == "GET":
        return render(request, "web/login_link.html", {"title": "Sign in"})
    try:
        nonce = login_token.check(settings.SECRET_KEY, request.POST.get("token", ""), timezone.now().timestamp())
        _use(nonce)
    except LoginTokenError as error:
        return render(request, "web/login_link.html", {"title": "Sign in", "problem": str(error)}, status=403)
    login(request, _owner(), backend="django.contrib.auth.backends.ModelBackend")
    following = request.POST.get("next", "")
    # A path of ours only: whoever makes up a link must not lead the person elsewhere.
    if not (following.startswith("/") and url_has_allowed_host_and_scheme(following, allowed_hosts=None)):
        return redirect("admin:index")
    return redirect(following)


def _use(nonce: str) -> None:
    """Note that the link is used up; raise LoginTokenError when it was before."""
    now = timezone.now()
    UsedLoginLink.objects.filter(used_at__lt=now - timedelta(seconds=2 * login_token.LIFETIME)).delete()
    try:
        with transaction.atomic():
            UsedLoginLink.objects.create(nonce=nonce, used_at=now)
    except IntegrityError as error:
        raise LoginTokenError(
            "cannot sign in: the link has been used already; `scheduler-app open` makes a new one"
        ) from error


def _owner() -> User:
    """Return the person whose installation this is: the first superuser, made without a password when there is none."""
    users = User.objects
    owner = users.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if owner is None:
        owner = users.create_superuser(_free_name())
    return owner


def _free_name() -> str:
    name = person.name() or "owner"
    taken = User.objects.filter(username=name).exists()
    return f"{name}-owner" if taken else name
