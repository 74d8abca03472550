"""Who may do what: every address that the admin has, asked by everybody, by GET and by POST.

An address without a row here fails the first test. A GET never changes anything; a POST that is refused neither.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from beat_config import deletion, tags
from beat_config.models import AlertChannel, Blackout
from jobs import vault
from jobs.models import AuditEntry, RefusedMessage, Secret
from jobs.states import State
from scheduler_app.web.models import ApiToken, WebHook
from tests.database.test_admin import form
from tests.factories import NOW, make_run, make_schedule

pytestmark = [pytest.mark.database, pytest.mark.django_db]

ROLES = ("anonymous", "viewer", "operator", "editor", "admin")
# Nobody may, whoever they are: there is no such thing, or it is asked for in another way.
NOBODY = "nobody"


@dataclass(frozen=True)
class Row:
    """One address: from which role on it may be read, and from which role on it may be posted to."""

    route: str
    get: str
    post: str = NOBODY
    values: Any = None
    at: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def id(self) -> str:
        return f"{self.route} {self.note}".strip()


YES = {"post": "yes"}
PASSWORD = {"usable_password": "true", "password1": "correct horse", "password2": "correct horse"}
WEB = form(task="call_web_address", parameter_command=None, parameter_url="https://example.org/", name="new")


def switch(action, row="SCHEDULE", **more):
    return {"action": action, "_selected_action": row, **more}


def model(label, row, *, view, add=NOBODY, change=NOBODY, delete=NOBODY, values=None, history=""):
    """The rows of a model's seven addresses."""
    base = f"admin/{label}/"
    at = {"object_id": row}
    return [
        Row(base, view, view),
        Row(f"{base}add/", add, add, values),
        Row(f"{base}<path:object_id>/change/", view, change, values, at),
        Row(f"{base}<path:object_id>/delete/", delete, delete, YES, at),
        Row(f"{base}<path:object_id>/history/", history or view, history or view, at=at),
        Row(f"{base}<path:object_id>/", "viewer", "viewer", at=at, note="leads to the page"),
    ]


def others(label, row, *, add, values):
    """The rows of a model of which everybody has their own, asked for somebody else's."""
    base = f"admin/{label}/"
    at = {"object_id": row}
    return [
        Row(base, add, add),
        Row(f"{base}add/", add, add, values),
        # Who may not see it is led back to the list.
        Row(f"{base}<path:object_id>/change/", add, NOBODY, values, at),
        Row(f"{base}<path:object_id>/delete/", NOBODY, NOBODY, YES, at),
        Row(f"{base}<path:object_id>/history/", "admin", "admin", at=at),
        Row(f"{base}<path:object_id>/", "viewer", "viewer", at=at, note="leads to the page"),
    ]


