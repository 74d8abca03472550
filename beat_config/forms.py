"""The schedule form: what to run, its parameters as real fields, when, and what to do when it goes otherwise."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.db import models
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from beat_config import timing
from beat_config.models import CatchUp, DayRule, Overlap, Schedule
from beat_config.parameter_fields import PREFIX, field_for, from_form, is_left_out, to_form
from beat_config.schedules import ArgumentsError, parameters_of
from beat_config.timing import Every, Once, Times, Timing
from beat_config.triggers import TriggerError, parse_period
from jobs import catalogue
from jobs.parameters import ParameterError
from jobs.registry import Job

FIRST_JOB = "run_command"


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    """Everything but the parameters, which `form_for` adds for one job."""

    job: Job | None = None

    task = forms.ChoiceField(label="What to run", widget=UnfoldAdminSelectWidget)
    when = forms.ChoiceField(
        label="When",
        choices=[("every", "Every …"), ("times", "At times (a cron line)"), ("once", "Once")],
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
    catch_up = forms.ChoiceField(
        label="If it was missed while nothing was running",
        choices=CatchUp.choices,
        initial=CatchUp.LATEST,
        widget=UnfoldAdminSelectWidget,
        help_text="Up to a day late. What is not run is in the history all the same.",
    )
    overlap = forms.ChoiceField(
        label="If its previous run still goes on",
        choices=Overlap.choices,
        initial=Overlap.SKIP,
        widget=UnfoldAdminSelectWidget,
    )
    time_limit = forms.CharField(
        label="Stop it after",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "10 minutes"}),
        help_text="Such as 30 seconds, 10m or 1h 30m. Empty: the job's own limit.",
    )

    class Meta:
        model = Schedule
        fields = ("name", "enabled", "description")
        error_messages = {"name": {"unique": "There is a schedule of this name already: choose another."}}

    class Media:
        js = ("beat_config/schedule_form.js",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        task = self.fields["task"]
        assert isinstance(task, forms.ChoiceField)  # noqa: S101 - declared above
        task.choices = _job_choices(self.instance.task)
        task.initial = self.instance.task or (self.job.name if self.job else FIRST_JOB)
        self.fields["time_zone"].initial = settings.TIME_ZONE
        self.fields["name"].help_text = "So that you find it again."
        self.fields["enabled"].help_text = "A disabled schedule keeps its history and runs nothing."
        self.fields["description"].required = False
        if self.instance.pk:
            self._show_instance()
        elif self.job:
            for parameter in self.job.parameters:
                self.fields[PREFIX + parameter.name].initial = to_form(parameter, parameter.default)

    def _show_instance(self) -> None:
        policy = self.instance.policy
        shown = timing.of(self.instance, policy)
        self.initial.update(timing.initial(shown), catch_up=policy.catch_up, overlap=policy.overlap)
        if policy.time_limit:
            self.initial["time_limit"] = f"{policy.time_limit.total_seconds():g} seconds"
        try:
            values = parameters_of(self.instance)
        except ArgumentsError as error:
            self.fields["task"].help_text = f"{error}"
            return
        if self.job and self.job.name == self.instance.task:
            for parameter in self.job.parameters:
                value = values.get(parameter.name, parameter.default)
                self.initial[PREFIX + parameter.name] = to_form(parameter, value)

    def clean_task(self) -> str:
        name: str = self.cleaned_data["task"]
        if name not in catalogue.registry():
            raise forms.ValidationError(
                f"There is no job named {name} any more: its file was removed or is broken. Choose another."
            )
        return name

    def clean_time_limit(self) -> timedelta | None:
        text = self.cleaned_data["time_limit"].strip()
        try:
            return parse_period(text) if text else None
        except TriggerError as error:
            raise forms.ValidationError(str(error)) from error

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.job is not None and "task" not in self.errors:
            cleaned["parameters"] = self._clean_parameters(self.job, cleaned)
        if "when" in cleaned:
            cleaned["timing"] = self._clean_timing(cleaned)
        if cleaned.get("catch_up") == CatchUp.ALL and cleaned.get("overlap") == Overlap.SKIP:
            self.add_error(
                "overlap",
                "Running every missed one starts several at once: choose to run both at the same time, or run once"
                " for the latest.",
            )
        return cleaned

    def validate_unique(self) -> None:
        """Check the name only: django-celery-beat's own check wants a timing, which the row gets when it is saved."""
        try:
            models.Model.validate_unique(self.instance)
        except forms.ValidationError as error:
            self.add_error(None, error)

    def _clean_parameters(self, job: Job, cleaned: dict[str, Any]) -> dict[str, Any] | None:
        values = {}
        for parameter in job.parameters:
            typed = cleaned.get(PREFIX + parameter.name)
            if is_left_out(parameter, typed):
                continue
            try:
                values[parameter.name] = from_form(parameter, typed)
            except ValueError as error:
                self.add_error(PREFIX + parameter.name, str(error))
        try:
            return job.validate(values)
        except ParameterError as error:
            for name, sentence in error.problems.items():
                field = PREFIX + name
                if field not in self.errors:
                    self.add_error(field if field in self.fields else None, sentence)
            return None

    def _clean_timing(self, cleaned: dict[str, Any]) -> Timing | None:
        if cleaned["when"] == "every":
            if cleaned.get("every") is None:
                if "every" not in self.errors:
                    self.add_error("every", "How often? Give a whole number of at least 1.")
                return None
            return self._checked("every", Every(cleaned["every"], cleaned.get("unit") or "minutes"))
        if cleaned["when"] == "once":
            return self._clean_once(cleaned)
        if not cleaned.get("cron"):
            self.add_error("cron", "Give a cron line, such as 30 2 * * * for every day at 02:30.")
            return None
        try:
            zone = timing.parse_zone(cleaned.get("time_zone") or settings.TIME_ZONE)
        except TriggerError as error:
            self.add_error("time_zone", str(error))
            return None
        keep_rule = self.instance.pk and "cron" not in self.changed_data
        rule = DayRule(self.instance.policy.day_rule) if keep_rule else DayRule.OR
        return self._checked("cron", Times(cleaned["cron"], zone, rule))

    def _clean_once(self, cleaned: dict[str, Any]) -> Timing | None:
        at: datetime | None = cleaned.get("once")
        if at is None:
            if "once" not in self.errors:
                self.add_error("once", "When? Give a date and a time.")
            return None
        if at <= timezone.now() and "once" in self.changed_data:
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
