"""The schedule form: what to run, its parameters as real fields, when, and what to do when it goes otherwise."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.db import models
from unfold.widgets import UnfoldAdminSelectWidget

from beat_config import chains, parameter_cleaning, places, presets, tags, timing
from beat_config.cities import City, cities
from beat_config.form_fields import NextField, TagsField
from beat_config.limit_fields import LimitFields
from beat_config.models import Chain, Schedule
from beat_config.parameter_fields import PREFIX, field_for, to_form
from beat_config.place_fields import PlaceFields
from beat_config.policy_fields import PolicyFields
from beat_config.presets import PRESETS
from beat_config.schedules import ArgumentsError, parameters_of
from beat_config.timing_fields import TimingFields
from jobs import catalogue
from jobs.registry import Job

FIRST_JOB = "run_command"
# The policy's columns that are fields of the form by the same name.
POLICY_FIELDS = (
    *("catch_up", "catch_up_window", "catch_up_cap", "grace", "overlap", "concurrency_key"),
    *("when_wrong", "attempts", "retry_delay", "retry_doubles", "retry_longest", "retry_varies", "time_limit"),
    *("every_nth_week", "weeks_from", "spread"),
)


class JobWidget(UnfoldAdminSelectWidget):  # type: ignore[misc]  # Unfold has no types
    """A list of the jobs by their groups; each option has its title and its sentence apart, for the page's script."""

    def create_option(self, name: str, value: Any, *rest: Any, **options: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *rest, **options)
        jobs = catalogue.registry()
        if value in jobs:
            option["attrs"] |= {"data-title": jobs[value].title, "data-sentence": jobs[value].summary}
        return option


class ScheduleForm(TimingFields, LimitFields, PolicyFields, PlaceFields, forms.ModelForm):  # type: ignore[type-arg]
    """Everything but the parameters, which `form_for` adds for one job."""

    job: Job | None = None

    task = forms.ChoiceField(label="What to run", widget=JobWidget)

    tags = TagsField()

    after_success = NextField(label="If it succeeded, start")
    after_failure = NextField(label="If it failed, start", help_text="Also when it took too long or was interrupted.")
    after_always = NextField(label="Whichever way it ended, start")

    class Meta:
        model = Schedule
        fields = ("name", "enabled", "description")
        error_messages = {"name": {"unique": "There is a schedule of this name already: choose another."}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        task = self.fields["task"]
        assert isinstance(task, forms.ChoiceField)  # noqa: S101 - declared above
        task.choices = _job_choices(self.instance.task)
        task.initial = self.instance.task or (self.job.name if self.job else FIRST_JOB)
        self.fields["time_zone"].initial = settings.TIME_ZONE
        self.fields["name"].help_text = "So that you find it again, such as “Back up the photos”."
        enabled = "Disabled, it does not start by itself; a person or another schedule can start it."
        self.fields["enabled"].help_text = enabled
        self.fields["description"].required = False
        city = cities().get(settings.TIME_ZONE)
        if city is not None:
            self._show_city(city)
        if self.instance.pk:
            self._show_instance()
        elif self.job:
            for parameter in self.job.parameters:
                self.fields[PREFIX + parameter.name].initial = to_form(parameter, parameter.default)

        self._fill_in_preset()

    def _fill_in_preset(self) -> None:
        """Set what a newly chosen preset sets: without its script the page sends the fields as they were."""
        chosen = self.data.get("preset")
        if self.is_bound and chosen in PRESETS and chosen != self["preset"].initial:
            sent: Any = self.data
            self.data = sent.copy()
            self.data.update(PRESETS[chosen].values)  # type: ignore[attr-defined]  # a QueryDict

    def _show_city(self, city: City) -> None:
        for name, value in (("city", city.zone), ("latitude", city.latitude), ("longitude", city.longitude)):
            self.fields[name].initial = value

    def _show_instance(self) -> None:
        policy = self.instance.policy
        shown = timing.of(self.instance, policy)
        self.initial.update(timing.initial(shown), **{name: getattr(policy, name) for name in POLICY_FIELDS})
        if "latitude" in self.initial:
            self.initial["city"] = ""
        self.initial["spread"] = policy.spread or None
        for when, name in Chain.objects.filter(leader=self.instance.pk).values_list("when", "follower__name"):
            self.initial[f"after_{when}"] = name
        self.initial["tags"] = tags.tags_of(self.instance)
        self.initial["blackouts"] = list(policy.blackouts.values_list("pk", flat=True))
        self.initial.update(start_time=self.instance.start_time, expires=self.instance.expires)
        seconds = self.instance.expire_seconds
        self.initial["expires_after"] = timedelta(seconds=seconds) if seconds else None
        self.show_priority(self.instance.priority)
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
            cleaned["timing"] = self.clean_timing(cleaned)
        self.clean_limits(cleaned)
        self.clean_policies(cleaned)
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

    def validate_unique(self) -> None:
        """Check the name only: django-celery-beat's own check wants a timing, which the row gets when it is saved."""
        try:
            models.Model.validate_unique(self.instance)
        except forms.ValidationError as error:
            self.add_error(None, error)


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