TABLE = [
    Row("", "viewer", "viewer", note="leads to the overview"),
    Row("health/", "anonymous"),
    Row("login/", "anonymous", NOBODY, note="a token nobody has made"),
    *(Row(f"desktop/{name}/", NOBODY, NOBODY) for name in ("activity", "run", "cancel", "pause", "resume")),
    Row("admin/pause/", NOBODY, "operator", {"length": "1h"}),
    Row("admin/resume/", NOBODY, "operator"),
    Row("admin/search/", "viewer", "viewer"),
    Row("admin/", "viewer", "viewer"),
    Row("admin/login/", "anonymous", "anonymous"),
    Row("admin/logout/", NOBODY, "viewer"),
    Row("admin/password_change/", "viewer", "viewer"),
    Row("admin/password_change/done/", "viewer"),
    Row("admin/autocomplete/", NOBODY, NOBODY),
    Row("admin/jsi18n/", "viewer"),
    Row("admin/r/<path:content_type_id>/<path:object_id>/", NOBODY, NOBODY, at={"content_type_id": "1", "object_id": "1"}),
    Row("admin/^(?P<app_label>APPS)/$", "viewer", "viewer", at={"app_label": "jobs"}),
    Row("admin/(?P<url>.*)$", NOBODY, NOBODY, at={"url": "nothing/"}),
    *model("auth/user", "USER", view="admin", add="admin", change="admin", delete="admin", values={"username": "new", **PASSWORD}),
    Row("admin/auth/user/<id>/password/", "admin", "admin", PASSWORD, {"id": "USER"}),
    *model("auth/group", "GROUP", view="admin", add="admin", change="admin", delete="admin", values={"name": "new"}),
    *model("jobs/refusedmessage", "REFUSED", view="viewer", delete="admin"),
    Row("admin/jobs/refusedmessage/clear/", NOBODY, "admin"),
    *model("jobs/auditentry", "ENTRY", view="editor", change="editor"),
    Row("admin/jobs/auditentry/<int:entry_id>/revert/", NOBODY, "editor", {"x": "x"}, {"entry_id": "CHANGE"}),
    *model(
        "beat_config/alertchannel", "CHANNEL", view="admin", add="admin", change="admin", delete="admin",
        values={"name": "new", "where": "json://127.0.0.1:9/", "events": ["failed"]},
    ),
    Row("admin/beat_config/alertchannel/<int:channel_id>/test/", NOBODY, "admin", {"x": "x"}, {"channel_id": "CHANNEL"}),
    Row("admin/system/", "admin"),
    *model("jobs/run", "RUN", view="viewer", change="viewer"),
    Row("admin/jobs/run/<int:run_id>/live/", "viewer", NOBODY, at={"run_id": "RUN"}),
    Row("admin/jobs/run/<int:run_id>/log/", "viewer", NOBODY, at={"run_id": "RUN"}),
    Row("admin/jobs/run/<int:run_id>/log.txt", "viewer", NOBODY, at={"run_id": "RUN"}),
    Row("admin/run-again/<int:run_id>/", "operator", "operator", WEB, {"run_id": "RUN"}),
    Row("admin/run-again/<int:run_id>/", "admin", "admin", {"parameter_command": "true"}, {"run_id": "COMMAND_RUN"}, note="of a command"),
    Row("admin/calendar/", "viewer", NOBODY),
    Row("admin/jobs/run/<int:run_id>/cancel/", NOBODY, "operator", at={"run_id": "GOING"}),
    Row("admin/jobs/run/<int:run_id>/again/", NOBODY, "operator", at={"run_id": "RUN"}),
    Row("admin/jobs/run/<int:run_id>/again/", NOBODY, "admin", at={"run_id": "COMMAND_RUN"}, note="of a command"),
    *model(
        "beat_config/blackout", "BLACKOUT", view="viewer", add="editor", change="editor", delete="editor",
        values={"name": "new", "kind": "weekly", "zone": "UTC", "start_time": "10:00", "end_time": "11:00"},
    ),
    *model("jobs/secret", "SECRET", view="editor", add="editor", change="editor", delete="editor", values={"name": "new", "value": "x"}),
    *model("beat_config/schedule", "SCHEDULE", view="viewer", add="editor", change="editor", delete="editor", values=WEB),
    Row("admin/beat_config/schedule/add/", "editor", "admin", form(name="new"), note="a command"),
    Row("admin/beat_config/schedule/preview/", NOBODY, "editor", form()),
    Row("admin/beat_config/schedule/test-run/", NOBODY, "editor", WEB),
    Row("admin/beat_config/schedule/test-run/", NOBODY, "admin", form(), note="a command"),
    Row("admin/beat_config/schedule/examples/<key>/", NOBODY, "editor", YES, at={"key": "disk"}),
    Row("admin/beat_config/schedule/examples/<key>/", NOBODY, "admin", YES, at={"key": "backup"}, note="a command"),
    Row("admin/beat_config/schedule/live/", "viewer"),
    Row("admin/beat_config/schedule/deleted/", "viewer", "editor", switch("restore", "DELETED")),
    # Tokens and hooks belong to whoever makes them; of others' they see and take back what admins may.
    *others("web/apitoken", "TOKEN", add="viewer", values={"name": "new", "scope": "read", "per_minute": "60", "lifetime": "90"}),
    Row("admin/web/apitoken/<int:token_id>/revoke/", NOBODY, "admin", {"x": "x"}, {"token_id": "TOKEN"}),
    *others("web/webhook", "HOOK", add="operator", values={"name": "new", "schedule": "SCHEDULE", "per_minute": "60"}),
    Row("admin/web/webhook/<int:hook_id>/revoke/", NOBODY, "admin", {"x": "x"}, {"hook_id": "HOOK"}),
    Row("hooks/<str:text>", NOBODY, NOBODY, {"x": "x"}, {"text": "a-hook-nobody-has-made"}),
    Row("admin/beat_config/schedule/", "viewer", "operator", switch("run_now"), note="run now"),
    Row("admin/beat_config/schedule/", "viewer", "admin", switch("run_now", "COMMAND"), note="run a command now"),
    Row("admin/beat_config/schedule/", "viewer", "editor", switch("enable", "IDLE"), note="enable"),
    Row("admin/beat_config/schedule/", "viewer", "admin", switch("enable", "COMMAND"), note="enable a command"),
    Row("admin/beat_config/schedule/", "viewer", "editor", switch("disable"), note="disable"),
    Row("admin/beat_config/schedule/", "viewer", "editor", switch("tag", tags="new"), note="tag"),
    Row("admin/beat_config/schedule/", "viewer", "editor", switch("untag", tags="old"), note="remove tags"),
    Row("admin/beat_config/schedule/", "viewer", "editor", switch("delete"), note="delete several"),
    Row("admin/beat_config/schedule/", "viewer", "editor", switch("duplicate"), note="duplicate"),
    Row("admin/beat_config/schedule/", "viewer", "admin", switch("duplicate", "COMMAND"), note="duplicate a command"),
]  # fmt: skip


