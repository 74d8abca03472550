"""Jobs and runs at the command line, against a scheduler that runs: what is printed, and what a shell gets."""

import json
import os
import pty
import subprocess

import pytest

from tests.command_line import CommandLine

HALFWAY = (
    "echo out; echo err >&2; echo '3 10 copying' > $SCHEDULER_PROGRESS; "
    "sleep 1; echo '9 10 copying' > $SCHEDULER_PROGRESS; sleep 0.5; printf end; exit 7"
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return CommandLine(tmp_path_factory.mktemp("installation"))


@pytest.fixture(scope="module")
def cli(alone):
    """The same installation, from now on running: whoever wants it stopped comes before."""
    with alone.started() as running:
        yield running


def shell(line):
    return ("--shell", "--command", line)


def test_a_run_for_later_waits_without_a_scheduler_and_says_so(alone):
    done = alone("job", "run", "run_command", "--delay", "1h", "--priority", "9", "--command", "true")
    assert done.stdout == "Run 1.\n"
    assert "scheduler-app start" in done.stderr
    assert "pending" in alone("run", "list").stdout
    assert "nothing runs" in alone("run", "wait", "1", code=3).stderr
    alone("run", "cancel", "1")
    alone("run", "wait", "1", code=130)


def test_a_run_that_is_followed_gives_both_streams_and_its_own_exit_code(cli):
    done = cli("job", "run", "run_command", *shell("echo out; echo err >&2; exit 7"), "-f", code=7)
    assert done.stdout == "out\n"
    assert "err\n" in done.stderr
    assert done.stderr.endswith("failed: exit code 7.\n")


def test_a_run_is_shown_listed_waited_for_and_run_again(cli):
    number = cli.json("job", "run", "run_command", "--command", "sh -c 'printf hello'")["run"]
    cli("run", "wait", str(number))
    shown = cli("run", "show", str(number)).stdout
    assert "Succeeded" in shown
    assert "anna at the command line asked for it" in shown
    assert cli.json("run", "show", str(number))["exit_code"] == 0
    assert cli("run", "logs", str(number)).stdout == "hello"
    assert json.loads(cli("run", "logs", str(number), "--json").stdout) == {"stream": "stdout", "text": "hello"}
    again = cli("run", "retry", str(number), "--wait")
    assert "succeeded" in again.stderr
    newest = cli.json("run", "list", "--state", "succeeded", "--job", "run_command", "-n", "1")[0]
    assert (newest["run"] > number, newest["parameters"]["command"]) == (True, "sh -c 'printf hello'")


def test_a_run_that_is_cancelled_ends_with_130_and_cannot_be_cancelled_again(cli):
    number = str(cli.json("job", "run", "run_command", "--command", "sleep 60")["run"])
    cli("run", "wait", number, "--timeout", "500ms", code=4)
    cli("run", "cancel", number)
    cli("run", "wait", number, code=130)
    assert "had already ended" in cli("run", "cancel", number, code=1).stderr


def test_a_terminal_shows_a_progress_bar_and_nothing_that_gives_it_orders(cli):
    ours, theirs = pty.openpty()
    words = cli.argv(
        "job", "run", "run_command", *shell(HALFWAY.replace("echo out", "printf '\\033]0;title\\007out\\n'")), "-f"
    )
    process = subprocess.Popen(
        words, env={**cli.environment, "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # its last writer is gone
            break
    os.close(ours)
    assert process.wait(60) == 7
    text = shown.decode()
    assert "30%" in text
    assert "copying" in text
    assert "\x1b[31merr" in text
    assert "title" not in text


def test_a_key_makes_one_run_of_two_requests(cli):
    words = ("job", "run", "run_command", "--command", "true", "--key", "order 17")
    assert cli.json(*words)["run"] == cli.json(*words)["run"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(("job", "run", "run_comand"), 1, "did you mean run_command?", id="no such job"),
        pytest.param(("job", "run", "run_command", "--comand", "x"), 2, "--command", id="no such option"),
        pytest.param(("job", "run", "run_command"), 1, "cannot do without command", id="a parameter is missing"),
        pytest.param(
            ("job", "run", "back_up_files", "--source", "a", "--target", "b", "--keep", "x"),
            1,
            "cannot use keep = 'x': a whole number",
            id="a value that does not fit",
        ),
        pytest.param(("job", "run", "run_command", "--command", "x", "--at", "soon"), 1, "--at 'soon'", id="moment"),
        pytest.param(
            ("job", "run", "run_command", "--command", "x", "--priority", "300"), 1, "priority = 300", id="priority"
        ),
        pytest.param(
            ("job", "run", "run_command", "--command", "x", "--secret", "A=none"), 1, "no secret 'none'", id="secret"
        ),
        pytest.param(("run", "show", "99"), 1, "cannot find run 99", id="no such run"),
        pytest.param(("run", "logs", "99", "-f"), 1, "cannot find run 99", id="no output"),
        pytest.param(("run", "show", "x"), 2, "'x' is not a valid integer", id="no number"),
        pytest.param(("run", "list", "--schedule", "x"), 1, "cannot find the schedule 'x'", id="no such schedule"),
        pytest.param(("run", "lisst"), 2, "did you mean list", id="no such verb"),
        pytest.param(("run", "--headless", "list"), 2, "leave them out", id="options of another verb"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(cli, words, code, said):
    done = cli(*words, code=code)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_paths_count_from_the_folder_they_are_typed_in(cli, tmp_path):
    words = ("job", "run", "back_up_files", "--source", "a", "--target", ".", "--delay", "1h")
    parameters = json.loads(cli(*words, "--json", cwd=tmp_path).stdout)["parameters"]
    assert (parameters["sources"], parameters["target"]) == ([str(tmp_path / "a")], str(tmp_path))


def test_a_jobs_parameters_are_its_options(cli):
    text = cli("job", "run", "back_up_files", "--help").stdout
    for word in ("--target PATH", "--format zip|tar.zst", "[default 7]", "[required]"):
        assert word in text
    assert {each["job"] for each in cli.json("job", "list")} > {"run_command", "back_up_files"}
    assert cli.json("job", "show", "back_up_files")["parameters"][0]["name"] == "sources"
