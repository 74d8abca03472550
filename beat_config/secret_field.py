"""The form field of a secret: one of those that are stored, or a value that is typed and stored as one."""

from collections.abc import Mapping
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget

from jobs import vault
from jobs.kinds import SecretReference

_HELP = "Choose a secret, or type a value: it is stored encrypted, as a new secret, and not shown again."


class SecretWidget(forms.MultiWidget):
    """The choice of a stored secret, and below it the place to type another value."""

    template_name = "beat_config/secret_widget.html"

    def __init__(self, names: list[str]) -> None:
        self._names = names
        choice = UnfoldAdminSelectWidget(attrs={"aria-label": "Stored secret"}, choices=_choices(names, ""))
        typed = UnfoldAdminPasswordWidget(
            attrs={"autocomplete": "new-password", "placeholder": "or type a value", "aria-label": "Value"}
        )
        super().__init__({"name": choice, "value": typed})

    def decompress(self, value: Any) -> list[Any]:
        reference = SecretReference.of(value)
        name = reference.name if reference else ""
        self.widgets[0].choices = _choices(self._names, name)  # type: ignore[attr-defined]  # a select
        return [name, ""]


class SecretField(forms.Field):
    """Its value is a reference or the typed text; None when there is neither."""

    def clean(self, value: Any) -> Any:
        name, typed = value or ("", "")
        if typed:
            return typed
        if name:
            return SecretReference(name).to_json()
        return super().clean(None)

    def has_changed(self, initial: Any, data: Any) -> bool:
        reference = SecretReference.of(initial)
        name, typed = data or ("", "")
        return bool(typed) or name != (reference.name if reference else "")


def secret_field(options: Mapping[str, Any]) -> forms.Field:
    """Return the field; *options* are those of every field."""
    help_text = " ".join(filter(None, [options.get("help_text", ""), _HELP]))
    return SecretField(widget=SecretWidget(vault.names()), **{**options, "help_text": help_text})


def _choices(names: list[str], current: str) -> list[tuple[str, str]]:
    gone = [(current, f"{current} (there is no such secret)")] if current and current not in names else []
    return [("", "– choose a secret –"), *gone, *((name, name) for name in names)]
