"""Real child processes: what a run's process reads, prints, returns, and how it ends."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.child import status
from jobs.errors import NOT_STARTED
from scheduler_app import platforms
from tests.waiting import wait_until

HEAD = "import os, sys, time\nfrom jobs import job, JobFailed\n@job\n"
LIMIT = 20


class Child:
    """A child that was given its orders, or none."""

    def __init__(self, folder, environ=None):
        self.folder = folder
        self.tree = platforms.spawn(
            [sys.executable, "-P", "-m", "jobs.child"],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])} | (environ or {}),
            cwd=folder,
        )
        self.popen = self.tree.popen

    def order(self, job, **parameters):
        line = json.dumps({"job": job, "parameters": parameters, "folder": str(self.folder)})
        self.popen.stdin.write(line.encode() + b"\n")
        self.popen.stdin.flush()
        return self

    def result(self):
        """Return (exit code, stdout, stderr); stdin stays open until the child has ended, as a worker's does."""
        stdin, self.popen.stdin = self.popen.stdin, None
        try:
            out, err = self.popen.communicate(timeout=LIMIT)
        finally:
            stdin.close()
        return self.popen.returncode, out, err.decode()


@pytest.fixture
def start(tmp_path):
    children = []

    def started(source="", environ=None):
        if source:
            (tmp_path / "mine.py").write_text(HEAD + source, encoding="utf-8")
        children.append(Child(tmp_path, environ))
        return children[-1]

    yield started
    for child in children:
        child.tree.kill()
        child.tree.close()
        for pipe in (child.popen.stdin, child.popen.stdout, child.popen.stderr):
            if pipe:
                pipe.close()


def test_a_job_that_returns_is_a_success_and_its_return_value_means_nothing(start):
    child = start("def mine(text: str, count: int = 2) -> int:\n    print(text * count)\n    return 7\n")
    assert child.order("mine", text="ab").result() == (0, b"abab\n", "")


@pytest.mark.parametrize(
    ("statement", "code", "error"),
    [
        pytest.param("raise JobFailed('disk full', 3)", 3, "disk full\n", id="JobFailed"),
        pytest.param("sys.exit(4)", 4, "", id="SystemExit"),
        pytest.param("sys.exit()", 0, "", id="SystemExit without a code"),
        pytest.param("sys.exit('no such host')", 1, "no such host\n", id="SystemExit with a text"),
        pytest.param("sys.exit(256)", 1, "", id="a code whose low byte is zero"),
        pytest.param("os._exit(9)", 9, "", id="an exit without Python's"),
    ],
)
def test_the_exit_code_is_what_the_job_says(start, statement, code, error):
    assert start(f"def mine() -> None:\n    {statement}\n").order("mine").result() == (code, b"", error)


@pytest.mark.parametrize(
    ("code", "expected"), [(None, 0), (0, 0), (3, 3), (256, 1), (0xC0000005, 0xC0000005 - 2**32), (True, 1)]
)
def test_every_exit_code_survives_the_way_to_the_system(code, expected):
    assert status(code) == expected


def test_an_exception_prints_the_user_s_frames_only(start):
    child = start("def mine() -> None:\n    helper()\ndef helper():\n    raise ValueError('größer')\n")
    code, out, error = child.order("mine").result()
    assert (code, out) == (1, b"")
    assert error.endswith("ValueError: größer\n")
    assert [line.split(", line ")[1] for line in error.splitlines() if line.startswith("  File")] == [
        "5, in mine",
        "7, in helper",
    ]
    assert "jobs/child.py" not in error.replace(os.sep, "/")


@pytest.mark.parametrize(
    ("job", "parameters", "sentence"),
    [
        pytest.param("mime", {}, "cannot find the job 'mime': did you mean mine?", id="unknown job"),
        pytest.param("mine", {"count": "four"}, "cannot use count = 'four': a whole number is needed", id="parameter"),
    ],
)
def test_what_cannot_be_started_says_why(start, job, parameters, sentence):
    code, out, error = start("def mine(count: int = 1) -> None: print('ran')\n").order(job, **parameters).result()
    assert (code, out) == (NOT_STARTED, b"")
    assert f"cannot start the job: {sentence}" in error


