"""The part of the schedule form that asks where its runs go."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from beat_config.places import CHOICES, Kind, Place
from scheduler_app import routing

LAYOUT = ["where", "where_queue", "where_topic", "where_labels"]
_OFFERED = [(kind, label) for kind, label in CHOICES.items() if kind is not Kind.OTHER]


def _text(label: str, example: str, help_text: str) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget(attrs={"placeholder": example, "spellcheck": "false"})
    return forms.CharField(label=label, required=False, max_length=250, widget=widget, help_text=help_text)


class PlaceFields(forms.Form):
    where = forms.ChoiceField(
        label="Runs on", choices=_OFFERED, initial=Kind.ANY, required=False, widget=UnfoldAdminRadioSelectWidget
    )
    where_queue = _text("Queue", "reports", "One that workers have in their settings: worker.queues.")
    where_topic = _text(
        "Topic",
        "reports.eu.daily",
        "Words between dots. One of the workers that listen to it takes the run: worker.topics, such as reports.eu.#.",
    )
    where_labels = _text("Labels", "gpu=yes, os=linux", "One of the workers that have all of them: worker.labels.")

    def show_place(self, place: Place) -> None:
        """Fill the fields from *place*."""
        where = self.fields["where"]
        assert isinstance(where, forms.ChoiceField)  # noqa: S101 - declared above
        if place.kind is Kind.OTHER:
            where.choices = [*_OFFERED, (Kind.OTHER, f"{CHOICES[Kind.OTHER]} ({place.words})")]
        self.initial.update(
            where=place.kind,
            where_queue=place.name if place.kind is Kind.QUEUE else "",
            where_topic=place.name if place.kind is Kind.TOPIC else "",
            where_labels=routing.write_labels(place.labels),
        )

    def clean_place(self, cleaned: dict[str, Any]) -> Place | None:
        """Return what was chosen; None, with the error at its field, when it cannot be."""
        kind = Kind(cleaned.get("where") or Kind.ANY)
        if kind is Kind.EVERY and cleaned.get("concurrency_key"):
            self.add_error(
                "concurrency_key",
                "It runs on every machine at the same time, and this would keep its runs apart on one machine only:"
                " leave it empty.",
            )
        if kind in {Kind.ANY, Kind.EVERY, Kind.OTHER}:
            return Place(kind)
        name = f"where_{kind}"
        try:
            return _READERS[kind](cleaned.get(name, "").strip())
        except ValueError as error:
            self.add_error(name, str(error))
            return None


def _queue(text: str) -> Place:
    if not text:
        raise ValueError("Which queue? Give its name, such as reports.")
    if text in {routing.ANY, routing.DEFAULT_QUEUE}:
        return Place(Kind.ANY)
    return Place(Kind.QUEUE, _checked(text, routing.check_queue))


def _topic(text: str) -> Place:
    if not text:
        raise ValueError("Which topic? Give words between dots, such as reports.eu.daily.")
    if "*" in text or "#" in text:
        raise ValueError(f"{text} is a pattern, which is what workers listen to; a schedule names one topic.")
    return Place(Kind.TOPIC, _checked(text, routing.check_topic))


def _labels(text: str) -> Place:
    if not text:
        raise ValueError("Which labels? Give them as gpu=yes, os=linux.")
    try:
        return Place(Kind.LABELS, labels=routing.read_labels(text.split(",")))
    except ValueError as error:
        raise ValueError(f"Not possible: {error}.") from error


def _checked(text: str, check: Any) -> str:
    try:
        return str(check(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not possible: {error}.") from error


_READERS = {Kind.QUEUE: _queue, Kind.TOPIC: _topic, Kind.LABELS: _labels}
