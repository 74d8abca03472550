"""The user's jobs folder: what is found, what is read again, and what a broken file does."""

import os
import sys
from pathlib import Path

import pytest

from jobs.discovery import discover, find
from jobs.errors import UnknownJob

TIDY = "from jobs import job\n@job\ndef tidy(days: int = 30) -> None: ...\n"
BUILTIN = set(discover(None))


@pytest.fixture
def folder(tmp_path):
    path = list(sys.path)
    modules = set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def write(folder, name, text):
    """Write a file whose time of change differs from the one before, however fast the test is."""
    file = folder / name
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    if file.stat().st_mtime_ns == before:
        os.utime(file, ns=(before + 1_000_000, before + 1_000_000))
    return file


def own(folder):
    return set(discover(folder)) - BUILTIN


def test_the_built_in_jobs_are_there_without_a_folder(tmp_path):
    assert set(discover(None)) >= BUILTIN
    assert discover(None).problems == ()
    assert set(discover(tmp_path / "not made yet")) >= BUILTIN


def test_every_built_in_job_has_the_name_of_its_file():
    for name, each in discover(None).items():
        assert each.source == f"jobs/builtin/{name}.py"


def test_files_of_the_folder_become_jobs_and_helpers_do_not(folder):
    write(folder, "tidy.py", TIDY)
    write(folder, "with space (2).py", TIDY.replace("tidy", "spaced"))
    write(folder, "_helper.py", TIDY.replace("tidy", "helper"))
    write(folder, ".#lock.py", "raise ValueError")
    write(folder, "notes.txt", "raise ValueError")
    (folder / "folder.py").mkdir()
    registry = discover(folder)
    assert set(registry) - BUILTIN == {"tidy", "spaced"}
    assert registry.problems == ()
    assert registry["tidy"].source == str(folder / "tidy.py")


def test_a_file_named_like_a_module_of_python_hides_nothing(folder):
    write(folder, "calendar.py", TIDY)
    write(folder, "uses.py", "import calendar\ncalendar.isleap(2000)\n" + TIDY.replace("tidy", "uses"))
    sys.modules.pop("calendar", None)
    assert own(folder) == {"tidy", "uses"}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param("x = 1\nraise ValueError('no way')", 2, "ValueError: no way", id="exception"),
        pytest.param("import sys\n\nsys.exit(3)", 3, "it ends the program while it is imported", id="SystemExit"),
        pytest.param("x = (\n", 1, "'(' was never closed; correct this line", id="syntax error"),
        pytest.param("def f():\n    f()\nf()", 2, "RecursionError", id="recursion"),
        pytest.param("import not_there_at_all", 1, "No module named 'not_there_at_all'", id="missing module"),
        pytest.param("input()", 1, "EOFError", id="reads stdin"),
        pytest.param(b"x = '\xff'\n", None, "cannot read bad.py", id="not UTF-8"),
        pytest.param(b"x = 1\0", None, "cannot", id="NUL byte"),
        pytest.param("class E(BaseException):\n    def __str__(self): raise E\nraise E", 3, "E: ", id="evil exception"),
        pytest.param(
            "from jobs import job\n@job('x')\ndef f(): ...", 2, "cannot use @job on 'x'", id="wrong use of @job"
        ),
    ],
)
def test_a_broken_file_is_a_problem_of_its_own_and_stops_no_other(folder, text, line, message):
    file = write(folder, "bad.py", text)
    write(folder, "tidy.py", TIDY)
    registry = discover(folder)
    assert set(registry) - BUILTIN == {"tidy"}
    (problem,) = registry.problems
    assert problem.file == str(file)
    assert message in problem.message
    if line is not None:
        assert problem.line == line


def test_one_wrong_job_leaves_the_others_of_its_file(folder):
    write(folder, "two.py", TIDY + "\n@job\ndef wrong(x) -> None: ...\n")
    registry = discover(folder)
    assert "tidy" in registry
    assert [(problem.line, "wrong()" in problem.message) for problem in registry.problems] == [(5, True)]


