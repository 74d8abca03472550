"""Names, outputs, errors, tags and parameters that try to be a program in the page that shows them."""

import pytest
from django.contrib.auth.models import Group, User
from django_celery_beat.models import PeriodicTask

from beat_config import tags
from beat_config.models import Blackout, SchedulePolicy
from jobs.models import AuditEntry, RefusedMessage, RunOutput, Secret
from jobs.states import State
from tests.e2e.test_every_page import window  # noqa: F401 - a fixture
from tests.factories import NOW, make_run, make_schedule

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(transaction=True)]

# hacked() notes that it was called. Alpine evaluates its attributes whatever the page's policy says: an attribute, or
# a quote in one, is enough.
PAYLOADS = [
    "<script>hacked()</script>",
    "</script><script>hacked()</script>",
    "</textarea><script>hacked()</script>",
    "</title></style><svg/onload=hacked()>",
    "<img src=x onerror=hacked()>",
    '"><img src=x onerror=hacked()>',
    "'><img src=x onerror=hacked()>",
    '" autofocus onfocus=hacked() x="',
    "' autofocus onfocus=hacked() x='",
    '"><div x-data x-init="hacked()">',
    '" x-data x-init="hacked()" x="',
    "<template x-if='hacked()'></template>",
    '<div hx-trigger=load hx-get=/health/ hx-on::after-request="hacked()">',
    "'-hacked()-'",
    "\\'-hacked()-\\'",
    '"-hacked()-"',
    "\\u0027-hacked()-\\u0027",
    "'});hacked();({a:'",
    "`${hacked()}`",
    "${hacked()}",
    "{{ constructor.constructor('hacked()')() }}",
    "{% include hacked %}<iframe srcdoc='<script>parent.hacked()</script>'>",
    "javascript:hacked()",
    "data:text/html,<script>hacked()</script>",
    "\x1b]8;;javascript:hacked()\x07click\x1b]8;;\x07",
    "<a href=javascript:hacked() id=link>click</a>",
    "<base href=//elsewhere.example/><form action=//elsewhere.example/>",
    "<meta http-equiv=refresh content='0;url=javascript:hacked()'>",
    "\u202egnp.<svg onload=hacked()>",
    "&lt;script&gt;hacked()&lt;/script&gt;",
]
LIST, FORM = "/admin/beat_config/schedule/", "/admin/beat_config/schedule/{}/change/"


@pytest.fixture
def hostile():
    """240 hostile values: eight of each kind of place. Return the pages to look at."""
    pages = ["/admin/", LIST, "/admin/jobs/run/", "/admin/jobs/secret/", "/admin/jobs/refusedmessage/"]
    pages += ["/admin/jobs/auditentry/", "/admin/auth/user/", "/admin/auth/group/", "/admin/beat_config/blackout/"]
    for number, text in enumerate(PAYLOADS):
        name = f"{text} {number}"
        make_schedule(
            name=name,
            task="call_web_address",
            description=text,
            kwargs={"url": text, "body": text, "headers": {text: text}},
        )
        task = PeriodicTask.objects.get(name=name)
        SchedulePolicy.objects.filter(pk=task.pk).update(
            error=text if number % 3 == 0 else "", concurrency_key=text[:99]
        )
        tags.set_tags(task, [text.replace(",", " ").replace("\x1b", "").replace("\x07", "").replace("\u202e", "")[:50]])
        Secret.objects.create(name=name, description=text, sealed=b"", key_id="k")
        Blackout.objects.create(name=name[:99], zone="UTC", start_time="1:00", end_time="2:00")
        RefusedMessage.objects.create(received_at=NOW, worker=text, queue=text, reason=text, size=1, beginning=text)
        AuditEntry.objects.create(
            at=NOW,
            by=text,
            action="changed",
            kind="beat_config.schedule",
            subject=text,
            before={text: ""},
            after={text: [text]},
        )
        if number % 5 == 0:
            User.objects.create(username=name, first_name=text, email=text)
            Group.objects.create(name=name)
            pages.append(FORM.format(task.pk))
        run = make_run(
            state=State.FAILED, schedule_id=task.pk, schedule_name=name, job=text, reason=text, worker=text, requested_by=text,
            parameters={text: text},
        )  # fmt: skip
        RunOutput.objects.create(run_id=run.pk, number=1, stream=1 + number % 2, data=f"{text}\n".encode())
    everything = "\n".join(PAYLOADS).encode()
    RunOutput.objects.create(run_id=run.pk, number=2, stream=1, data=everything)
    first = Secret.objects.earliest("pk"), Blackout.objects.earliest("pk"), AuditEntry.objects.earliest("pk")
    pages += [f"/admin/jobs/run/{run.pk}/change/", f"/admin/jobs/secret/{first[0].pk}/change/"]
    pages += [f"/admin/beat_config/blackout/{first[1].pk}/change/", f"/admin/jobs/auditentry/{first[2].pk}/change/"]
    pages.append(f"/admin/auth/user/{User.objects.filter(first_name__gt='').earliest('pk').pk}/change/")
    return pages


@pytest.mark.timeout(300)
def test_what_people_and_programs_write_is_never_run_by_the_page_that_shows_it(window, live_server, hostile):  # noqa: F811
    window.add_init_script("window.called = 0; window.hacked = () => { window.called += 1; return 'x' }")
    dialogs, called = [], {}
    window.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    shown = ""
    for path in hostile:
        answer = window.goto(live_server.url + path)
        assert answer.status == 200, path
        window.wait_for_load_state("networkidle")
        shown += window.inner_text("body")
        count = window.evaluate("""() => {
            document.querySelectorAll('[autofocus], input, textarea').forEach(each => each.focus());
            const bad = document.querySelectorAll('a[href^="javascript:" i], a[href^="data:" i], #link, base, iframe');
            return window.called + bad.length;
        }""")
        if count:
            called[path] = count

    assert called == {}
    assert dialogs == []
    assert "<script>hacked()</script>" in shown, "nothing hostile was shown, so nothing is proven"
