"""The schedule form: what to run, its parameters as real fields, when, and what to do when it goes otherwise."""

import json
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.db import models
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from beat_config import chains, parameter_cleaning, places, presets, tags, timing
from beat_config.models import Blackout, CatchUp, Chain, DayRule, Overlap, Schedule, WhenWrong
from beat_config.parameter_fields import PREFIX, field_for, to_form
from beat_config.place_fields import PlaceFields
from beat_config.presets import PRESETS
from beat_config.schedules import ArgumentsError, parameters_of
from beat_config.timing import Every, Once, Sun, Times, Timing
from beat_config.triggers import TriggerError, parse_period, parse_zone
from jobs import catalogue
from jobs.durations import format_duration
from jobs.registry import Job

FIRST_JOB = "run_command"
# AMQP's priorities; RabbitMQ's quorum queues know normal (below 5) and high.
PRIORITIES = [("", "Normal"), (1, "Low"), (9, "High")]
# The policy's columns that are fields of the form by the same name, and those of them that are never empty.
POLICY_FIELDS = (
    *("catch_up", "catch_up_window", "catch_up_cap", "grace", "overlap", "concurrency_key"),
    *("when_wrong", "attempts", "retry_delay", "retry_doubles", "retry_longest", "retry_varies", "time_limit"),
    *("every_nth_week", "weeks_from", "spread"),
)
_NEEDED = ("catch_up_window", "catch_up_cap", "grace", "when_wrong", "attempts", "every_nth_week")


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


