"""A run once more, with other parameters: a page with the fields of its job, filled in as that run had them."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from beat_config.parameter_cleaning import cleaned_parameters
from beat_config.parameter_fields import PREFIX, field_for, to_form
from jobs import catalogue, permissions, starting, vault
from jobs.models import Run
from jobs.registry import Job


class ParametersForm(forms.Form):
    """The parameters of `job`; `form_of` adds its fields."""

    job: Job

    def clean(self) -> dict[str, Any]:
        self.cleaned_data["parameters"] = cleaned_parameters(self, self.job)
        return self.cleaned_data


def form_of(job: Job) -> type[ParametersForm]:
    fields = {PREFIX + each.name: field_for(each) for each in job.parameters}
    return type("ParametersFormOf", (ParametersForm,), {"job": job, **fields})


def run_again(request: HttpRequest, run_id: int) -> HttpResponse:
    """Show the form; start the run with what comes back."""
    if not (request.user.has_perm("jobs.view_run") and permissions.may_operate(request.user)):
        raise PermissionDenied
    run = get_object_or_404(Run, pk=run_id)
    jobs = catalogue.registry()
    if not permissions.may_use_job(request.user, run.job):
        raise PermissionDenied
    if run.job not in jobs:
        gone = f"cannot run it again: there is no job named {run.job} any more; its file was removed or is broken"
        messages.error(request, gone)
        return redirect("admin:jobs_run_change", run.pk)
    job = jobs[run.job]
    values = {each.name: run.parameters.get(each.name, each.default) for each in job.parameters}
    initial = {PREFIX + each.name: to_form(each, values[each.name]) for each in job.parameters}
    form = form_of(job)(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        new = starting.start_again(run, by=request.user.get_username(), parameters=_kept(request, run, form))
        messages.success(request, f"Run {run.pk} is run again with these parameters, as run {new.pk}.")
        return redirect("admin:jobs_run_change", new.pk)
    context = {
        **admin.site.each_context(request),
        "title": f"Run {run.pk} again, with changes",
        "run": run,
        "job": job,
        "form": form,
    }
    return render(request, "beat_config/run_again.html", context)


def _kept(request: HttpRequest, run: Run, form: ParametersForm) -> dict[str, Any]:
    """Return the parameters with what was typed as a secret stored as one."""
    chosen: dict[str, Any] = form.cleaned_data["parameters"]
    others = vault.references(form.job, chosen) - vault.references(form.job, run.parameters)
    if others and not request.user.has_perm("jobs.view_secret"):
        raise PermissionDenied
    parameters, made = vault.keep(form.job, chosen, owner=f"Run {run.pk}", by=request.user.get_username())
    for name in made:
        messages.info(request, f"Stored as the secret {name}.")
    return parameters
