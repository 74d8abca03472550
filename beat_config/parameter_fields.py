"""A job's parameters as form fields, and what people type into them as values."""

from typing import Any

from django import forms
from django.utils.html import escape
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from jobs.parameters import Parameter

PREFIX = "parameter_"
_MONOSPACE = {"class": "font-mono", "spellcheck": "false", "autocapitalize": "off", "autocomplete": "off"}


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
    if kind == "switch":
        return forms.BooleanField(widget=UnfoldBooleanSwitchWidget, **common)
    if kind == "choice":
        choices = parameter.choices if parameter.required else (("", "–"), *parameter.choices)
        choices = parameter.choices if parameter.default is not None else choices
        return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget, **common)
    widget: forms.Widget
    if kind in ("lines", "list", "mapping", "code"):
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 4 if kind != "code" else 12, **_attributes(kind)})
        common["help_text"] = " ".join(filter(None, [common["help_text"], _HINTS.get(kind, "")]))
    elif kind == "number":
        widget = UnfoldAdminIntegerFieldWidget()
    elif kind == "decimal":
        widget = UnfoldAdminDecimalFieldWidget(attrs={"step": "any"})
    elif kind == "secret":
        widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}, render_value=True)
    else:
        widget = UnfoldAdminTextInputWidget(attrs=_attributes(kind))
    return forms.CharField(widget=widget, strip=kind not in ("lines", "code", "secret"), **common)


def to_form(parameter: Parameter, value: Any) -> Any:
    """Return *value*, as the database keeps it, as the form field shows it."""
    if parameter.kind == "list" and isinstance(value, list):
        return "\n".join(str(item) for item in value)
    if parameter.kind == "mapping" and isinstance(value, dict):
        return "\n".join(f"{key}={item}" for key, item in value.items())
    return value


def from_form(parameter: Parameter, typed: Any) -> Any:
    """Return what was *typed* as the job takes it; ValueError says which line cannot be read."""
    if parameter.kind == "list":
        return [line.strip() for line in typed.splitlines() if line.strip()]
    if parameter.kind == "mapping":
        return dict(_pair(line) for line in typed.splitlines() if line.strip())
    return typed


def is_left_out(parameter: Parameter, typed: Any) -> bool:
    """Tell whether nothing was typed, so that the parameter's own default holds."""
    return typed in ("", None) and (parameter.default is not None or not parameter.required)


def _pair(line: str) -> tuple[str, str]:
    name, separator, value = line.partition("=")
    if not separator or not name.strip():
        raise ValueError(f"cannot read the line {line.strip()!r}: write NAME=VALUE, one a line")
    return name.strip(), value.strip()


def _attributes(kind: str) -> dict[str, str]:
    if kind in _EXAMPLES:
        return {"placeholder": _EXAMPLES[kind], "spellcheck": "false", "autocomplete": "off"}
    return dict(_MONOSPACE) if kind in ("path", "list", "mapping", "code") else {}


_EXAMPLES = {"duration": "1h 30m", "size": "500MB"}
_HINTS = {"list": "One a line.", "mapping": "NAME=VALUE, one a line."}
