"""What people typed into a job's parameter fields, checked by the job itself; what is wrong is told at its field."""

from typing import Any

from django import forms

from beat_config.parameter_fields import PREFIX, from_form, is_left_out
from jobs import vault
from jobs.parameters import ParameterError
from jobs.registry import Job


def cleaned_parameters(form: forms.BaseForm, job: Job) -> dict[str, Any] | None:
    """Return the parameters that *form* says, as *job* takes them; None where one cannot be used."""
    values = {}
    for parameter in job.parameters:
        if PREFIX + parameter.name not in form.cleaned_data:  # its own field has refused it
            continue
        typed = form.cleaned_data[PREFIX + parameter.name]
        if is_left_out(parameter, typed):
            continue
        try:
            values[parameter.name] = from_form(parameter, typed)
        except ValueError as error:
            form.add_error(PREFIX + parameter.name, str(error))
    try:
        validated = job.validate(values)
    except ParameterError as error:
        for name, sentence in error.problems.items():
            field = PREFIX + name
            if field not in form.errors:
                form.add_error(field if field in form.fields else None, sentence)
        return None
    _check_secrets(form, job, validated)
    return validated


def _check_secrets(form: forms.BaseForm, job: Job, values: dict[str, Any]) -> None:
    known = set(vault.names())
    for parameter in job.parameters:
        own = {parameter.name: values.get(parameter.name)}
        # Its name is not said: what was typed may be a password in the wrong place.
        if not vault.references(job, own) <= known:
            form.add_error(PREFIX + parameter.name, "There is no secret of that name: make it under Secrets first.")
        elif isinstance(own[parameter.name], str) and parameter.secret and (obstacle := vault.obstacle()):
            form.add_error(PREFIX + parameter.name, obstacle)
