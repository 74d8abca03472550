"""The menu and the tooltip as functions of what is seen."""

from datetime import datetime, timedelta

import pytest

from scheduler_app.desktop.menu import Command, Settings, Verb, menu
from scheduler_app.desktop.observation import (
    Activity,
    Failure,
    Look,
    Observation,
    Pause,
    Runnable,
    RunningJob,
    Service,
    Upcoming,
)
from scheduler_app.desktop.wording import tooltip

NOW = datetime(2026, 3, 2, 12, 0).astimezone()
READY = (Service("web", "ready"), Service("beat", "ready"), Service("worker-1", "ready"))


def seen(state="running", services=READY, **activity):
    return Observation(state, services, "http://127.0.0.1:8765/", activity=Activity(**activity))


def shown(observation, **settings):
    return menu(observation, Settings(**settings), "1.0", NOW)


def find(entries, *path):
    for label in path:
        named = [entry for entry in entries if entry is not None]
        (entry,) = [entry for entry in named if entry.label == label] or [
            entry for entry in named if entry.label.startswith(label)
        ]
        entries = entry.children
    return entry


RUNNING = {"running": (RunningJob(7, "Backup", NOW - timedelta(minutes=3)),), "running_count": 1}

LOOKS = [
    pytest.param(Observation(), Look.STOPPED, id="no supervisor"),
    pytest.param(seen("stopping"), Look.STOPPED, id="stopping"),
    pytest.param(seen("starting"), Look.STARTING, id="starting"),
    pytest.param(seen(), Look.RUNNING, id="all is well"),
    pytest.param(Observation("running", READY), Look.RUNNING, id="the web service does not answer yet"),
    pytest.param(seen(**RUNNING), Look.BUSY, id="a job runs"),
    pytest.param(seen(pause=Pause(None)), Look.PAUSED, id="paused"),
    pytest.param(seen(pause=Pause(None), **RUNNING), Look.BUSY, id="a job runs on while paused"),
    pytest.param(seen(problems=("no beat runs",), **RUNNING), Look.DEGRADED, id="something is wrong while a job runs"),
    pytest.param(seen("degraded", pause=Pause(None)), Look.DEGRADED, id="trouble shows before a pause"),
    pytest.param(seen("failing", **RUNNING), Look.FAILING, id="a failed service shows before a job"),
]


@pytest.mark.parametrize(("observation", "look"), LOOKS)
def test_the_icon_shows_what_matters_most(observation, look):
    assert observation.look is look


def test_the_tooltip_says_state_running_jobs_and_what_comes_next():
    upcoming = (Upcoming(1, "Backup", NOW + timedelta(minutes=30)),)

    assert tooltip(seen(upcoming=upcoming), NOW) == "Scheduler: running · next: Backup at 12:30"
    assert tooltip(seen(**RUNNING), NOW) == "Scheduler: running a job · Backup"
    assert tooltip(Observation(), NOW) == "Scheduler: stopped"


def test_a_tooltip_names_the_service_that_is_not_well():
    services = (Service("web", "ready"), Service("beat", "backoff"))

    assert tooltip(seen("degraded", services), NOW) == "Scheduler: degraded (beat)"


def test_a_paused_tray_says_until_when_and_promises_no_next_run():
    upcoming = (Upcoming(1, "Backup", NOW + timedelta(minutes=5)),)

    text = tooltip(seen(pause=Pause(NOW + timedelta(hours=1)), upcoming=upcoming), NOW)

    assert text == "Scheduler: paused until 13:00"


def test_what_is_wrong_is_in_the_menu_and_leads_to_the_overview():
    wrong = seen(problems=("The message broker has not answered since 11:58:00: runs wait.", *"bcd"))

    entries = [entry for entry in shown(wrong) if entry is not None]

    assert tooltip(wrong, NOW) == "Scheduler: something is wrong"
    assert entries[1].label == "State: something is wrong"
    assert [entry.label for entry in entries[2:5]] == [
        "The message broker has not answered since 11:58:00: runs wait.",
        *("b", "c"),
    ]
    assert {entry.command for entry in entries[2:5]} == {Command(Verb.OPEN_ADMIN)}


