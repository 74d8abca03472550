"""The built-in jobs that run commands and scripts: real ones."""

import shlex
import sys

import pytest

from jobs.discovery import discover
from jobs.errors import ParameterError
from tests.children import run_job


def run(job, **parameters):
    return run_job(job, parameters)


def python(code):
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"


def test_the_bytes_of_a_command_pass_untouched():
    assert run(
        "run_command", command=python("import os; os.write(1, bytes([0, 255, 13, 10])); os.write(2, b'err')")
    ) == (
        0,
        b"\x00\xff\r\n",
        "err",
    )


def test_a_command_gets_its_folder_environment_and_arguments(tmp_path):
    code, out, _ = run(
        "run_command",
        command=python(
            "import os, sys; print(os.getcwd(), os.environ['COLOUR'], bool(os.environ['PATH']), sys.argv[1:])"
        )
        + " 'a b' '$HOME'",
        folder=str(tmp_path),
        environment={"COLOUR": "dark blue"},
    )
    assert (code, out.decode()) == (0, f"{tmp_path} dark blue True ['a b', '$HOME']\n")


@pytest.mark.parametrize(
    ("parameters", "code", "sentence"),
    [
        pytest.param({"command": python("exit(3)")}, 3, "the command ended with exit code 3; 0 would be a success", id="fails"),
        pytest.param({"command": python("exit(3)"), "accepted_exit_codes": [0, 3]}, 0, "", id="accepted"),
        pytest.param({"command": python("exit(0)"), "accepted_exit_codes": [3]}, 1, "exit code 0; 3 would be a success", id="0 not accepted"),
        pytest.param({"command": python("import os; os.kill(os.getpid(), 9)")}, 137, "ended by signal 9 (SIGKILL)", id="killed"),
        pytest.param({"command": "no-such-program-here x"}, 127, "cannot run 'no-such-program-here': there is no such program", id="not found"),
        pytest.param({"command": "ls*"}, 127, 'switch on "Use the system\'s shell"', id="needs a shell"),
        pytest.param({"command": "echo 'x"}, 2, "no closing quotation", id="quotation"),
        pytest.param({"command": " "}, 127, "cannot run an empty command", id="empty"),
        pytest.param({"command": "true", "folder": "/no/such/folder"}, 1, "cannot run the command in /no/such/folder: there is no such folder", id="folder"),
        pytest.param({"command": "exit 5", "shell": True}, 5, "exit code 5", id="shell"),
    ],
)  # fmt: skip
def test_the_end_of_a_command_is_the_end_of_the_run(parameters, code, sentence):
    got, _, error = run("run_command", **parameters)
    assert got == code
    assert sentence in error
    assert "Traceback" not in error
    if not sentence:
        assert error == ""


@pytest.mark.parametrize(
    ("content", "mode", "command", "end"),
    [
        pytest.param("#!/bin/sh\n", 0o600, "./x.sh", (126, "it is not executable"), id="no permission"),
        pytest.param("echo 1\n", 0o700, "./x.sh", (126, "a script needs a first line"), id="no first line"),
        pytest.param("#!/no/such\n", 0o700, "./x.sh", (127, "the interpreter that its first line names"), id="interpreter"),
        pytest.param("#!/bin/sh\n", 0o700, "x.sh", (127, "write ./x.sh"), id="not in PATH"),
    ],
)  # fmt: skip
def test_a_script_that_cannot_run_says_what_is_missing(tmp_path, content, mode, command, end):
    script = tmp_path / "x.sh"
    script.write_text(content)
    script.chmod(mode)
    code, sentence = end
    got, _, error = run("run_command", command=command, folder=str(tmp_path))
    assert (got, sentence in error) == (code, True), error


def test_a_pipe_without_a_shell_is_pointed_out_and_works_with_one():
    code, out, error = run("run_command", command="echo a | cat")
    assert (code, out) == (0, b"a | cat\n")
    assert error.startswith("note: | goes to echo as plain text")
    with_shell = {"command": "echo a | cat", "shell": True}
    assert run("run_command", **with_shell) == (0, b"a\n", "")


def test_a_wrong_environment_or_no_accepted_code_is_refused_when_it_is_saved():
    job = discover(None)["run_command"]
    with pytest.raises(ParameterError) as refused:
        job.validate({"command": "x", "environment": {"a=b": "c"}, "accepted_exit_codes": []})
    assert set(refused.value.problems) == {"environment", "accepted_exit_codes"}


def test_commands_need_a_permission_of_their_own():
    assert discover(None)["run_command"].permission == "jobs.run_command"
    assert discover(None)["call_web_address"].permission is None


def script(text, **parameters):
    return run("run_script", script=text, **parameters)


@pytest.mark.parametrize(
    ("interpreter", "text", "printed"),
    [
        ("sh", 'echo "$1 $2"; cat\nexit 3', b"a b * hello"),
        ("bash", '[[ $1 == a* ]] && echo "${@}"; cat; exit 3', b"a b * hello"),
        ("python", "import sys; print(*sys.argv[1:], flush=True); print(input(), end=''); sys.exit(3)", b"a b * hello"),
    ],
)
def test_a_script_gets_its_arguments_and_its_text_and_ends_the_run(interpreter, text, printed):
    code, out, error = script(text, interpreter=interpreter, arguments=["a b", "*"], stdin="hello")
    assert (code, out.replace(b"\n", b" ")) == (3, printed)
    assert error == "the script ended with exit code 3; 0 would be a success\n"
    assert script(text, interpreter=interpreter, stdin="x", accepted_exit_codes=[3])[0] == 0


def test_a_script_runs_in_its_folder_with_its_environment_and_leaves_no_file(tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    code, out, _ = run_job(
        "run_script",
        {"script": 'pwd; echo "$COLOUR"', "folder": str(tmp_path), "environment": {"COLOUR": "dark blue"}},
        environment={"TMPDIR": str(temporary)},
    )
    assert (code, out.decode()) == (0, f"{tmp_path}\ndark blue\n")
    assert list(temporary.iterdir()) == []


def test_an_interpreter_that_is_not_there_is_named():
    code, out, error = script("Get-Date", interpreter="cmd")
    assert (code, out) == (127, b"")
    assert error == (
        "cannot run the script: there is no cmd on this machine; install it, or choose another interpreter\n"
    )


def test_a_command_reads_its_standard_input_and_nothing_without_one():
    assert run("run_command", command="cat", stdin="größe\n2") == (0, "größe\n2".encode(), "")
    assert run("run_command", command="cat") == (0, b"", "")
