"""The output of a run as a page gets it: in lines, from where it stands."""

import random

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from jobs import run_log
from jobs.models import AuditEntry, Origin, Run, RunOutput
from jobs.run_log import Cursor
from jobs.states import State
from tests.factories import make_run

pytestmark = [pytest.mark.database, pytest.mark.django_db]

OUT, ERR = RunOutput.Stream.STDOUT, RunOutput.Stream.STDERR


@pytest.fixture
def run():
    return make_run(state=State.RUNNING)


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser("ada"))
    return client


def print_to(run, *pieces, first=None):
    number = run.output.count() + 1 if first is None else first
    for stream, data in pieces:
        RunOutput.objects.create(run=run, number=number, stream=stream, data=data)
        number += 1


def texts(lines):
    return ["".join(span.text for span in line.spans) for line in lines]


class Page:
    """What a browser does with the answers."""

    def __init__(self, run):
        self.run, self.cursor, self.lines, self.sent = run, "", [], 0

    def look(self, *, ended=False):
        while True:
            chunk = run_log.read(self.run, Cursor.parse(self.cursor), ended=ended)
            if chunk.replaces:
                assert self.lines.pop().open
            self.lines += chunk.lines
            self.sent += len(chunk.lines)
            self.cursor = str(chunk.cursor)
            if not chunk.more:
                return self


def test_what_is_printed_comes_once_and_in_lines(run):
    page = Page(run).look()
    print_to(run, (OUT, b"one\ntwo\n"), (ERR, b"oh\n"))
    page.look()
    print_to(run, (OUT, b"three\n"))
    page.look().look()

    assert texts(page.lines) == ["one", "two", "oh", "three"]
    assert [line.stream for line in page.lines] == ["stdout", "stdout", "stderr", "stdout"]
    assert page.sent == 4


def test_a_line_that_goes_on_takes_the_place_of_its_beginning(run):
    print_to(run, (OUT, b"done\ncopy"))
    page = Page(run).look()
    assert texts(page.lines) == ["done", "copy"]
    print_to(run, (OUT, b"ing\nnext"))
    page.look()
    assert texts(page.lines) == ["done", "copying", "next"]
    assert [line.open for line in page.lines] == [False, False, True]

    assert [line.open for line in page.look(ended=True).lines] == [False, False, False]


def test_a_line_that_the_other_stream_interrupts_is_two(run):
    print_to(run, (OUT, b"copying"))
    page = Page(run).look()
    print_to(run, (ERR, b"warning\n"), (OUT, b" done\n"))

    assert texts(page.look().lines) == ["copying", "warning", " done"]


def test_a_progress_bar_shows_its_last_state(run):
    print_to(run, (OUT, b"10 %\r50 %"))
    page = Page(run).look()
    assert texts(page.lines) == ["50 %"]
    print_to(run, (OUT, b"\r100 %\r\n"))

    assert texts(page.look().lines) == ["100 %"]


def test_colours_go_on_in_the_next_answer_each_stream_its_own(run):
    print_to(run, (OUT, b"\x1b[31;1mred\n"), (ERR, b"plain\n"))
    page = Page(run).look()
    print_to(run, (OUT, b"red still\x1b[0m\n"), (ERR, b"plain\n"), (OUT, b"plain\n"))
    page.look()

    assert [line.spans[0].classes for line in page.lines] == ["ansi-bold ansi-1", "", "ansi-bold ansi-1", "", ""]


def test_a_character_that_comes_in_two_parts_is_one(run):
    euro = "€".encode()
    print_to(run, (OUT, b"5 " + euro[:1]))
    page = Page(run).look()
    print_to(run, (OUT, euro[1:] + b"\n\xff\n"))

    assert texts(page.look().lines) == ["5 €", "\\xff"]


def test_what_is_not_kept_is_said_where_it_was(run):
    print_to(run, (OUT, b"head\n"))
    page = Page(run).look()
    print_to(run, (OUT, b"tail\n"), first=9)
    assert texts(page.look().lines) == ["head", "… some of the output is not kept …", "tail"]

    run.output_dropped = 12345
    assert texts(Page(run).look().lines)[1] == "… 12,345 bytes are not kept …"


@pytest.mark.parametrize("seed", range(5))
def test_in_parts_of_any_size_it_is_what_it_is_in_one(run, seed, monkeypatch):
    chance = random.Random(seed)
    words = ["\n", "\r", "\x1b[31m", "\x1b[0m", "\x1b[1;34;48;5;200m", "a", "word ", "é", "\r\n", "x" * 50]
    pieces = [
        (chance.choice([OUT, ERR]), "".join(chance.choices(words, k=chance.randint(1, 20))).encode()) for _ in range(30)
    ]
    page = Page(run)
    for piece in pieces:
        print_to(run, piece)
        if chance.random() < 0.5:
            page.look()
    page.look(ended=True)
    whole = Page(run).look(ended=True)

    assert page.lines == whole.lines
    monkeypatch.setattr(run_log, "MOST_LINES", 3)
    assert Page(run).look(ended=True).lines == whole.lines


