"""Form fields of a schedule that Django has none for: lengths of time, moments, tags, the name of another schedule."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from unfold.widgets import INPUT_CLASSES, UnfoldAdminTextInputWidget

from beat_config import tags
from beat_config.models import Schedule
from beat_config.triggers import TriggerError, parse_period
from jobs.durations import format_duration


class PeriodField(forms.CharField):
    """A length of time as people type it; its value is a timedelta, None when it is left empty."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminTextInputWidget(attrs={"placeholder": "10 minutes", "spellcheck": "false"})
        super().__init__(required=False, widget=widget, **options)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return parse_period(text) if text else None
        except TriggerError as error:
            raise forms.ValidationError(str(error)) from error

    def prepare_value(self, value: Any) -> Any:
        return format_duration(value) if isinstance(value, timedelta) else value


class DateWidget(forms.DateInput):
    """The browser's own calendar."""

    def __init__(self, attrs: dict[str, str] | None = None) -> None:
        classes = {"class": " ".join(INPUT_CLASSES), **(attrs or {})}
        super().__init__(attrs={"type": "date", **classes}, format="%Y-%m-%d")


class _TimeWidget(forms.TimeInput):
    def __init__(self) -> None:
        super().__init__(attrs={"type": "time", "class": " ".join(INPUT_CLASSES), "aria-label": "Time"})

    def format_value(self, value: Any) -> Any:
        """Leave out seconds that are zero: browsers then ask for none."""
        if hasattr(value, "strftime"):
            return f"{value:%H:%M:%S}" if value.second else f"{value:%H:%M}"
        return value


class MomentField(forms.SplitDateTimeField):
    """A date and a time, chosen with the browser's own calendar and clock."""

    def __init__(self, **options: Any) -> None:
        widget = forms.SplitDateTimeWidget()
        widget.widgets = (DateWidget({"aria-label": "Date"}), _TimeWidget())
        super().__init__(required=False, widget=widget, **options)


class ReadingField(MomentField):
    """What a clock shows, in a zone that another field names: its value has no zone of its own."""

    def compress(self, data_list: Any) -> Any:
        return datetime.combine(*data_list) if data_list and all(each is not None for each in data_list) else None


class TagsField(forms.CharField):
    """The names of tags, separated by commas; its value is a list of them."""

    def __init__(self) -> None:
        widget = UnfoldAdminTextInputWidget(attrs={"list": "tag-names", "spellcheck": "false", "autocomplete": "off"})
        super().__init__(
            label="Tags",
            required=False,
            widget=widget,
            help_text="Words of your own, such as backup, nightly: the list of schedules can be filtered by them.",
        )

    def clean(self, value: Any) -> Any:
        try:
            return tags.parse(super().clean(value))
        except tags.TagError as error:
            raise forms.ValidationError(str(error)) from error

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value


class NextField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """The schedule that is started afterwards, by its name; None when it is left empty."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminTextInputWidget(
            attrs={"list": "schedule-names", "spellcheck": "false", "placeholder": "the name of a schedule"}
        )
        super().__init__(
            queryset=Schedule.objects.all(), to_field_name="name", required=False, widget=widget, **options
        )
        self.error_messages["invalid_choice"] = "There is no schedule of that name."
