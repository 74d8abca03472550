"""What becomes a notification, and what does not."""

from datetime import datetime

from scheduler_app.desktop.menu import Command, Verb
from scheduler_app.desktop.news import LONGEST_TEXT, Newspaper
from scheduler_app.desktop.observation import Activity, Failure, Observation, Service

NOW = datetime(2026, 3, 2, 12, 0).astimezone()


def failures(*numbers, name="Backup", reason="exit code 1"):
    return tuple(Failure(number, name, reason, NOW) for number in numbers)


def seen(**activity):
    return Observation("running", activity=Activity(**activity))


def test_what_failed_before_the_tray_was_there_is_no_news():
    assert Newspaper().issue(seen(failures=failures(1, 2))) == []


def test_a_failure_is_told_once_and_leads_to_its_run():
    paper = Newspaper()
    paper.issue(seen(failures=failures(1)))

    first = paper.issue(seen(failures=failures(2, 1)))
    second = paper.issue(seen(failures=failures(2, 1)))

    assert [(news.title, news.text, news.command) for news in first] == [
        ("Backup failed", "exit code 1", Command(Verb.OPEN_RUN, "2"))
    ]
    assert second == []


def test_many_failures_at_once_are_one_notification():
    paper = Newspaper()
    paper.issue(seen())

    (news,) = paper.issue(seen(failures=(*failures(1, 2, 3), *failures(4, name="Mail"))))

    assert (news.title, news.text) == ("4 runs failed", "Backup, Mail")


def test_a_schedule_that_works_again_is_told():
    paper = Newspaper()
    paper.issue(seen())

    (news,) = paper.issue(seen(recovered=failures(5, reason="Succeeded")))

    assert news.title == "Backup works again"


def test_nothing_is_told_twice_after_the_web_service_was_away():
    paper = Newspaper()
    paper.issue(seen(failures=failures(1)))
    paper.issue(Observation("degraded"))

    assert paper.issue(seen(failures=failures(1))) == []


def test_a_service_in_a_crash_loop_is_told_when_it_begins():
    paper = Newspaper()
    broken = Observation("failing", (Service("beat", "failed", "crash loop: 5 failures in a row"),))

    (news,) = paper.issue(broken)

    assert (news.title, news.command) == ("Scheduler: beat fails", Command(Verb.OPEN_LOG, "beat"))
    assert paper.issue(broken) == []
    paper.issue(Observation("running", (Service("beat", "ready"),)))
    assert len(paper.issue(broken)) == 1


def test_a_disk_that_is_nearly_full_is_told_once():
    paper = Newspaper()

    assert [news.title for news in paper.issue(Observation("running", disk_is_low="80 MB are left"))] == [
        "The disk is nearly full"
    ]
    assert paper.issue(Observation("running", disk_is_low="79 MB are left")) == []


def test_a_long_reason_is_clipped_to_what_every_system_takes():
    paper = Newspaper()
    paper.issue(seen())

    (news,) = paper.issue(seen(failures=failures(1, reason="x" * 1000)))

    assert len(news.text) == LONGEST_TEXT
