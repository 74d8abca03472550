"""Signing in by a link that works once."""

import time

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from scheduler_app import login_token

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def token(**changes):
    return login_token.mint(settings.SECRET_KEY, time.time(), **changes)


def test_the_first_link_makes_the_owner_who_has_no_password(client):
    answer = client.post("/login/", {"token": token()})

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
    owner = User.objects.get()
    assert owner.is_superuser
    assert not owner.has_usable_password()
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize(
    ("following", "location"),
    [
        ("/admin/jobs/run/1/change/", "/admin/jobs/run/1/change/"),
        ("https://example.org/", "/admin/"),
        ("//example.org/", "/admin/"),
        ("/\\\\example.org/", "/admin/"),
        ("javascript:alert(1)", "/admin/"),
        ("admin/", "/admin/"),
    ],
)
def test_a_link_leads_to_a_page_of_ours_only(client, following, location):
    answer = client.post("/login/", {"token": token(), "next": following})

    assert answer.headers["Location"] == location


def test_later_links_sign_in_the_same_person(client):
    client.post("/login/", {"token": token()})
    client.post("/login/", {"token": token()})

    assert User.objects.count() == 1


def test_a_link_works_once(client):
    link = token()
    client.post("/login/", {"token": link})
    client.logout()

    answer = client.post("/login/", {"token": link})

    assert answer.status_code == 403
    assert "used already" in answer.content.decode()
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("", id="nothing"),
        pytest.param("a.b", id="made up"),
        pytest.param(lambda: token(lifetime=-1), id="expired"),
        pytest.param(lambda: login_token.mint("another key", time.time()), id="another installation's"),
    ],
)
def test_any_other_link_signs_nobody_in(client, bad):
    answer = client.post("/login/", {"token": bad() if callable(bad) else bad})

    assert answer.status_code == 403
    assert "cannot sign in" in answer.content.decode()
    assert not User.objects.exists()


def test_a_link_without_the_pages_own_token_is_refused():
    from django.test import Client

    assert Client(enforce_csrf_checks=True).post("/login/", {"token": token()}).status_code == 403
    assert not User.objects.exists()


def test_an_inactive_owner_is_not_let_in(client):
    User.objects.create_superuser("old", is_active=False)

    client.post("/login/", {"token": token()})

    assert User.objects.get(is_active=True).username != "old"
