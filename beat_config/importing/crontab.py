"""crontab(5): a user's, or with a user in every line (/etc/crontab, /etc/cron.d); Vixie cron as in Debian, cronie."""

import re
from collections.abc import Iterator
from typing import Any

from beat_config.importing.found import Found, give_names, name_of

_VARIABLE = re.compile(r"^\s*(?P<name>\"[^\"]*\"|'[^']*'|[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*?)\s*$")
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = 5
# Shells that the job "Run a script" has.
_SHELLS = {"bash": "bash"}
# What cron itself reads, or sets for every job.
_CRONS_OWN = ("SHELL", "HOME", "MAILTO", "MAILFROM", "CRON_TZ", "LOGNAME", "USER", "CONTENT_TYPE")


def read(text: str, *, system: bool) -> list[Found]:
    """Return the schedules of a crontab; *system*: every line names the user it runs as."""
    return give_names(_read(text, system=system))


def _read(text: str, *, system: bool) -> Iterator[Found]:
    variables: dict[str, str] = {}
    remarks: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped:
            remarks = []
        elif stripped.startswith("#"):
            remarks.append(stripped.lstrip("#").strip())
        elif variable := _VARIABLE.match(line):
            variables[_unquoted(variable["name"])] = _unquoted(variable["value"])
            remarks = []
        else:
            found = _line(stripped, variables, system=system)
            found.place = f"line {number}"
            if found.values and any(remarks):
                found.values["description"] = "\n".join(remarks).strip()
            yield found
            remarks = []


def _line(line: str, variables: dict[str, str], *, system: bool) -> Found:
    parts = line.split(None, (1 if line.startswith("@") else _FIELDS) + system)
    when = parts[:1] if line.startswith("@") else parts[:_FIELDS]
    rest = parts[len(when) :]
    found = Found("", name_of(line))
    if len(rest) < 1 + system:
        found.notes.append("this is no line of a crontab: it has too few fields" + (" for one with users" * system))
        return found
    if system:
        found.notes.append(f"it ran as {rest[0]}: here it runs as the user who runs the worker")
    command = rest[-1]
    found.name = name_of(command)
    if when == ["@reboot"]:
        found.notes.append("@reboot: nothing here starts with the machine; start it as a service of the system")
        return found
    if when[0].startswith("@") and when[0].lower() not in _NICKNAMES:
        found.notes.append(f"{when[0]} is not known")
        return found
    found.values = {"cron": _NICKNAMES.get(when[0].lower(), " ".join(when)), **_zone(variables)}
    found.values |= _job(command, variables, found.notes)
    if mail_to := variables.get("MAILTO"):
        found.notes.append(f"its output went by mail to {mail_to}: here it is in the history")
    return found


def _zone(variables: dict[str, str]) -> dict[str, str]:
    return {"time_zone": variables["CRON_TZ"]} if variables.get("CRON_TZ") else {}


def _job(command: str, variables: dict[str, str], notes: list[str]) -> dict[str, Any]:
    line, stdin = _split_at_percent(command)
    shell = variables.get("SHELL", "/bin/sh").rpartition("/")[2]
    parameters: dict[str, Any] = {"script": line, "interpreter": _SHELLS[shell]} if shell in _SHELLS else {}
    job = "run_script" if parameters else "run_command"
    parameters = parameters or {"command": line, "shell": True}
    if shell not in {"sh", "dash", *_SHELLS}:
        notes.append(f"it ran in {variables['SHELL']}: here it runs in the system's shell")
    if variables.get("HOME"):
        parameters["folder"] = variables["HOME"]
    environment = {name: value for name, value in variables.items() if name not in _CRONS_OWN}
    if environment:
        parameters["environment"] = environment
    if stdin is not None:
        parameters["stdin"] = stdin
    return {"job": job, "parameters": parameters}


def _split_at_percent(command: str) -> tuple[str, str | None]:
    r"""Return the command and its standard input: what follows the first %, where % is a new line and \% a %."""
    first, *others = (part.replace("\\%", "%") for part in re.split(r"(?<!\\)%", command))
    return first, "\n".join(others) + "\n" if others else None


def _unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if is_quoted else text