# A token is the key to the API; a browser's cookie, which others' pages can have sent, is none.
API = {
    "api/v1/docs": Row("api/v1/docs", "viewer"),
    "api/v1/openapi.json": Row("api/v1/openapi.json", "viewer"),
    "api/v1/system/health": Row("api/v1/system/health", "anonymous"),
}


def addresses(resolver=None, prefix=""):
    for pattern in (resolver or get_resolver()).url_patterns:
        route = prefix + str(pattern.pattern)
        if route.startswith("api/"):
            continue  # asked with tokens: test_api has a table of its own
        if hasattr(pattern, "url_patterns"):
            yield from addresses(pattern, route)
        elif "app_label" in route:
            yield "admin/^(?P<app_label>APPS)/$"  # the apps are named in it
        else:
            yield route


def test_every_address_has_a_row_and_every_row_an_address():
    named = {row.route for row in TABLE}

    assert set(addresses()) - named == set()
    assert named - set(addresses()) == set()


TABLE += [API.get(route, Row(route, NOBODY, NOBODY)) for route in addresses() if route.startswith("api/")]


@pytest.fixture
def rows():
    """One of everything that a row may be about, by the names the table uses."""
    schedule = make_schedule(name="web", task="call_web_address", kwargs={"url": "https://example.org/"}, enabled=True)
    command = make_schedule(name="command", enabled=False)
    idle = make_schedule(name="idle", task="call_web_address", enabled=False)
    gone = make_schedule(name="gone", task="call_web_address")
    (kept,) = deletion.delete([gone.pk], by="ada", now=timezone.now())
    tags.set_tags(schedule.schedule, ["old"])

    was = {"name": "web", "job": "call_web_address", "every": "1 hour", "parameters": {"url": "https://example.org/"}}
    vault.store("some address", "json://127.0.0.1:9/", by="ada")
    address = Secret.objects.get(name="some address")
    somebody = User.objects.create_user("somebody", is_staff=True)
    token = ApiToken.objects.create(name="of somebody", owner=somebody, digest="d", beginning="b")
    hook = WebHook.objects.create(name="h", owner=somebody, schedule=schedule.schedule, digest="d", beginning="b")
    ended = make_run(state=State.SUCCEEDED, job="call_web_address", parameters={"url": "https://example.org/"})
    return {
        "SCHEDULE": schedule.pk,
        "COMMAND": command.pk,
        "IDLE": idle.pk,
        "DELETED": kept,
        "RUN": ended.pk,
        "COMMAND_RUN": make_run(state=State.SUCCEEDED).pk,
        "GOING": make_run().pk,
        "USER": somebody.pk,
        "TOKEN": token.pk,
        "HOOK": hook.pk,
        "GROUP": Group.objects.create(name="some group").pk,
        "SECRET": Secret.objects.create(name="some secret", sealed=b"", key_id="k").pk,
        "BLACKOUT": Blackout.objects.create(name="some time", zone="UTC", start_time="1:00", end_time="2:00").pk,
        "REFUSED": RefusedMessage.objects.create(received_at=NOW, worker="w", reason="r", size=1).pk,
        "CHANGE": AuditEntry.objects.create(
            at=NOW,
            by="ada",
            action="changed",
            kind="beat_config.schedule",
            subject_id=schedule.pk,
            before=was,
            after={},
        ).pk,
        "CHANNEL": AlertChannel.objects.create(name="some channel", address=address, events=["failed"]).pk,
        "ENTRY": AuditEntry.objects.create(at=NOW, by="ada", action="changed", subject="x", before={}, after={}).pk,
    }


