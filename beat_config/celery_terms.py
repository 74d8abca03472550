"""What a schedule form says, in Celery's own terms: for people who know django-celery-beat, to read only."""

from datetime import datetime
from typing import Any

from django_celery_beat.models import PeriodicTask

from beat_config import places
from beat_config.places import Place
from beat_config.timing import Every, Once, Sun, Times, Timing
from jobs import catalogue
from jobs.messages import TASK_NAME


def terms_of(cleaned: dict[str, Any], stored: PeriodicTask) -> list[tuple[str, str]]:
    """Return the columns of the `PeriodicTask` that *cleaned*, of a form, makes, and what travels; empty ones too.

    *stored* is the schedule as it is before: what the form has no word for stays.
    """
    way = PeriodicTask(
        queue=stored.queue, exchange=stored.exchange, routing_key=stored.routing_key, headers=stored.headers
    )
    place = cleaned.get("place")
    if isinstance(place, Place):
        places.store(place, way)
    name, expires_after = cleaned.get("task", ""), cleaned.get("expires_after")
    parameters = catalogue.named_parameters(name, cleaned.get("parameters") or {})
    lines = [
        ("task", name),
        ("args", "none"),
        *((f"kwargs: {key}", value) for key, value in parameters),
        *_schedule(cleaned.get("timing")),
        ("queue", way.queue),
        ("exchange", way.exchange),
        ("routing_key", way.routing_key),
        ("headers", "" if way.headers in ("", "{}") else way.headers),
        ("priority", cleaned.get("priority")),
        ("start_time", _moment(cleaned.get("start_time"))),
        ("expires", _moment(cleaned.get("expires"))),
        ("expire_seconds", f"{expires_after.total_seconds():g}" if expires_after else ""),
        ("one_off", "yes" if isinstance(cleaned.get("timing"), Once) else "no"),
        ("message sent", f"{TASK_NAME}: the number of the run, signed; what runs is looked up by it"),
    ]
    return [(label, "–" if value in (None, "") else str(value)) for label, value in lines]


def _schedule(timing: Timing | None) -> list[tuple[str, Any]]:
    match timing:
        case Every(number, unit):
            return [("interval", f"{number} {unit}")]
        case Times(line, zone, rule):
            both = "day or weekday" if rule == "or" else "day and weekday"
            return [("crontab", f"{line} ({zone.key}; {both}, where both are set)")]
        case Once(at):
            return [("clocked", _moment(at))]
        case Sun(event, latitude, longitude):
            return [("solar", f"{event} at {latitude}, {longitude}")]
        case None:
            return []


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(sep=" ", timespec="seconds")