@pytest.mark.parametrize(
    "line", [b"no json\n", b"[]\n", b'{"job": "mine"}\n', b'{"job": 1, "parameters": {}, "folder": null}\n', b"\xff\n"]
)
def test_a_line_that_is_no_request_is_refused(start, line):
    child = start()
    child.popen.stdin.write(line)
    child.popen.stdin.flush()
    code, _, error = child.result()
    assert code == NOT_STARTED
    assert "the line on stdin is no request" in error or "is no text" in error


@pytest.mark.parametrize(
    "beginning", [b"", b'{"job": "mine", "parameters": {}, "folder": null}'], ids=["nothing", "half a line"]
)
def test_end_of_file_before_the_line_is_complete_starts_nothing(start, beginning):
    child = start("def mine() -> None: print('ran')\n")
    child.popen.stdin.write(beginning)
    assert child.popen.communicate(timeout=LIMIT) == (b"", b"")
    assert child.popen.returncode == NOT_STARTED


def test_end_of_file_while_the_job_runs_ends_it_and_everything_it_started(start, tmp_path):
    child = start(
        "def mine() -> None:\n    import subprocess\n"
        "    command = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "    group = subprocess.Popen(command)\n    session = subprocess.Popen(command, start_new_session=True)\n"
        "    print(group.pid, session.pid)\n    time.sleep(600)\n"
    ).order("mine")
    started = [psutil.Process(int(pid)) for pid in child.popen.stdout.readline().split()]
    child.popen.stdin.close()
    child.popen.stdin = None
    wait_until(lambda: child.popen.poll() is not None, LIMIT, "the child ends when its lifeline does")
    wait_until(lambda: not any(alive(process) for process in started), LIMIT, "what it started ends, too")


def alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_job_and_its_children_read_an_empty_stdin(start):
    child = start(
        "def mine() -> None:\n    import subprocess\n    print(repr(sys.stdin.read()), os.read(0, 10))\n"
        "    subprocess.run([sys.executable, '-c', 'import sys; print(repr(sys.stdin.read()))'])\n"
    )
    assert child.order("mine").result() == (0, b"'' b''\n''\n", "")


def test_output_is_there_at_once_even_without_the_end_of_a_line(start, tmp_path):
    child = start(
        "def mine(go: str) -> None:\n    print('50 %', end='')\n    while not os.path.exists(go): time.sleep(0.02)\n"
    )
    child.order("mine", go=str(tmp_path / "go"))
    assert child.popen.stdout.read(4) == b"50 %"
    assert child.popen.poll() is None
    (tmp_path / "go").touch()
    assert child.result()[0] == 0


def test_output_is_utf_8_in_any_locale_and_no_character_fails(start):
    child = start(
        "def mine() -> None:\n    print('größe €', '\\ud800', os.fsdecode(b'x'))\n",
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    )
    assert child.order("mine").result() == (0, "größe € \\ud800 x\n".encode(), "")


def test_helper_modules_of_the_folder_can_be_imported(start, tmp_path):
    (tmp_path / "_common.py").write_text("NAME = 'from the helper'\n")
    assert (
        start("def mine() -> None:\n    import _common\n    print(_common.NAME)\n").order("mine").result()[1]
        == b"from the helper\n"
    )


def test_a_built_in_job_runs_though_the_user_s_files_are_broken(start, tmp_path):
    (tmp_path / "bad.py").write_text("raise SystemExit('read')\n")
    code, out, error = start().order("run_command", command=f'"{sys.executable}" -c "print(7)"').result()
    assert (code, out.split(), error) == (0, [b"7"], "")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals that end a process are POSIX's")
def test_sigterm_ends_the_job_as_it_ends_any_program_even_if_the_parent_ignores_it(start):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        child = start("def mine() -> None:\n    print('on')\n    time.sleep(600)\n")
    finally:
        signal.signal(signal.SIGTERM, before)
    child.order("mine")
    assert child.popen.stdout.readline() == b"on\n"
    child.tree.terminate()
    assert child.result()[0] == -signal.SIGTERM


def test_a_trivial_job_starts_without_what_it_does_not_need(start):
    """A guard against an import that would slow every run; the time itself is measured, not tested."""
    child = start(
        "def mine() -> None:\n    heavy = ('pydantic', 'django', 'inspect', 'psutil', 'httpx')\n    print([name for name in heavy if name in sys.modules])\n"
    )
    begun = time.monotonic()
    assert child.order("mine").result()[1] == b"[]\n"
    assert time.monotonic() - begun < LIMIT
