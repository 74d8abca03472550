"""The part of the schedule form that asks for limits and exceptions to when it fires."""

from datetime import timedelta
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
)

from beat_config.form_fields import DateWidget, MomentField, PeriodField
from beat_config.models import Blackout


class LimitFields(forms.Form):
    every_nth_week = forms.IntegerField(
        label="Only every so many weeks",
        required=False,
        min_value=1,
        max_value=520,
        initial=1,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="1 is every week, 2 every other week.",
    )
    weeks_from = forms.DateField(
        label="Counted from the week of",
        required=False,
        widget=DateWidget,
        help_text="Empty: from the week in which it is saved.",
    )
    start_time = MomentField(label="Not before")
    expires = MomentField(label="Not after")
    spread = PeriodField(
        label="Spread over",
        help_text="Starts it later by a part of this, always the same one, so that many schedules of one time do not"
        " all start at once.",
    )
    blackouts = forms.ModelMultipleChoiceField(
        label="Not during",
        required=False,
        queryset=Blackout.objects.all(),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="What would run then is skipped, and is in the history with the reason.",
    )

    def clean_limits(self, cleaned: dict[str, Any]) -> None:
        start, end = cleaned.get("start_time"), cleaned.get("expires")
        if start and end and end <= start:
            self.add_error("expires", "This is not after its beginning: it would never run.")
        cleaned["spread"] = cleaned.get("spread") or timedelta(0)
        if cleaned.get("every_nth_week") is None and "every_nth_week" not in self.errors:
            cleaned["every_nth_week"] = 1
