"""Policies by name: what a person wants, as values of the schedule form's fields."""

from collections.abc import Mapping
from dataclasses import dataclass

from beat_config.models import CatchUp, Overlap, WhenWrong


@dataclass(frozen=True, slots=True)
class Preset:
    """One choice of the form; *values* are what it sets, as the form's fields show them."""

    label: str
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
    "once": Preset("Never two at once", _USUAL),
    "must": Preset(
        "Must not be missed",
        _USUAL
        | {
            "catch_up": CatchUp.ALL.value,
            "catch_up_window": "7d",
            "overlap": Overlap.QUEUE.value,
            "when_wrong": WhenWrong.CRASH.value,
        },
    ),
    "on_time": Preset("Only if on time", _USUAL | {"catch_up": CatchUp.NONE.value, "expires_after": "5m"}),
    "often": Preset("As often as it comes", _USUAL | {"overlap": Overlap.ALLOW.value}),
}


def named(values: Mapping[str, object]) -> str:
    """Return the preset that sets just these *values* of the form; empty when they are somebody's own."""
    for name, preset in PRESETS.items():
        if all(str(values.get(field, "")) == value for field, value in preset.values.items()):
            return name
    return ""
