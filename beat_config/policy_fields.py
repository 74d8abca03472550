"""The part of the schedule form that asks what happens when something gets in the way."""

from datetime import timedelta
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from beat_config import presets
from beat_config.form_fields import PeriodField
from beat_config.models import CatchUp, Overlap, WhenWrong
from beat_config.presets import PRESETS
from jobs.durations import format_duration

# AMQP's priorities; RabbitMQ's quorum queues know normal (below 5) and high.
PRIORITIES = [("", "Normal"), (1, "Low"), (9, "High")]
# Those that are never empty.
LONGEST_EXPIRY = timedelta(seconds=2**31 - 1)  # PostgreSQL's integer
_NEEDED = ("catch_up_window", "catch_up_cap", "grace", "when_wrong", "attempts")


class PolicyFields(forms.Form):
    preset = forms.ChoiceField(
        label="If something gets in the way",
        required=False,
        choices=[
            *((name, presets.in_full(preset.label, preset.sentence)) for name, preset in PRESETS.items()),
            ("", presets.in_full("My own choice", "As it is set in detail below.")),
        ],
        initial="once",
        widget=UnfoldAdminRadioSelectWidget,
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

    def clean_policies(self, cleaned: dict[str, Any]) -> None:
        """Fill in what was left empty, and refuse policies that contradict each other."""
        if cleaned.get("retry_delay") is None and "retry_delay" not in self.errors:
            cleaned["retry_delay"] = timedelta(0)
        cleaned["retry_longest"] = cleaned.get("retry_longest") or timedelta(hours=1)
        for name in _NEEDED:
            if cleaned.get(name) in {None, ""} and name not in self.errors:
                cleaned[name] = self.fields[name].clean(self.fields[name].initial)
        expires_after = cleaned.get("expires_after")
        if expires_after and cleaned.get("expires"):
            self.add_error(
                "expires_after",
                "Not both this and a time after which it runs no more: django-celery-beat's tables keep one of them.",
            )
        elif expires_after and expires_after > LONGEST_EXPIRY:
            self.add_error("expires_after", "It is longer than 68 years, the longest that can be stored.")
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

    def show_priority(self, priority: int | None) -> None:
        field = self.fields["priority"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - declared above
        if priority is not None and priority not in dict(PRIORITIES):
            field.choices = [*PRIORITIES, (priority, f"{priority}")]
        self.initial["priority"] = "" if priority is None else priority
