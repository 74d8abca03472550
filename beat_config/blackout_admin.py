"""Blackouts and holiday calendars in the admin."""

from typing import Any

from django import forms
from django.conf import settings
from unfold.admin import ModelAdmin
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from beat_config import timing
from beat_config.blackout_rows import blackout_of
from beat_config.cron import WEEKDAYS
from beat_config.holiday_calendars import countries
from beat_config.models import Blackout
from beat_config.triggers import TriggerError, parse_zone
from jobs.audited_admin import AuditedAdmin

# As people read a week; cron's numbers, in which 0 is Sunday.
DAYS = [
    (number % len(WEEKDAYS), WEEKDAYS[number % len(WEEKDAYS)].capitalize()) for number in range(1, len(WEEKDAYS) + 1)
]


class BlackoutForm(forms.ModelForm):  # type: ignore[type-arg]
    kind = forms.ChoiceField(
        label="When", choices=Blackout.Kind.choices, initial=Blackout.Kind.WEEKLY, widget=UnfoldAdminRadioSelectWidget
    )
    zone = forms.CharField(
        label="Time zone", widget=UnfoldAdminTextInputWidget(attrs={"list": "time-zones", "spellcheck": "false"})
    )
    weekdays = forms.TypedMultipleChoiceField(
        label="On",
        required=False,
        coerce=int,
        choices=DAYS,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None chosen: every day. An end that is not after the beginning lies on the next day.",
    )
    country = forms.ChoiceField(label="Country", required=False, widget=UnfoldAdminSelectWidget)
    subdivision = forms.CharField(
        label="State or region",
        required=False,
        max_length=10,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Its code, such as BY for Bavaria. Empty: the holidays of the whole country.",
    )
    own_days = forms.CharField(
        label="Days of your own",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "placeholder": "2026-12-24 Christmas Eve"}),
        help_text="A date and a name, one a line.",
    )

    class Meta:
        model = Blackout
        fields = (
            *("name", "kind", "zone", "weekdays", "start_time", "end_time", "start_at", "end_at"),
            *("country", "subdivision", "own_days"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["zone"].initial = settings.TIME_ZONE
        country = self.fields["country"]
        assert isinstance(country, forms.ChoiceField)  # noqa: S101 - declared above
        country.choices = [("", "–"), *((code, code) for code in sorted(countries()))]

    def clean_zone(self) -> str:
        try:
            return parse_zone(self.cleaned_data["zone"]).key
        except TriggerError as error:
            raise forms.ValidationError(str(error)) from error

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # Django's own hook; the instance holds what was typed after it
        if self.errors:
            return
        try:
            blackout_of(self.instance)
        except TriggerError as error:
            self.add_error(error.field if error.field in self.fields else None, str(error))


class BlackoutAdmin(AuditedAdmin, ModelAdmin):  # type: ignore[misc]  # Unfold has no types
    form = BlackoutForm
    list_display = ("name", "kind", "zone")
    search_fields = ("name",)
    change_form_outer_after_template = "beat_config/time_zones.html"
    conditional_fields = {
        "weekdays": "kind == 'weekly'",
        "start_time": "kind == 'weekly'",
        "end_time": "kind == 'weekly'",
        "start_at": "kind == 'once'",
        "end_at": "kind == 'once'",
        "country": "kind == 'holidays'",
        "subdivision": "kind == 'holidays'",
        "own_days": "kind == 'holidays'",
    }

    def changeform_view(
        self, request: Any, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        return super().changeform_view(request, object_id, form_url, {**timing.zones(), **(extra_context or {})})
