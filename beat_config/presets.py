"""Policies by name: what a person wants, as values of the schedule form's fields."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.html import format_html

from beat_config.models import CatchUp, Overlap, WhenWrong


@dataclass(frozen=True, slots=True)
class Preset:
    """One choice of the form; *values* are what it sets, as the form's fields show them."""

    label: str
    sentence: str
    values: Mapping[str, str]


_USUAL = {
    "catch_up": CatchUp.LATEST.value,
    "catch_up_window": "1d",
    "catch_up_cap": "100",
    "grace": "1m",
    "overlap": Overlap.SKIP.value,
    "when_wrong": WhenWrong.JOB.value,
    "attempts": "3",
    "expires_after": "",
}
PRESETS = {
    "once": Preset(
        "Never two at once",
        "The usual. While a run goes on, the next one is skipped; after the machine was off, the latest missed one is"
        " made up for.",
        _USUAL,
    ),
    "must": Preset(
        "Must not be missed",
        "Every one missed in the last 7 days is made up for, one after the other; one that a crash ended is run again.",
        _USUAL
        | {
            "catch_up": CatchUp.ALL.value,
            "catch_up_window": "7d",
            "overlap": Overlap.QUEUE.value,
            "when_wrong": WhenWrong.CRASH.value,
        },
    ),
    "on_time": Preset(
        "Only if on time",
        "What was missed stays missed; so does what no worker has started after 5 minutes.",
        _USUAL | {"catch_up": CatchUp.NONE.value, "expires_after": "5m"},
    ),
    "often": Preset(
        "As often as it comes",
        "The next run starts even while the one before goes on.",
        _USUAL | {"overlap": Overlap.ALLOW.value},
    ),
}


def in_full(label: str, sentence: str) -> str:
    """Return a choice with its sentence, as HTML."""
    return format_html("<b>{}</b> <span>{}</span>", label, sentence)


def named(values: Mapping[str, object]) -> str:
    """Return the preset that sets just these *values* of the form; empty when they are somebody's own."""
    for name, preset in PRESETS.items():
        if all(str(values.get(field, "")) == value for field, value in preset.values.items()):
            return name
    return ""