@pytest.fixture
def signed_in():
    """A browser for each role."""
    browsers = {"anonymous": Client()}
    for role in ROLES[1:]:
        user = User.objects.create_user(role, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        browsers[role] = Client()
        browsers[role].force_login(user)
    return browsers


@contextmanager
def written():
    """Collect what is written to the database, sessions aside."""
    statements = []

    def watch(execute, sql, params, many, context):
        if sql.lstrip().split(None, 1)[0].upper() in {"INSERT", "UPDATE", "DELETE"} and "django_session" not in sql:
            statements.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield statements


def may(role, least):
    return least != NOBODY and ROLES.index(role) >= ROLES.index(least)


def went_through(answer, role):
    """Whether the request got to where it does its work, and was not sent to sign in, refused or unknown."""
    if answer.status_code in {401, 403, 404, 405}:
        return False
    to = answer.headers.get("Location", "")
    return not ("/login/" in to or (role == "anonymous" and to == "/admin/"))


def place(row, rows):
    route = row.route.replace("(?P<url>.*)$", "<url>").replace("^(?P<app_label>APPS)/$", "<app_label>/")
    for name, value in row.at.items():
        for written_as in (f"<path:{name}>", f"<int:{name}>", f"<{name}>"):
            route = route.replace(written_as, str(rows.get(value, value)))
    return f"/{route}"


def posted(values, rows):
    return {name: rows.get(value, value) if isinstance(value, str) else value for name, value in (values or {}).items()}


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in TABLE])
def test_an_address_answers_those_it_is_for_and_changes_nothing_for_others(row, rows, signed_in):
    address, values = place(row, rows), posted(row.values, rows)
    read, posted_to, changed = [], [], []
    for role, browser in signed_in.items():
        with written() as statements:
            if went_through(browser.get(address), role):
                read.append(role)
        assert statements == [], f"a GET by the {role} changes something"
        with transaction.atomic():
            with written() as statements:
                if went_through(browser.post(address, values), role):
                    posted_to.append(role)
            transaction.set_rollback(True)
        if statements:
            changed.append(role)

    assert read == [role for role in ROLES if may(role, row.get)]
    if row.values and "preview" not in address:
        assert changed == [role for role in ROLES if may(role, row.post)]
    else:
        assert posted_to == [role for role in ROLES if may(role, row.post)]
        assert set(changed) <= set(posted_to)