def test_a_long_output_comes_in_several_answers(run):
    print_to(run, (OUT, b"a line of some length\n" * 5000))

    chunk = run_log.read(run, Cursor(), ended=True)

    assert chunk.more
    assert len(chunk.lines) == run_log.MOST_LINES
    assert len(Page(run).look(ended=True).lines) == 5000


@pytest.mark.parametrize(
    "cursor", ["", "x", "1.2", "99999999999.1.0..", "1.1.1.evil;.", "1.0.0.77,#zzzzzz,dim+huge.", "0.0.0.."]
)
def test_any_cursor_gives_an_answer(admin, run, cursor):
    print_to(run, (OUT, b"one\n"))

    answer = admin.get(f"/admin/jobs/run/{run.pk}/log/", {"from": cursor})

    assert answer.status_code == 200
    assert "evil" not in answer.json()["html"]
    assert "zzz" not in answer.json()["html"]


def test_the_answer_is_escaped_and_tells_whether_there_will_be_more(admin, run):
    print_to(run, (OUT, b"<img src=x onerror=alert(1)>\n"))
    address = f"/admin/jobs/run/{run.pk}/log/"

    answer = admin.get(address).json()
    assert "&lt;img src=x" in answer["html"]
    assert "<img" not in answer["html"]
    assert answer["active"]
    Run.objects.update(state=State.FAILED, finished_at=timezone.now())
    again = admin.get(address, {"from": answer["cursor"]}).json()

    assert (again["html"], again["active"], again["more"]) == ("", False, False)


def test_all_of_it_can_be_saved_to_the_byte(admin, run):
    print_to(run, (OUT, b"\x1b[31mred\x00\xff\n"), (ERR, b"<b>\n"))

    answer = admin.get(f"/admin/jobs/run/{run.pk}/log.txt")

    assert b"".join(answer.streaming_content) == b"\x1b[31mred\x00\xff\n<b>\n"
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["Content-Disposition"] == f'attachment; filename="run-{run.pk}.txt"'


@pytest.mark.parametrize("part", ["log/", "log.txt", "live/"])
def test_who_may_not_see_runs_sees_no_output(client, run, part):
    client.force_login(User.objects.create_user("eve", is_staff=True))

    assert client.get(f"/admin/jobs/run/{run.pk}/{part}").status_code == 403


def test_a_run_again_with_changes_keeps_everything_else_of_the_run(admin):
    run = make_run(
        state=State.FAILED,
        schedule_name="mine",
        exclusive_key="k",
        route={"queue": "reports"},
        parameters={"command": "false", "environment": {"A": "1"}},
    )
    address = f"/admin/run-again/{run.pk}/"
    assert 'value="false"' in admin.get(address).content.decode()
    fields = {"parameter_environment": "A=2", "parameter_accepted_exit_codes": "0"}

    refused = admin.post(address, {**fields, "parameter_command": ""})
    assert "parameter_command" in refused.context["form"].errors
    assert Run.objects.count() == 1

    admin.post(address, {**fields, "parameter_command": "true"})
    new = Run.objects.exclude(pk=run.pk).get()
    assert new.parameters["command"] == "true"
    assert new.parameters["environment"] == {"A": "2"}
    assert (new.exclusive_key, new.route, new.schedule_name) == ("k", {"queue": "reports"}, "mine")
    assert (new.origin, new.requested_by, new.state) == (Origin.MANUAL, "ada", State.PENDING)
    assert "A = 2" in str(AuditEntry.objects.get().after)


def test_who_may_not_run_commands_may_not_run_one_again_with_changes(client):
    user = User.objects.create_user("eddie", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_run", "run_schedule"]))
    client.force_login(user)
    run = make_run(state=State.FAILED)

    assert client.post(f"/admin/run-again/{run.pk}/", {"parameter_command": "true"}).status_code == 403
    assert Run.objects.count() == 1


def test_a_runs_page_leads_to_the_runs_before_and_after_it(admin):
    before, run, after = (make_run(state=State.SUCCEEDED, schedule_id=7) for _ in range(3))
    make_run(state=State.SUCCEEDED, schedule_id=8)

    page = admin.get(f"/admin/jobs/run/{run.pk}/change/").content.decode()

    assert f'/admin/jobs/run/{before.pk}/change/">← Run {before.pk}' in page
    assert f'/admin/jobs/run/{after.pk}/change/">Run {after.pk} →' in page