class ScheduleForm(PlaceFields, forms.ModelForm):  # type: ignore[type-arg]
    """Everything but the parameters, which `form_for` adds for one job."""

    job: Job | None = None

    task = forms.ChoiceField(label="What to run", widget=UnfoldAdminSelectWidget)
    when = forms.ChoiceField(
        label="When",
        choices=[("every", "Every …"), ("times", "At times (a cron line)"), ("once", "Once"), ("sun", "With the sun")],
        initial="every",
        widget=UnfoldAdminRadioSelectWidget,
    )
    every = forms.IntegerField(label="Every", required=False, min_value=1, widget=UnfoldAdminIntegerFieldWidget)
    unit = forms.ChoiceField(
        label="Unit", required=False, choices=timing.UNITS, initial="minutes", widget=UnfoldAdminSelectWidget
    )
    cron = forms.CharField(
        label="Cron line",
        required=False,
        max_length=255,
        widget=UnfoldAdminTextInputWidget(
            attrs={"class": "font-mono", "placeholder": "30 2 * * *", "spellcheck": "false"}
        ),
        help_text="Minute, hour, day of month, month, weekday. 30 2 * * 1-5 is 02:30 on weekdays; @daily works too.",
    )
    time_zone = forms.CharField(
        label="Time zone",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "time-zones", "spellcheck": "false"}),
        help_text="A place such as Europe/Berlin: its clock, and its summer time, are what counts.",
    )
    once = forms.SplitDateTimeField(label="Date and time", required=False, widget=UnfoldAdminSplitDateTimeWidget)
    event = forms.ChoiceField(
        label="At", required=False, choices=timing.SUN_EVENTS, initial="sunrise", widget=UnfoldAdminSelectWidget
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
        widget=UnfoldAdminSingleDateWidget,
        help_text="Empty: from the week in which it is saved.",
    )
    start_time = forms.SplitDateTimeField(label="Not before", required=False, widget=UnfoldAdminSplitDateTimeWidget)
    expires = forms.SplitDateTimeField(label="Not after", required=False, widget=UnfoldAdminSplitDateTimeWidget)
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
    preset = forms.ChoiceField(
        label="In short",
        required=False,
        choices=[("", "As set below"), *((name, preset.label) for name, preset in PRESETS.items())],
        widget=UnfoldAdminSelectWidget(
            attrs={"data-presets": json.dumps({name: dict(preset.values) for name, preset in PRESETS.items()})}
        ),
        help_text="Sets the fields below; change any of them as you like.",
    )
    catch_up = forms.ChoiceField(
        label="If it was missed while nothing was running",
        choices=CatchUp.choices,
        initial=CatchUp.LATEST,
        widget=UnfoldAdminSelectWidget,
        help_text="After the machine was off, for instance. What is not run is in the history all the same.",
    )
    catch_up_window = PeriodField(
        label="But not if it is older than", initial="1d", help_text="Such as 2 hours or 7 days."
    )
    catch_up_cap = forms.IntegerField(
        label="And at most so many",
        required=False,
        min_value=1,
        max_value=10_000,
        initial=100,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="The newest ones. As many may wait for their turn while a run goes on.",
    )
    grace = PeriodField(
        label="It is still on time when late by",
        initial="1m",
        help_text="What starts within this counts as on time, not as missed.",
    )
    expires_after = PeriodField(
        label="Give up if no worker has started it after",
        help_text="It is then in the history as missed. Empty: it waits as long as it takes.",
    )
    overlap = forms.ChoiceField(
        label="If its previous run still goes on",
        choices=Overlap.choices,
        initial=Overlap.SKIP,
        widget=UnfoldAdminSelectWidget,
    )
    concurrency_key = forms.CharField(
        label="Never together with",
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "disk", "spellcheck": "false"}),
        help_text="A word of your own. Schedules with the same word never run at the same time:"
        " the runs of all of them count as previous runs.",
    )
    when_wrong = forms.ChoiceField(
        label="If it goes wrong",
        required=False,
        choices=WhenWrong.choices,
        initial=WhenWrong.JOB,
        widget=UnfoldAdminSelectWidget,
        help_text="It may have done half of its work: run it again only if doing it twice does no harm.",
    )
    attempts = forms.IntegerField(
        label="Altogether at most so many times",
        required=False,
        min_value=2,
        max_value=100,
        initial=3,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    retry_delay = PeriodField(
        label="Wait before it is run again",
        initial="1m",
        help_text="Until then it counts as still going: its next run follows the rule above.",
    )
    retry_longest = PeriodField(label="But never longer than", initial="1h")
    retry_doubles = forms.BooleanField(
        label="Wait twice as long each time", required=False, widget=UnfoldBooleanSwitchWidget
    )
    retry_varies = forms.BooleanField(
        label="Vary the wait at random",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Down to half of it, so that what failed together is not run again together.",
    )
    priority = forms.TypedChoiceField(
        label="Priority",
        required=False,
        coerce=int,
        empty_value=None,
        choices=PRIORITIES,
        widget=UnfoldAdminSelectWidget,
        help_text="Which goes first when many wait for a worker, as far as the message broker knows priorities.",
    )
    time_limit = PeriodField(
        label="Stop it after",
        help_text="Such as 30 seconds, 10m or 1h 30m. Empty: the job's own limit.",
    )

    tags = TagsField()

    after_success = NextField(label="If it succeeded, start")
    after_failure = NextField(label="If it failed, start", help_text="Also when it took too long or was interrupted.")
    after_always = NextField(label="Whichever way it ended, start")

    class Meta:
        model = Schedule
        fields = ("name", "enabled", "description")
        error_messages = {"name": {"unique": "There is a schedule of this name already: choose another."}}

    class Media:
        js = ("beat_config/schedule_form.js",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.is_bound and self.data.get("preset") in PRESETS:
            # Without its script the page sends the preset, but the fields as they were.
            sent: Any = self.data
            self.data = sent.copy()
            self.data.update(PRESETS[sent["preset"]].values)  # type: ignore[attr-defined]  # a QueryDict
        task = self.fields["task"]
        assert isinstance(task, forms.ChoiceField)  # noqa: S101 - declared above
        task.choices = _job_choices(self.instance.task)
        task.initial = self.instance.task or (self.job.name if self.job else FIRST_JOB)
        self.fields["time_zone"].initial = settings.TIME_ZONE
        self.fields["name"].help_text = "So that you find it again."
        enabled = "Disabled, it does not start by itself; a person or another schedule can start it."
        self.fields["enabled"].help_text = enabled
        self.fields["description"].required = False
        if self.instance.pk:
            self._show_instance()
        elif self.job:
            for parameter in self.job.parameters:
                self.fields[PREFIX + parameter.name].initial = to_form(parameter, parameter.default)

    def _show_instance(self) -> None:
        policy = self.instance.policy
        shown = timing.of(self.instance, policy)
        self.initial.update(timing.initial(shown), **{name: getattr(policy, name) for name in POLICY_FIELDS})
        self.initial["spread"] = policy.spread or None
        for when, name in Chain.objects.filter(leader=self.instance.pk).values_list("when", "follower__name"):
            self.initial[f"after_{when}"] = name
        self.initial["tags"] = tags.tags_of(self.instance)
        self.initial["blackouts"] = list(policy.blackouts.values_list("pk", flat=True))
        self.initial.update(start_time=self.instance.start_time, expires=self.instance.expires)
        seconds = self.instance.expire_seconds
        self.initial["expires_after"] = timedelta(seconds=seconds) if seconds else None
        self._show_priority(self.instance.priority)
        self.show_place(places.of(self.instance))
        self.initial["preset"] = presets.named(
            {
                name: self.fields[name].prepare_value(value) or ""
                for name, value in self.initial.items()
                if name in self.fields
            }
        )
        try:
            values = parameters_of(self.instance)
        except ArgumentsError as error:
            self.fields["task"].help_text = f"{error}"
            return
        if self.job and self.job.name == self.instance.task:
            for parameter in self.job.parameters:
                value = values.get(parameter.name, parameter.default)
                self.initial[PREFIX + parameter.name] = to_form(parameter, value)

    def _show_priority(self, priority: int | None) -> None:
        field = self.fields["priority"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - declared above
        if priority is not None and priority not in dict(PRIORITIES):
            field.choices = [*PRIORITIES, (priority, f"{priority}")]
        self.initial["priority"] = "" if priority is None else priority

    def clean_task(self) -> str:
        name: str = self.cleaned_data["task"]
        if name not in catalogue.registry():
            raise forms.ValidationError(
                f"There is no job named {name} any more: its file was removed or is broken. Choose another."
            )
        return name

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.job is not None and "task" not in self.errors:
            cleaned["parameters"] = parameter_cleaning.cleaned_parameters(self, self.job)
        if "when" in cleaned:
            cleaned["timing"] = self._clean_timing(cleaned)
        self._clean_bounds(cleaned)
        self._clean_policies(cleaned)
        cleaned["place"] = self.clean_place(cleaned)
        self._clean_chains(cleaned)
        return cleaned

    def _clean_chains(self, cleaned: dict[str, Any]) -> None:
        """Refuse a circle, in which schedules would start one another for ever."""
        for when in Chain.When:
            follower = cleaned.get(f"after_{when}")
            if follower is None:
                continue
            way = chains.circle(self.instance.pk, {follower.pk})
            if way:
                shown = " → ".join(chains.names(way))
                self.add_error(f"after_{when}", f"It would start itself again and again: {shown}. Choose another one.")

    def _clean_policies(self, cleaned: dict[str, Any]) -> None:
        """Fill in what was left empty, and refuse policies that contradict each other."""
        if cleaned.get("retry_delay") is None and "retry_delay" not in self.errors:
            cleaned["retry_delay"] = timedelta(0)
        cleaned["retry_longest"] = cleaned.get("retry_longest") or timedelta(hours=1)
        for name in _NEEDED:
            if cleaned.get(name) in {None, ""} and name not in self.errors:
                cleaned[name] = self.fields[name].clean(self.fields[name].initial)
        if cleaned.get("catch_up") == CatchUp.ALL and cleaned.get("overlap") in {Overlap.SKIP, Overlap.REPLACE}:
            self.add_error(
                "overlap",
                "Running every missed one starts several at once, and this would keep only one of them: let the new"
                " run wait, run both at the same time, or run once for the latest.",
            )
        if cleaned.get("concurrency_key") and cleaned.get("overlap") == Overlap.ALLOW:
            self.add_error(
                "concurrency_key",
                "Its runs may go on at the same time, so this would keep nothing apart: leave it empty, or choose"
                " something else for a previous run that still goes on.",
            )
        window, grace = cleaned.get("catch_up_window"), cleaned.get("grace")
        if cleaned.get("catch_up") != CatchUp.NONE and window and grace and window < grace:
            self.add_error(
                "catch_up_window",
                f"This is shorter than what is still on time ({format_duration(grace)}): make it longer, or the other"
                " shorter.",
            )

    def validate_unique(self) -> None:
        """Check the name only: django-celery-beat's own check wants a timing, which the row gets when it is saved."""
        try:
            models.Model.validate_unique(self.instance)
        except forms.ValidationError as error:
            self.add_error(None, error)

    def _clean_timing(self, cleaned: dict[str, Any]) -> Timing | None:
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
        try:
            zone = parse_zone(cleaned.get("time_zone") or settings.TIME_ZONE)
        except TriggerError as error:
            self.add_error("time_zone", str(error))
            return None
        keep_rule = self.instance.pk and "cron" not in self.changed_data
        rule = DayRule(self.instance.policy.day_rule) if keep_rule else DayRule.OR
        return self._checked("cron", Times(cleaned["cron"], zone, rule))

    def _clean_sun(self, cleaned: dict[str, Any]) -> Timing | None:
        for name in ("latitude", "longitude"):
            if cleaned.get(name) is None and name not in self.errors:
                self.add_error(name, "Where? Give it in degrees, such as 52.52.")
        if "latitude" in self.errors or "longitude" in self.errors:
            return None
        return self._checked("event", Sun(cleaned.get("event") or "sunrise", cleaned["latitude"], cleaned["longitude"]))

    def _clean_bounds(self, cleaned: dict[str, Any]) -> None:
        start, end = cleaned.get("start_time"), cleaned.get("expires")
        if start and end and end <= start:
            self.add_error("expires", "This is not after its beginning: it would never run.")
        cleaned["spread"] = cleaned.get("spread") or timedelta(0)

    def _clean_once(self, cleaned: dict[str, Any]) -> Timing | None:
        at: datetime | None = cleaned.get("once")
        if at is None:
            if "once" not in self.errors:
                self.add_error("once", "When? Give a date and a time.")
            return None
        if at <= timezone.now() and ("once" in self.changed_data or cleaned.get("enabled")):
            self.add_error("once", f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S} is over: it would never run.")
            return None
        return Once(at)

    def _checked(self, field: str, wanted: Timing) -> Timing | None:
        try:
            timing.check(wanted)
        except TriggerError as error:
            self.add_error(field, str(error))
            return None
        return wanted


def form_for(name: str) -> type[ScheduleForm]:
    """Return the schedule form with the parameters of the job called *name*; without any when there is no such job."""
    jobs = catalogue.registry()
    job = jobs[name] if name in jobs else None  # noqa: SIM401 - a registry's get raises
    parameters = {PREFIX + each.name: field_for(each) for each in job.parameters} if job else {}
    return type("ScheduleFormOf", (ScheduleForm,), {"job": job, **parameters})


def _job_choices(current: str) -> list[tuple[str, list[tuple[str, str]]]]:
    groups: dict[str, list[tuple[str, str]]] = {}
    jobs = catalogue.registry()
    for job in sorted(jobs.values(), key=lambda each: each.title):
        summary = f" – {job.summary}" if job.summary else ""
        groups.setdefault(job.group, []).append((job.name, f"{job.title}{summary}"))
    if current and current not in jobs:
        groups["Not found"] = [(current, current)]
    return sorted(groups.items())