def test_interrupting_the_program_while_a_file_is_read_is_not_its_problem(folder):
    write(folder, "bad.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        discover(folder)


def test_what_a_file_prints_does_not_reach_stdout(folder, capsys):
    write(folder, "noisy.py", "print('noise')\n" + TIDY)
    assert own(folder) == {"tidy"}
    assert capsys.readouterr().out == ""


def test_only_changed_files_are_read_again(folder):
    log = folder / "log.txt"

    def appends(letter):
        return f"with open({str(log)!r}, 'a') as log:\n    log.write({letter!r})\n"

    for name in "ab":
        write(folder, f"{name}.py", appends(name) + TIDY.replace("tidy", name))
    first = discover(folder)
    assert discover(folder) is first
    write(folder, "b.py", appends("b") + TIDY.replace("tidy", "c"))
    assert own(folder) == {"a", "c"}
    assert log.read_text() == "abb"


def test_a_file_that_vanished_takes_its_job_and_its_problem_along(folder):
    tidy, bad = write(folder, "tidy.py", TIDY), write(folder, "bad.py", "1 / 0")
    assert len(discover(folder).problems) == 1
    tidy.unlink()
    bad.unlink()
    assert own(folder) == set()
    assert discover(folder).problems == ()


def test_a_repaired_helper_repairs_the_files_that_import_it(folder):
    write(folder, "tidy.py", "from _common import DAYS\n" + TIDY.replace("30", "DAYS"))
    assert "No module named '_common'" in discover(folder).problems[0].message
    write(folder, "_common.py", "DAYS = 7\n")
    assert discover(folder)["tidy"].validate({}) == {"days": 7}
    write(folder, "_common.py", "DAYS = 365\n")
    assert discover(folder)["tidy"].validate({}) == {"days": 365}


def test_jobs_that_a_helper_s_function_makes_belong_to_the_file_that_calls_it(folder):
    helper = "from jobs import job\ndef make(host):\n    @job(name=f'ping_{host}')\n    def ping() -> None: ...\n"
    write(folder, "_pings.py", helper + "make('helper')\n")
    write(folder, "office.py", "from _pings import make\nfor host in 'ab':\n    make(host)\n")
    registry = discover(folder)
    assert {name: registry[name].source for name in set(registry) - BUILTIN} == {
        "ping_a": str(folder / "office.py"),
        "ping_b": str(folder / "office.py"),
    }


def test_a_job_file_that_another_one_imports_is_no_second_job(folder):
    write(folder, "tidy.py", TIDY)
    write(folder, "uses.py", "import tidy\n" + TIDY.replace("tidy", "uses"))
    registry = discover(folder)
    assert (set(registry) - BUILTIN, registry.problems) == ({"tidy", "uses"}, ())


def test_a_job_named_like_a_built_in_one_is_a_problem_and_the_built_in_stays(folder):
    write(folder, "mine.py", TIDY.replace("tidy", "run_command"))
    registry = discover(folder)
    assert registry["run_command"].source == "jobs/builtin/run_command.py"
    assert "jobs/builtin/run_command.py" in registry.problems[0].message


def test_a_jobs_folder_that_is_a_file_is_a_problem(tmp_path):
    file = write(tmp_path, "jobs", "")
    registry = discover(file)
    assert set(registry) >= BUILTIN
    assert "cannot read the jobs folder" in registry.problems[0].message


def test_finding_one_job_imports_only_the_file_that_names_it(folder):
    imported = folder / "imported.txt"
    write(folder, "another.py", f"open({str(imported)!r}, 'x').close()")
    write(folder, "tidy.py", TIDY)
    assert find("tidy", folder).name == "tidy"
    assert find("run_command", folder).source == "jobs/builtin/run_command.py"
    assert not imported.exists()


def test_a_name_put_together_at_run_time_is_found(folder):
    write(folder, "made.py", TIDY.replace("@job\n", "@job(name='ti' + 'dy_up')\n"))
    assert find("tidy_up", folder).source == str(folder / "made.py")


def test_a_job_that_cannot_be_found_names_near_ones_and_the_file_that_failed(folder):
    write(folder, "tidy.py", TIDY)
    with pytest.raises(UnknownJob, match="cannot find the job 'tody': did you mean tidy\\?"):
        find("tody", folder)
    write(folder, "tidy.py", TIDY + "\n1 / 0\n")
    with pytest.raises(UnknownJob) as refused:
        find("tidy", folder)
    assert f"ZeroDivisionError: division by zero ({folder / 'tidy.py'}, line 5)" in str(refused.value)


def test_a_name_that_two_files_claim_is_not_run(folder):
    write(folder, "tidy.py", TIDY)
    write(folder, "tidy copy.py", TIDY)
    with pytest.raises(UnknownJob, match="another one has the same name"):
        find("tidy", folder)


def test_a_name_cannot_lead_out_of_the_built_in_jobs(tmp_path):
    for name in ["../child", "os.path", "__init__", "", str(Path(tmp_path))]:
        with pytest.raises(UnknownJob):
            find(name, None)
