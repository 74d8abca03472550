"""Celery tasks of other Django apps: offered as jobs, run in the worker, recorded as runs."""

import dataclasses
import json
import threading
import time
from contextlib import closing

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from jobs import catalogue, claims, executor, in_worker, stopping, task_jobs
from jobs.errors import ParameterError
from jobs.models import Run, RunOutput
from jobs.states import State
from tests.database import sample_tasks
from tests.factories import make_run
from tests.waiting import wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

HERE = "tests.database.sample_tasks"


@pytest.fixture(autouse=True)
def configured(monkeypatch):
    """Configure which tasks may be scheduled; read anew when a test says otherwise."""

    def configure(*tasks):
        celery = dataclasses.replace(settings.SCHEDULER.celery, tasks=tasks)
        monkeypatch.setattr(settings, "SCHEDULER", dataclasses.replace(settings.SCHEDULER, celery=celery))
        forget()

    def forget():
        task_jobs.found.cache_clear()
        monkeypatch.setattr(catalogue, "_last", None)

    sample_tasks.started.clear()
    sample_tasks.swallowed.clear()
    configure(f"{HERE}.*", "shop.own-name")
    yield configure
    forget()


def execute(job, **parameters):
    run = make_run(job=job, parameters=parameters)
    executor.execute(run.pk, run.attempt, worker="test")
    run.refresh_from_db()
    return run


def printed(run):
    return b"".join(bytes(piece.data) for piece in RunOutput.objects.filter(run=run).order_by("number")).decode()


def test_the_named_tasks_are_jobs_with_parameters_from_their_signatures():
    registry = catalogue.registry()
    job = registry[f"{HERE}.add"]
    assert (job.title, job.group, job.summary) == ("Add", "Celery tasks", "Add two numbers.")
    assert job.source == sample_tasks.__file__
    assert [(each.name, each.kind, each.required, each.default) for each in job.parameters] == [
        ("x", "number", True, None),
        ("y", "number", False, 3),
        ("note", "text", False, "none"),
        ("loose", "switch", False, True),
        ("data", "json", False, None),
    ]
    assert job.parameters[0].help == "The first one."
    bound = registry["shop.own-name"]
    assert [(each.name, each.kind) for each in bound.parameters] == [("subject", "json")]
    assert bound.options.timeout.total_seconds() == 60
    with pytest.raises(ParameterError, match="a whole number is needed"):
        job.validate({"x": "four"})


def test_what_is_not_named_is_no_job_and_a_name_that_fits_nothing_is_a_problem(configured):
    configured(f"{HERE}.ad*", "absent.tasks.*", f"{HERE}.greedy", "celery.*")
    registry = catalogue.registry()
    assert {name for name in registry if "." in name} == {f"{HERE}.add"}
    problems = [str(problem) for problem in registry.problems]
    assert any("cannot find a Celery task named absent.tasks.*" in problem for problem in problems)
    assert any(
        "'*args' has no name a form could ask for" in problem and "sample_tasks.py" in problem for problem in problems
    )
    configured()
    assert not any("." in name for name in catalogue.registry())


def test_an_app_that_cannot_be_imported_is_a_problem_and_hurts_no_other(configured, tmp_path, monkeypatch):
    (tmp_path / "shattered_tasks.py").write_text("import json\njson.nothing_like_it\n")
    monkeypatch.syspath_prepend(tmp_path)
    configured("shattered_tasks.*", f"{HERE}.add")
    registry = catalogue.registry()
    assert f"{HERE}.add" in registry
    assert any("cannot import shattered_tasks: AttributeError" in str(problem) for problem in registry.problems)


def test_a_task_runs_in_the_worker_and_its_result_is_shown():
    run = execute(f"{HERE}.add", x=4, data=[1, {"a": None}])
    assert (run.state, run.reason) == (State.SUCCEEDED, "")
    assert printed(run) == "returned {'sum': 7, 'note': 'none', 'loose': True, 'data': [1, {'a': None}]}\n"
    assert run.output_size == len(printed(run))
    assert printed(execute("shop.own-name", subject="x")).startswith('returned "shop.own-name run-')


def test_a_task_uses_the_database_and_what_it_logs_is_the_output_of_its_own_run_only():
    User.objects.create_user("ada")
    run = execute(f"{HERE}.count_users", prefix="a")
    lines = printed(run).splitlines()
    assert lines[-1] == "returned 1"
    assert [line.split(" ", 2)[2] for line in lines[:-1]] == ["WARNING shop: looking for a", f"ERROR {HERE}: größe"]


