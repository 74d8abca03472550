"""API tokens and web hooks in the admin: made and shown once, everybody's own, taken back for ever."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from beat_config import tags
from jobs.models import AuditEntry
from scheduler_app.web.models import ApiToken, WebHook
from tests.database.test_api import API, person
from tests.factories import make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

TOKENS, HOOKS = "/admin/web/apitoken/", "/admin/web/webhook/"
FORM = {"name": "backup script", "scope": "run", "lifetime": "30", "per_minute": "600"}


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def owner():
    return User.objects.create_superuser("ada")


def shown(page):
    return re.search(r'id="made" value="([^"]+)"', page.content.decode())[1]


def test_a_token_is_shown_once_and_works_until_it_is_revoked(owner):
    tags.set_tags(make_schedule().schedule, ["shop"])
    browser = signed_in(owner)
    made = browser.post(f"{TOKENS}add/", {**FORM, "tags": ["shop"]})
    assert made.status_code == 200, made.content
    assert "no-store" in made["Cache-Control"]
    text, token = shown(made), ApiToken.objects.get()
    assert (token.owner, token.scope, token.tags, token.commands) == (owner, "run", ["shop"], False)
    assert 29 <= (token.expires_at - token.created_at).days <= 30
    assert token.digest not in made.content.decode()
    for page in (TOKENS, f"{TOKENS}{token.pk}/change/"):
        answer = browser.get(page)
        assert answer.status_code == 200
        assert text not in answer.content.decode()
    changed = browser.post(f"{TOKENS}{token.pk}/change/", {**FORM, "scope": "read", "tags": ["shop"]})
    assert changed.status_code == 302
    token.refresh_from_db()
    assert (token.scope, token.expires_at is not None, token.owner) == ("read", True, owner)

    asked = {"Authorization": f"Bearer {text}"}
    assert Client().get(f"{API}/schedules", headers=asked).status_code == 200
    assert browser.get(f"{TOKENS}{token.pk}/revoke/").status_code == 405
    assert browser.post(f"{TOKENS}{token.pk}/revoke/").status_code == 302
    assert Client().get(f"{API}/schedules", headers=asked).status_code == 401
    assert [entry.action for entry in AuditEntry.objects.filter(kind="web.apitoken").order_by("pk")] == [
        "added",
        "changed",
        "changed",
    ]
    assert browser.post(f"{TOKENS}{token.pk}/change/", FORM).status_code == 403


def test_everybody_sees_their_own_tokens_and_admins_may_take_back_any(owner):
    viewer = signed_in(person("viewer"))
    assert viewer.post(f"{TOKENS}add/", {**FORM, "name": "of a viewer"}).status_code == 200
    signed_in(owner).post(f"{TOKENS}add/", {**FORM, "name": "of the owner"})
    of_viewer, of_owner = ApiToken.objects.order_by("pk")
    assert "of the owner" not in viewer.get(TOKENS).content.decode()
    assert viewer.post(f"{TOKENS}{of_owner.pk}/revoke/").status_code == 404
    assert signed_in(person("editor")).get(f"{TOKENS}{of_owner.pk}/change/").status_code in {302, 403}
    admin = signed_in(owner)
    assert "of a viewer" in admin.get(TOKENS).content.decode()
    assert "Revoke this token" in admin.get(f"{TOKENS}{of_viewer.pk}/change/").content.decode()
    assert admin.post(f"{TOKENS}{of_viewer.pk}/change/", FORM).status_code == 403
    assert admin.post(f"{TOKENS}{of_viewer.pk}/revoke/").status_code == 302
    of_viewer.refresh_from_db()
    assert of_viewer.revoked_at is not None


def test_a_web_hook_is_made_for_a_job_that_one_may_start_with_parameters_it_has(owner):
    schedule = make_schedule()
    form = {"name": "git", "schedule": schedule.pk, "takes": "comand = ref", "per_minute": "60"}
    browser = signed_in(owner)
    assert "did you mean command" in browser.post(f"{HOOKS}add/", form).content.decode()
    form["takes"] = "command = head.message"
    operator = signed_in(person("operator"))
    assert "no permission to start" in operator.post(f"{HOOKS}add/", form).content.decode()
    assert signed_in(person("viewer")).get(f"{HOOKS}add/").status_code == 403
    assert WebHook.objects.count() == 0
    made = browser.post(f"{HOOKS}add/", {**form, "signed": "on"})
    assert shown(made).startswith("http://testserver/hooks/hook_")
    assert 'id="key"' in made.content.decode()
    hook = WebHook.objects.get()
    assert (hook.owner, hook.takes, hook.signed) == (owner, {"command": "head.message"}, True)
    assert "command = head.message" in browser.get(f"{HOOKS}{hook.pk}/change/").content.decode()
    boss = signed_in(User.objects.create_superuser("boss"))
    assert boss.get(f"{HOOKS}{hook.pk}/change/").status_code == 200
    assert boss.post(f"{HOOKS}{hook.pk}/change/", form).status_code == 403
    assert browser.post(f"{HOOKS}{hook.pk}/revoke/").status_code == 302
    assert browser.get(f"{HOOKS}{hook.pk}/change/").status_code == 200
    assert Client().post(shown(made)).status_code == 404
