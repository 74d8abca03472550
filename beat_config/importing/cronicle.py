"""Cronicle's schedule: its export (`control.sh export`: a line for each record), or what get_schedule answers."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from beat_config.importing.found import Found, ImportProblem, give_names, numbers

# Cronicle's name, the lowest and the highest value, in the order of a cron line.
_TIMING = (("minutes", 0, 59), ("hours", 0, 23), ("days", 1, 31), ("months", 1, 12), ("weekdays", 0, 6))
_LEFT_OUT = {
    "notify_success": "mails of its success",
    "notify_fail": "mails of its failure",
    "web_hook": "its web hook",
    "web_hook_start": "its web hook",
    "cpu_limit": "its limit of CPU time",
    "memory_limit": "its limit of memory",
    "log_max_size": "its limit of log size",
}
_INTERPRETERS = {"bash": "bash", "python": "python", "python3": "python"}


def read(text: str) -> list[Found]:
    """Return the events; raise ImportProblem when the text holds none of Cronicle's records."""
    events = [each for each in _events(text) if isinstance(each, Mapping)]
    titles = {str(event.get("id")): str(event.get("title")) for event in events}
    return give_names(_event(event, titles) for event in events)


def _events(text: str) -> list[Any]:
    if text.lstrip().startswith("{"):
        data = _json(text, "the file")
        if isinstance(data, Mapping) and isinstance(data.get("rows"), list):
            return list(data["rows"])
        raise ImportProblem("it holds no rows, as get_schedule answers")
    records = [line.partition(" - ") for line in text.splitlines() if line.startswith("global/schedule/")]
    if not records:
        raise ImportProblem("it has no line that begins with global/schedule/: is it from control.sh export?")
    events: list[Any] = []
    for key, _, record in records:
        page = _json(record, key)
        events += page.get("items", []) if isinstance(page, Mapping) and isinstance(page.get("items"), list) else []
    return events


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ImportProblem(f"{what} is no JSON ({str(error)[:80]})") from None


def _event(event: Mapping[str, Any], titles: Mapping[str, str]) -> Found:
    found = Found(f"event {event.get('id')}", str(event.get("title") or event.get("id")))
    timing = event.get("timing")
    if not isinstance(timing, Mapping):
        found.notes.append("it runs on demand only: here, run the job by hand")
        return found
    job = _job(event, found.notes)
    if not job:
        return found
    if timing.get("years"):
        found.notes.append(f"it ran in the years {timing['years']} only")
    found.values = {
        "cron": " ".join(
            numbers(_whole(timing.get(name)) or range(low, high + 1), low, high) for name, low, high in _TIMING
        ),
        "day_rule": "and",
        "enabled": bool(event.get("enabled")),
        **job,
        **_policies(event),
    }
    if zone := event.get("timezone"):
        found.values["time_zone"] = zone
    if notes := event.get("notes"):
        found.values["description"] = notes
    for theirs, ours in (("chain", "on_success"), ("chain_error", "on_failure")):
        if event.get(theirs):
            found.values[ours] = titles.get(str(event[theirs]), str(event[theirs]))
    if event.get("target") not in (None, "", "allgrp"):
        found.notes.append(f"it ran on {event['target']}: here any worker takes it")
    if event.get("multiplex"):
        found.values["where"] = {"every_machine": True}
    found.notes += [f"{words} is left out" for name, words in _LEFT_OUT.items() if event.get(name)]
    return found


def _whole(values: Any) -> list[int]:
    return [value for value in values if isinstance(value, int)] if isinstance(values, list) else []


def _job(event: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    given = event.get("params")
    params: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    match event.get("plugin"):
        case "shellplug":
            script = str(params.get("script", ""))
            first = script.partition("\n")[0]
            program = first.removeprefix("#!").replace("/env ", "/").split(" ")[0].rpartition("/")[2]
            return {
                "job": "run_script",
                "parameters": {"script": script, "interpreter": _INTERPRETERS.get(program, "sh")},
            }
        case "urlplug":
            return {"job": "call_web_address", "parameters": dict(_request(params, notes))}
        case plugin:
            notes.append(f"its plug-in {plugin} is not known here: write a job of your own for it")
            return {}


def _request(params: Mapping[str, Any], notes: list[str]) -> Iterator[tuple[str, Any]]:
    yield "url", str(params.get("url", ""))
    yield "method", str(params.get("method", "GET")).upper()
    lines = [line.partition(":") for line in str(params.get("headers") or "").splitlines() if ":" in line]
    headers = {name.strip(): value.strip() for name, _, value in lines}
    if any(name.lower() == "authorization" for name in headers):
        notes.append("its header Authorization is left out: store it as a secret and choose that")
    yield "headers", {name: value for name, value in headers.items() if name.lower() != "authorization"}
    yield "body", str(params.get("data") or "")
    yield "follow_redirects", bool(params.get("follow"))
    if params.get("timeout"):
        yield "timeout", f"{params['timeout']}s"
    for theirs, ours in (("success_match", "must_contain"), ("error_match", "must_not_contain")):
        if params.get(theirs):
            yield ours, str(params[theirs])
            notes.append(f"{ours.replace('_', ' ')} is compared as it is, not as a regular expression")


def _policies(event: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    several = isinstance(event.get("max_children"), int) and event["max_children"] != 1
    # Cronicle runs every missed one: they have to wait for one another.
    one_by_one = "queue" if event.get("queue") or event.get("catch_up") else "skip"
    found["overlap"] = "allow" if several else one_by_one
    found["catch_up"] = "all" if event.get("catch_up") else "none"
    if event.get("timeout"):
        found["time_limit"] = f"{event['timeout']}s"
    if event.get("retries"):
        found |= {"when_wrong": "failure", "attempts": int(event["retries"]) + 1}
        found["retry_delay"] = f"{event.get('retry_delay') or 0}s"
    return found
