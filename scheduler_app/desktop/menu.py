"""The tray's whole menu, made from one observation: entries with what a click asks for. Pure, so it can be tested."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from scheduler_app.desktop.observation import Activity, Look, Observation, Service
from scheduler_app.desktop.wording import at, short, since, state

PAUSES = {"15 minutes": "15m", "1 hour": "1h", "Until tomorrow": "tomorrow", "Until resumed": "resumed"}
"""Labels, and what the web service takes for a pause's length."""


MOST_PROBLEMS, LONGEST_PROBLEM = 3, 80
"""The overview, one click away, has all of them in full."""


class Verb(StrEnum):
    OPEN_ADMIN = "open admin"
    OPEN_RUN = "open run"
    OPEN_SCHEDULE = "open schedule"
    START_ALL = "start all"
    STOP_ALL = "stop all"
    RESTART_ALL = "restart all"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    OPEN_LOG = "open log"
    RUN_NOW = "run now"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    OPEN_LOGS = "open logs"
    OPEN_DATA = "open data folder"
    OPEN_CONFIGURATION = "open configuration"
    START_AT_LOGIN = "start at login"
    NOTIFY = "notify"
    CHECK_UP = "check up"
    CLOSE = "close"
    STOP_AND_QUIT = "stop and quit"
    KILL_AND_QUIT = "stop now and quit"


@dataclass(frozen=True, slots=True)
class Command:
    """What a click asks for; *subject* is a service's name, a run, a schedule or a length of time."""

    verb: Verb
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the menu; without command and children it only tells."""

    label: str
    command: Command | None = None
    children: "Sequence[Entry | None]" = ()
    checked: bool | None = None
    default: bool = False
    enabled: bool = True


SEPARATOR = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What the person has chosen, as it is read from where the system keeps it."""

    starts_at_login: bool = False
    notifies: bool = True


def menu(seen: Observation, settings: Settings, version: str, now: datetime) -> tuple[Entry | None, ...]:
    """Return the entries, None between groups."""
    is_up = seen.state != "stopped"
    return (
        Entry("Open admin", Command(Verb.OPEN_ADMIN), default=True, enabled=is_up),
        SEPARATOR,
        Entry(f"State: {state(seen)}", enabled=False),
        *([Entry(short(seen.problem), enabled=False)] if seen.problem else []),
        *(Entry(short(each, LONGEST_PROBLEM), Command(Verb.OPEN_ADMIN)) for each in _problems(seen)),
        Entry("Start", Command(Verb.START_ALL), enabled=not is_up),
        Entry("Stop", Command(Verb.STOP_ALL), enabled=is_up and seen.state != "stopping"),
        Entry("Restart", Command(Verb.RESTART_ALL), enabled=is_up and seen.state != "stopping"),
        *([Entry("Services", children=[_service(each) for each in seen.services])] if seen.services else []),
        SEPARATOR,
        *(_of_schedules(seen.activity, now) if seen.activity is not None else []),
        SEPARATOR,
        Entry("Open logs", Command(Verb.OPEN_LOGS)),
        Entry("Open data folder", Command(Verb.OPEN_DATA)),
        Entry("Open configuration", Command(Verb.OPEN_CONFIGURATION)),
        SEPARATOR,
        Entry("Start at login", Command(Verb.START_AT_LOGIN), checked=settings.starts_at_login),
        Entry("Notifications", Command(Verb.NOTIFY), checked=settings.notifies),
        Entry("Check up", Command(Verb.CHECK_UP)),
        Entry(f"About: Scheduler {version}", enabled=False),
        SEPARATOR,
        _quit(seen),
    )


def _problems(seen: Observation) -> Sequence[str]:
    return seen.activity.problems[:MOST_PROBLEMS] if seen.activity is not None else ()


def _service(service: Service) -> Entry:
    runs = service.has_process
    children: list[Entry | None] = [Entry(short(service.reason), enabled=False)] if service.reason else []
    children += [
        Entry("Start", Command(Verb.START, service.name), enabled=not runs),
        Entry("Stop", Command(Verb.STOP, service.name), enabled=runs),
        Entry("Restart", Command(Verb.RESTART, service.name), enabled=runs),
        Entry("Log", Command(Verb.OPEN_LOG, service.name)),
    ]
    return Entry(f"{service.name}: {service.state}", children=children)


def _of_schedules(activity: Activity, now: datetime) -> Iterable[Entry | None]:
    yield _pause(activity)
    if activity.runnable:
        offered = [Entry(short(each.name), Command(Verb.RUN_NOW, str(each.schedule))) for each in activity.runnable]
        yield Entry("Run now", children=offered)
    if activity.running:
        yield Entry(f"Running ({activity.running_count})", children=[*_running(activity, now)])
    if activity.failures:
        failures = [
            Entry(f"{short(each.name)}, {at(each.at, now)}", Command(Verb.OPEN_RUN, str(each.run)))
            for each in activity.failures
        ]
        yield Entry("Recent failures", children=failures)
    if activity.upcoming:
        upcoming = [
            Entry(f"{short(each.name)}, {at(each.at, now)}", Command(Verb.OPEN_SCHEDULE, str(each.schedule)))
            for each in activity.upcoming
        ]
        yield Entry("Next up", children=upcoming)


def _pause(activity: Activity) -> Entry:
    if activity.pause is not None:
        return Entry("Resume schedules", Command(Verb.RESUME))
    lengths = [Entry(label, Command(Verb.PAUSE, length)) for label, length in PAUSES.items()]
    return Entry("Pause schedules", children=lengths)


def _running(activity: Activity, now: datetime) -> Iterable[Entry]:
    for job in activity.running:
        children = [
            Entry("Open", Command(Verb.OPEN_RUN, str(job.run))),
            Entry("Cancel", Command(Verb.CANCEL, str(job.run))),
        ]
        yield Entry(f"{short(job.name)}, {since(job.started_at, now)}", children=children)


def _quit(seen: Observation) -> Entry:
    if seen.look is Look.STOPPED and seen.state != "stopping":
        return Entry("Quit", Command(Verb.CLOSE))
    finishing = "Stop everything; running jobs may finish" if seen.look is Look.BUSY else "Stop everything"
    return Entry(
        "Quit",
        children=[
            Entry("Close the icon; everything goes on", Command(Verb.CLOSE)),
            Entry(finishing, Command(Verb.STOP_AND_QUIT)),
            *(
                [Entry("Stop everything, running jobs too", Command(Verb.KILL_AND_QUIT))]
                if seen.look is Look.BUSY
                else []
            ),
        ],
    )
