"""The parts of the schedule form that are folded away, and what is set in each of them in a line."""

from typing import Any, NamedTuple

from django import forms
from django.forms.boundfield import BoundField

from beat_config import place_fields
from beat_config.models import Chain
from beat_config.presets import PRESETS


class Section(NamedTuple):
    """*lines* are names of fields; those of one tuple stand beside each other. *usual* is said when nothing is set."""

    key: str
    title: str
    usual: str
    lines: list[str | tuple[str, ...]]


SECTIONS = [
    Section("where", "Where it runs", "any worker", [*place_fields.LAYOUT]),
    Section(
        "limits",
        "Limits and exceptions",
        "none",
        [("start_time", "expires"), ("every_nth_week", "weeks_from"), "spread", "blackouts"],
    ),
    Section("afterwards", "Afterwards", "nothing is started", [f"after_{when}" for when in Chain.When]),
    Section("notes", "Notes", "none", ["description"]),
]
DETAILS = Section(
    "policies",
    "In detail",
    "",
    [
        "catch_up",
        ("catch_up_window", "catch_up_cap"),
        ("grace", "expires_after"),
        ("overlap", "concurrency_key"),
        ("when_wrong", "attempts"),
        ("retry_delay", "retry_longest"),
        ("retry_doubles", "retry_varies"),
        ("time_limit", "priority"),
    ],
)
_LONGEST = 80


class Folded(NamedTuple):
    """A section as the template draws it."""

    key: str
    title: str
    summary: str
    lines: list[list[BoundField]]
    open: bool


def folded(form: forms.BaseForm, section: Section) -> Folded:
    lines = [[form[name] for name in ([line] if isinstance(line, str) else line)] for line in section.lines]
    wrong = any(field.errors for line in lines for field in line) if form.is_bound else False
    return Folded(section.key, section.title, summary(form, section), lines, wrong)


def summary(form: forms.BaseForm, section: Section) -> str:
    """Return in words which fields of *section* are not as they are in a new form."""
    preset = form["preset"].value() if section is DETAILS else None
    # What the preset sets is said by its own name.
    fields = [
        form[name]
        for line in section.lines
        for name in ([line] if isinstance(line, str) else line)
        if not (preset in PRESETS and name in PRESETS[preset].values)
    ]
    parts = [f"{field.label}: {shown}" for field in fields if (shown := _shown(field)) and shown != _initially(field)]
    text = "; ".join(parts) or section.usual
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()} …"


def _shown(field: BoundField) -> str:
    return _text(field.field, field.value())


def _initially(field: BoundField) -> str:
    """Return how a new form shows the *field*."""
    return _text(field.field, field.field.prepare_value(field.field.initial))


def _text(field: Any, value: Any) -> str:
    choices: Any = getattr(field, "choices", ())
    if isinstance(field, forms.ModelMultipleChoiceField):
        chosen = {str(each) for each in value or ()}
        return ", ".join(str(label) for key, label in choices if str(key) in chosen)
    if isinstance(field, forms.BooleanField):
        return "yes" if value and value != "False" else ""
    if isinstance(field, forms.MultiValueField):
        parts = value if isinstance(value, list) else field.widget.decompress(value)
        return " ".join(str(each) for each in parts if each)
    if value in (None, ""):
        return ""
    if isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField):
        return next((str(label) for key, label in choices if str(key) == str(value)), "")
    return str(value)