def test_a_task_that_raises_is_a_failed_run_with_its_exception_and_traceback():
    run = execute(f"{HERE}.fail")
    assert (run.state, run.reason) == (State.FAILED, "ValueError: the shelf is empty")
    assert 'raise ValueError("the shelf is empty")' in printed(run)


def test_a_secret_reaches_the_task_and_is_masked_in_what_it_returns():
    assert printed(execute(f"{HERE}.tell", password="s3cret of ours")) == "returned '********'\n"


def test_a_parameter_that_does_not_fit_is_a_failed_run_and_the_task_is_not_called():
    run = execute(f"{HERE}.wait", swallow="perhaps")
    assert (run.state, sample_tasks.started.is_set()) == (State.FAILED, False)
    assert "true or false is needed" in run.reason


@pytest.mark.parametrize(("swallow", "state"), [(False, State.TIMED_OUT), (True, State.SUCCEEDED)])
def test_a_time_limit_is_raised_in_the_task_which_may_clean_up(swallow, state):
    run = make_run(job=f"{HERE}.wait", parameters={"swallow": swallow}, time_limit=timezone.timedelta(seconds=0.5))
    executor.execute(run.pk, run.attempt, worker="test")
    run.refresh_from_db()
    assert run.state == state
    assert sample_tasks.swallowed.is_set() == swallow
    if state == State.TIMED_OUT:
        assert run.reason == "took longer than its time limit of 0.5 s"
        assert "SoftTimeLimitExceeded" in printed(run)


def test_a_cancelled_task_ends(monkeypatch):
    run = make_run(job=f"{HERE}.wait", parameters={})

    def cancel():
        wait_until(sample_tasks.started.is_set, 20, "the task goes on")
        with closing(connection):  # this thread's own
            claims.cancel(run.pk, by="ada", now=timezone.now())

    thread = threading.Thread(target=cancel)
    thread.start()
    began = time.monotonic()
    executor.execute(run.pk, run.attempt, worker="test")
    thread.join()
    run.refresh_from_db()
    assert run.state == State.CANCELLED
    assert time.monotonic() - began < 10


def test_a_stopping_worker_ends_its_tasks(monkeypatch):
    monkeypatch.setattr(stopping, "_deadline", time.monotonic() + 0.5)
    run = execute(f"{HERE}.wait")
    assert (run.state, run.reason) == (State.INTERRUPTED, "the worker was stopped before the job had ended")


class LateThread:
    """Stands for the thread that watches; what it raises arrives when the task has returned already."""

    joined = 0

    def start(self): ...

    def join(self):
        self.joined += 1
        if self.joined == 1:
            raising = threading.Thread(target=in_worker._raise_in, args=(threading.get_ident(), SoftTimeLimitExceeded))
            raising.start()
            raising.join()


def test_an_end_that_comes_as_the_task_returns_reaches_nothing_else():
    watch = in_worker._Watch(holding=None, progress=None, task_thread=threading.get_ident())
    watch._thread = LateThread()
    with watch:
        pass
    assert watch._thread.joined == 2


def test_a_schedule_of_a_task_is_django_celery_beats_own(client, admin_user):
    client.force_login(admin_user)
    page = client.get(f"/admin/beat_config/schedule/add/?job={HERE}.add").content.decode()
    assert 'name="parameter_data"' in page
    form = {
        "name": "sum",
        "enabled": "on",
        "task": f"{HERE}.add",
        "when": "every",
        "every": "10",
        "unit": "minutes",
        "parameter_x": "4",
        "parameter_data": '[1, "a"]',
        "parameter_note": "5",
        "catch_up": "latest",
        "overlap": "skip",
    }
    assert client.post("/admin/beat_config/schedule/add/", form).status_code == 302
    task = PeriodicTask.objects.get(name="sum")
    assert task.task == f"{HERE}.add"
    assert json.loads(task.kwargs) == {"x": 4, "y": 3, "note": "5", "loose": False, "data": [1, "a"]}
    assert Run.objects.count() == 0


@pytest.mark.parametrize("value", [5, "text", "5", None, [1, "a"], {"größe": 1.5}, True, '"quoted"', "{"])
def test_a_json_value_comes_back_from_the_form_as_it_was(value):
    from beat_config.parameter_fields import from_form, to_form

    (parameter,) = catalogue.registry()["shop.own-name"].parameters
    shown = to_form(parameter, value)
    assert value is None or from_form(parameter, shown) == value
    assert value is not None or shown == ""
