"""The decorator, the names of jobs, and the registry."""

import subprocess
import sys
from datetime import timedelta

import pytest

from jobs import JobFailed, job
from jobs.errors import JobDefinitionError, UnknownJob
from jobs.registry import DECLARATIONS, Declaration, Job, JobProblem, Registry


def made(name, source="tidy.py", **options):
    def function(): ...

    return Job(Declaration(function, name, None, "My jobs", None, options), source)


def test_the_decorator_leaves_the_function_as_it_was():
    def double(number: int):
        return number * 2

    assert job(double) is double
    assert job(name="x", timeout="10m")(double) is double
    assert double(4) == 8


def test_jobs_that_a_loop_or_a_helper_makes_belong_to_the_module_that_is_imported():
    namespace = {"__name__": "pings"}
    source = """
from jobs import job
def make(host):
    @job(name=f"ping_{host}")
    def ping() -> None: ...
for host in "ab":
    make(host)
"""
    exec(compile(source, "pings.py", "exec"), namespace)  # noqa: S102
    assert [each.name for each in namespace[DECLARATIONS]] == ["ping_a", "ping_b"]


def test_what_is_no_function_is_refused():
    with pytest.raises(JobDefinitionError, match="cannot use @job on 'tidy': it is not a function"):
        job("tidy")


@pytest.mark.parametrize("name", ["Tidy", "1st", "tidy-up", "_tidy", "", "tidy\n", "größe", "x" * 101])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(JobDefinitionError, match="as the name of a job: a-z, 0-9 and _ are allowed"):
        made(name)


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        ("10m", timedelta(minutes=10)),
        (90, timedelta(seconds=90)),
        (timedelta(hours=1), timedelta(hours=1)),
        (None, None),
    ],
)
def test_a_time_limit_may_be_a_text_seconds_or_a_timedelta(timeout, expected):
    assert made("tidy", timeout=timeout).options.timeout == expected


@pytest.mark.parametrize("timeout", ["soon", 0, -1, True])
def test_a_time_limit_that_is_none_is_refused(timeout):
    with pytest.raises(JobDefinitionError, match="cannot use timeout="):
        made("tidy", timeout=timeout)


def test_an_unknown_job_is_refused_with_near_names():
    registry = Registry([made("run_command"), made("tidy")])
    with pytest.raises(UnknownJob) as refused:
        registry.get("run_comand")
    assert str(refused.value) == "cannot find the job 'run_comand': did you mean run_command?"
    assert "run_comand" not in registry
    assert registry["tidy"].name == "tidy"


def test_two_files_with_one_name_leave_none_and_each_problem_names_the_other():
    registry = Registry([made("tidy", "a.py"), made("tidy", "b.py"), made("other", "b.py")])
    assert list(registry) == ["other"]
    line = made("tidy").line
    assert [(problem.file, f"(b.py, line {line})" in problem.message) for problem in registry.problems] == [
        ("a.py", True),
        ("b.py", False),
    ]
    assert f"(a.py, line {line})" in registry.problems[1].message


def test_a_problem_says_where_it_is():
    assert str(JobProblem("a.py", "cannot read it", 3)) == "cannot read it (a.py, line 3)"


@pytest.mark.parametrize("exit_code", [0, 256, -256])
def test_a_failure_cannot_look_like_a_success(exit_code):
    with pytest.raises(ValueError, match="it means success"):
        JobFailed("no", exit_code)


def test_importing_the_decorator_imports_no_heavy_library():
    heavy = "'django', 'celery', 'pydantic', 'httpx', 'inspect', 'psutil'"
    code = f"import sys; from jobs import job; import jobs.child; print([n for n in ({heavy}) if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