def test_stopped_offers_start_and_running_offers_stop():
    stopped, running = shown(Observation()), shown(seen())

    assert [find(stopped, label).enabled for label in ("Open admin", "Start", "Stop", "Restart")] == [
        *(False, True, False, False)
    ]
    assert [find(running, label).enabled for label in ("Open admin", "Start", "Stop", "Restart")] == [
        *(True, False, True, True)
    ]
    assert find(running, "Open admin").default


def test_each_service_has_a_line_with_its_state_and_what_can_be_done():
    entry = find(
        shown(seen(services=(Service("beat", "failed", "crash loop: 5 failures"),))), "Services", "beat: failed"
    )

    assert [(child.label, child.enabled) for child in entry.children] == [
        ("crash loop: 5 failures", False),
        ("Start", True),
        ("Stop", False),
        ("Restart", False),
        ("Log", True),
    ]
    assert entry.children[1].command == Command(Verb.START, "beat")


def test_running_jobs_can_be_opened_and_cancelled():
    entry = find(shown(seen(**RUNNING)), "Running (1)", "Backup, for 3 min")

    assert [child.command for child in entry.children] == [Command(Verb.OPEN_RUN, "7"), Command(Verb.CANCEL, "7")]


def test_what_is_empty_is_left_out():
    labels = {entry.label for entry in shown(seen()) if entry is not None}

    assert not labels & {"Run now", "Recent failures", "Next up"}
    assert not any(label.startswith("Running") for label in labels)


def test_failures_schedules_and_what_comes_next_lead_to_their_pages():
    entries = shown(
        seen(
            failures=(Failure(3, "Mail", "exit code 1", NOW - timedelta(days=2)),),
            upcoming=(Upcoming(4, "Backup", NOW + timedelta(hours=1)),),
            runnable=(Runnable(4, "Backup"),),
        )
    )

    assert find(entries, "Recent failures").children[0].label == "Mail, on Sat 12:00"
    assert find(entries, "Recent failures").children[0].command == Command(Verb.OPEN_RUN, "3")
    assert find(entries, "Next up", "Backup, at 13:00").command == Command(Verb.OPEN_SCHEDULE, "4")
    assert find(entries, "Run now", "Backup").command == Command(Verb.RUN_NOW, "4")


def test_a_pause_is_offered_by_its_length_and_ended_by_one_click():
    lengths = {child.label: child.command for child in find(shown(seen()), "Pause schedules").children}

    assert lengths["15 minutes"] == Command(Verb.PAUSE, "15m")
    assert find(shown(seen(pause=Pause(None))), "Resume schedules").command == Command(Verb.RESUME)


def test_quit_asks_what_becomes_of_running_jobs():
    assert find(shown(Observation()), "Quit").command == Command(Verb.CLOSE)
    assert [child.command.verb for child in find(shown(seen()), "Quit").children] == [Verb.CLOSE, Verb.STOP_AND_QUIT]
    assert [child.command.verb for child in find(shown(seen(**RUNNING)), "Quit").children] == [
        Verb.CLOSE,
        Verb.STOP_AND_QUIT,
        Verb.KILL_AND_QUIT,
    ]


def test_check_marks_say_what_is_on():
    entries = shown(seen(), starts_at_login=True, notifies=False)

    assert find(entries, "Start at login").checked is True
    assert find(entries, "Notifications").checked is False


def test_a_long_name_does_not_make_the_menu_wide():
    name = "a\nname " + "x" * 300

    (entry,) = find(shown(seen(runnable=(Runnable(1, name),))), "Run now").children

    assert len(entry.label) == 40
    assert "\n" not in entry.label
