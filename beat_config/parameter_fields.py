"""A job's parameters as form fields, and what people type into them as values."""

import json
from typing import Any, NamedTuple

from django import forms
from django.utils.html import escape
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from beat_config.secret_field import secret_field
from jobs import vault
from jobs.kinds import SecretReference
from jobs.parameters import Parameter

PREFIX = "parameter_"
_MONOSPACE = {"class": "font-mono", "spellcheck": "false", "autocapitalize": "off", "autocomplete": "off"}


class Given(NamedTuple):
    """A value as JSON has it, not typed into a field: nothing is to be read from a text."""

    value: Any


def field_for(parameter: Parameter) -> forms.Field:
    """Return the form field that asks for *parameter*; the job itself checks what is typed."""
    must = f"{parameter.label} must be filled in: it has no default."
    common: dict[str, Any] = {
        "label": parameter.label,
        "help_text": escape(parameter.help),  # Django takes it for HTML, and "<ada@example.org>" is none
        "required": parameter.required and parameter.kind != "switch",
        "error_messages": {"required": must},
    }
    kind = parameter.kind
    if kind == "secret":
        return secret_field(common)
    if kind == "switch":
        return forms.BooleanField(widget=UnfoldBooleanSwitchWidget, **common)
    if kind == "choice":
        choices = parameter.choices if parameter.required else (("", "–"), *parameter.choices)
        choices = parameter.choices if parameter.default is not None else choices
        return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget, **common)
    widget: forms.Widget
    if kind in ("lines", "list", "mapping", "code", "json"):
        widget = UnfoldAdminTextareaWidget(attrs={"rows": _ROWS.get(kind, 4), **_attributes(kind), **_rows(parameter)})
    elif kind == "number":
        widget = UnfoldAdminIntegerFieldWidget()
    elif kind == "decimal":
        widget = UnfoldAdminDecimalFieldWidget(attrs={"step": "any"})
    else:
        widget = UnfoldAdminTextInputWidget(attrs=_attributes(kind))
    return forms.CharField(widget=widget, strip=kind not in ("lines", "code"), **common)


def to_form(parameter: Parameter, value: Any) -> Any:
    """Return *value*, as the database keeps it, as the form field shows it."""
    if parameter.kind == "list" and isinstance(value, list):
        return "\n".join(_part(item, parameter) for item in value)
    if parameter.kind == "mapping" and isinstance(value, dict):
        return "\n".join(f"{key}={_part(item, parameter)}" for key, item in value.items())
    if parameter.kind == "json" and not (isinstance(value, str) and _as_json(value) == value):
        return "" if value is None else json.dumps(value, ensure_ascii=False)
    return value


def _as_json(typed: str) -> Any:
    """Return the value that *typed* is as JSON; the text itself when it is none."""
    try:
        return json.loads(typed)
    except ValueError:
        return typed


def from_form(parameter: Parameter, typed: Any) -> Any:
    """Return what was *typed* as the job takes it; ValueError says which line cannot be read."""
    if isinstance(typed, Given):
        return typed.value
    if parameter.kind == "list":
        lines = [line.strip() for line in typed.splitlines() if line.strip()]
        return [{"secret": line} for line in lines] if parameter.secret else lines
    if parameter.kind == "mapping":
        pairs = dict(_pair(line) for line in typed.splitlines() if line.strip())
        return {key: {"secret": name} for key, name in pairs.items()} if parameter.secret else pairs
    if parameter.kind == "json":
        return _as_json(typed)
    return typed


def is_left_out(parameter: Parameter, typed: Any) -> bool:
    """Tell whether nothing was typed, so that the parameter's own default holds."""
    return typed in ("", None) and (parameter.default is not None or not parameter.required)


def _part(item: Any, parameter: Parameter) -> str:
    if not parameter.secret:
        return str(item)
    reference = SecretReference.of(item)
    return reference.name if reference else ""  # a text that is not stored as a secret is not shown, either


def _pair(line: str) -> tuple[str, str]:
    name, separator, value = line.partition("=")
    if not separator or not name.strip():
        raise ValueError(f"cannot read the line {line.strip()!r}: write NAME=VALUE, one a line")
    return name.strip(), value.strip()


def _attributes(kind: str) -> dict[str, str]:
    if kind in _EXAMPLES:
        return {"placeholder": _EXAMPLES[kind], "spellcheck": "false", "autocomplete": "off"}
    return dict(_MONOSPACE) if kind in ("path", "list", "mapping", "code", "json") else {}


def _rows(parameter: Parameter) -> dict[str, str]:
    """Return what the page's script needs to show a row for each item instead of a line."""
    if parameter.kind not in {"list", "mapping"}:
        return {"placeholder": _HINTS.get(parameter.kind, "")}
    hints = _SECRET_HINTS if parameter.secret else _HINTS
    rows = {"data-rows": parameter.kind, "placeholder": hints[parameter.kind]}
    return rows | {"data-options": json.dumps(vault.names())} if parameter.secret else rows


_ROWS = {"code": 12, "json": 2}
_EXAMPLES = {"duration": "1h 30m", "size": "500MB"}
_SECRET_HINTS = {
    "list": "names of secrets, one a line",
    "mapping": "NAME=the name of a secret, one a line",
}
_HINTS = {
    "list": "one a line",
    "mapping": "NAME=VALUE, one a line",
    "json": "5, true, [1, 2], or a text",
}
