"""The part of the schedule form that asks when it fires."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from beat_config import timing
from beat_config.cities import cities
from beat_config.form_fields import ReadingField
from beat_config.models import DayRule
from beat_config.timing import Every, Once, Sun, Times, Timing
from beat_config.triggers import TriggerError, parse_zone
from beat_config.wall_clock import moment_of, reading_of


class CityWidget(UnfoldAdminSelectWidget):  # type: ignore[misc]  # Unfold has no types
    """Each city's option says where it is, for the page's script."""

    def create_option(self, name: str, value: Any, *rest: Any, **options: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *rest, **options)
        if city := cities().get(str(value)):
            option["attrs"] |= {"data-latitude": city.latitude, "data-longitude": city.longitude}
        return option


def city_choices() -> list[tuple[str, str]]:
    return [("", "–"), *((zone, city.label) for zone, city in cities().items())]


class TimingFields(forms.Form):
    """To be mixed into the form of a schedule, its `instance`."""

    instance: Any

    when = forms.ChoiceField(
        label="When",
        choices=[("every", "Every …"), ("times", "At times"), ("once", "Once"), ("sun", "With the sun")],
        initial="every",
        widget=UnfoldAdminRadioSelectWidget,
    )
    every = forms.IntegerField(
        label="Every", required=False, min_value=1, initial=1, widget=UnfoldAdminIntegerFieldWidget
    )
    unit = forms.ChoiceField(
        label="Unit", required=False, choices=timing.UNITS, initial="hours", widget=UnfoldAdminSelectWidget
    )
    cron = forms.CharField(
        label="Cron line",
        required=False,
        max_length=255,
        widget=UnfoldAdminTextInputWidget(
            attrs={"class": "font-mono", "placeholder": "30 2 * * *", "spellcheck": "false"}
        ),
        initial="0 9 * * *",
        help_text="Minute, hour, day of month, month, weekday: 30 2 * * 1-5 is 02:30 on weekdays. @daily works too.",
    )
    time_zone = forms.CharField(
        label="Time zone",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "time-zones", "spellcheck": "false"}),
        help_text="A place such as Europe/Berlin: its clock, and its summer time, are what counts.",
    )
    once = ReadingField(label="Date and time")
    event = forms.ChoiceField(
        label="At", required=False, choices=timing.SUN_EVENTS, initial="sunrise", widget=UnfoldAdminSelectWidget
    )
    city = forms.ChoiceField(
        label="Near",
        required=False,
        choices=city_choices,
        widget=CityWidget,
        help_text="A city fills in its latitude and longitude; type your own to be exact.",
    )
    latitude = forms.DecimalField(
        label="Latitude",
        required=False,
        min_value=-90,
        max_value=90,
        max_digits=9,
        decimal_places=6,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "placeholder": "52.52"}),
        help_text="In degrees; south is negative.",
    )
    longitude = forms.DecimalField(
        label="Longitude",
        required=False,
        min_value=-180,
        max_value=180,
        max_digits=9,
        decimal_places=6,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "placeholder": "13.405"}),
        help_text="In degrees; west is negative.",
    )

    def clean_timing(self, cleaned: dict[str, Any]) -> Timing | None:
        readers = {
            "every": self._clean_every,
            "times": self._clean_times,
            "once": self._clean_once,
            "sun": self._clean_sun,
        }
        return readers[cleaned["when"]](cleaned)

    def _clean_every(self, cleaned: dict[str, Any]) -> Timing | None:
        if cleaned.get("every") is None:
            if "every" not in self.errors:
                self.add_error("every", "How often? Give a whole number of at least 1.")
            return None
        return self._checked("every", Every(cleaned["every"], cleaned.get("unit") or "minutes"))

    def _clean_times(self, cleaned: dict[str, Any]) -> Timing | None:
        if not cleaned.get("cron"):
            self.add_error("cron", "Give a cron line, such as 30 2 * * * for every day at 02:30.")
            return None
        zone = self._zone(cleaned)
        if zone is None:
            return None
        keep_rule = self.instance.pk and "cron" not in self.changed_data
        rule = DayRule(self.instance.policy.day_rule) if keep_rule else DayRule.OR
        return self._checked("cron", Times(cleaned["cron"], zone, rule))

    def _clean_sun(self, cleaned: dict[str, Any]) -> Timing | None:
        city = cities().get(cleaned.get("city", ""))
        for name in ("latitude", "longitude"):
            if cleaned.get(name) is None and name not in self.errors and city is not None:
                cleaned[name] = Decimal(getattr(city, name))
            if cleaned.get(name) is None and name not in self.errors:
                self.add_error(name, "Where? Give it in degrees, such as 52.52.")
        if "latitude" in self.errors or "longitude" in self.errors:
            return None
        return self._checked("event", Sun(cleaned.get("event") or "sunrise", cleaned["latitude"], cleaned["longitude"]))

    def _clean_once(self, cleaned: dict[str, Any]) -> Timing | None:
        reading: datetime | None = cleaned.get("once")
        if reading is None:
            if "once" not in self.errors:
                self.add_error("once", "When? Give a date and a time.")
            return None
        zone = self._zone(cleaned)
        if zone is None:
            return None
        kept = self.instance.pk and self.instance.clocked and not {"once", "time_zone"} & set(self.changed_data)
        if timezone.is_aware(reading):  # a document's, which says its zone itself
            at = reading
        else:
            at = self.instance.clocked.clocked_time if kept else moment_of(reading, zone)
            if not kept and reading_of(at.astimezone(zone)) != reading:
                self.add_error("once", f"There is no {reading:%H:%M} on that day in {zone.key}: the clocks go forward.")
                return None
        if at <= timezone.now() and (not kept or cleaned.get("enabled")):
            self.add_error("once", f"{reading:%Y-%m-%d %H:%M:%S} is over: it would never run.")
            return None
        return Once(at)

    def _zone(self, cleaned: dict[str, Any]) -> ZoneInfo | None:
        try:
            return parse_zone(cleaned.get("time_zone") or settings.TIME_ZONE)
        except TriggerError as error:
            self.add_error("time_zone", str(error))
            return None

    def _checked(self, field: str, wanted: Timing) -> Timing | None:
        try:
            timing.check(wanted)
        except TriggerError as error:
            self.add_error(field, str(error))
            return None
        return wanted
