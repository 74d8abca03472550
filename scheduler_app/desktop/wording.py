"""What the tray says of an observation, in words."""

from datetime import datetime

from scheduler_app.desktop.observation import Look, Observation

NAME = "Scheduler"
LONGEST_NAME = 40
"""Characters of a schedule's name in a menu or tooltip; Windows shows 127 of a tooltip in all."""
DAYS_OF_A_WEEK = 7


def tooltip(seen: Observation, now: datetime) -> str:
    """Return one line: the state, what runs, what comes next."""
    parts = [f"{NAME}: {state(seen)}"]
    activity = seen.activity
    if activity is not None and activity.running_count:
        parts.append(f"{activity.running_count} running" if activity.running_count > 1 else short(_first(seen)))
    if activity is not None and activity.upcoming and activity.pause is None:
        following = activity.upcoming[0]
        parts.append(f"next: {short(following.name)} {at(following.at, now)}")
    return " · ".join(parts)


def state(seen: Observation) -> str:
    """Return the state in words, with what is wrong where something is."""
    if seen.state == "stopping":
        return "stopping"
    if seen.look in {Look.FAILING, Look.DEGRADED}:
        wrong = [service.name for service in seen.services if service.state not in {"ready", "done"}]
        if not wrong and seen.activity is not None and seen.activity.problems:
            return "something is wrong"
        return f"{seen.look} ({', '.join(wrong)})" if wrong else str(seen.look)
    if seen.look is Look.PAUSED:
        pause = seen.activity.pause if seen.activity else None
        return "paused" if pause is None or pause.until is None else f"paused until {pause.until:%H:%M}"
    return str(seen.look)


def at(moment: datetime, now: datetime) -> str:
    """Return when that is: at 14:30, on Mon 14:30, on 2026-12-24 14:30."""
    days = abs((moment.date() - now.date()).days)
    if days == 0:
        return f"at {moment:%H:%M}"
    return f"on {moment:%a %H:%M}" if days < DAYS_OF_A_WEEK else f"on {moment:%Y-%m-%d %H:%M}"


def since(moment: datetime, now: datetime) -> str:
    """Return how long that is ago, no finer than a minute: a menu that changes every second cannot be used."""
    minutes = max(0, int((now - moment).total_seconds()) // 60)
    if minutes < 1:
        return "just started"
    hours, minutes = divmod(minutes, 60)
    return f"for {hours} h {minutes} min" if hours else f"for {minutes} min"


def short(text: str, length: int = LONGEST_NAME) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _first(seen: Observation) -> str:
    activity = seen.activity
    return activity.running[0].name if activity is not None and activity.running else "1 running"
