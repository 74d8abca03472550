"""A service ends when its pipe says "stop" or breaks, and never because it has none. Real processes."""

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from scheduler_app import platforms
from tests.waiting import wait_until

# A service that tells its pid and waits in one long system call; SIGTERM ends it as a Python handler does.
SERVICE = """
import signal, sys, time
from scheduler_app import lifeline
def end(*_):
    print("SIGTERM", lifeline.ended, flush=True)
    {on_signal}
signal.signal(signal.SIGTERM, end)
lifeline.on_end(lambda: print("callback", lifeline.ended, flush=True))
{at_start}
print("ready", flush=True)
time.sleep(120)
time.sleep(120)
"""


@pytest.fixture
def service(tmp_path):
    """Start a module "service" through launch, as the supervisor does."""
    trees = []

    def start(on_signal="sys.exit(7)", at_start="", *, service_id="web.1234", stdin=subprocess.PIPE, source=SERVICE):
        (tmp_path / "service.py").write_text(source.format(on_signal=on_signal, at_start=at_start))
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
        env.pop("SCHEDULER_SERVICE_ID", None)
        if service_id:
            env["SCHEDULER_SERVICE_ID"] = service_id
        argv = [sys.executable, "-m", "scheduler_app.launch", "service", "--port", "8000"]
        trees.append(platforms.spawn(argv, env=env, cwd=tmp_path, stdin=stdin))
        return trees[-1].popen

    yield start
    for tree in trees:
        tree.kill()
        tree.close()
        for pipe in (tree.popen.stdin, tree.popen.stdout, tree.popen.stderr):
            if pipe is not None:
                pipe.close()


def line(process):
    return process.stdout.readline().decode().strip()


def say(process, text):
    process.stdin.write(text)
    process.stdin.flush()


def unread(pipe):
    """Return how many bytes nobody has taken out of *pipe* yet."""
    import fcntl
    import termios

    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]


def is_asleep(process):
    """The main thread waits in a system call."""
    return psutil.Process(process.pid).status() == psutil.STATUS_SLEEPING


class TestStop:
    def test_reaches_the_main_thread_in_the_middle_of_a_wait(self, service):
        process = service()
        assert line(process) == "ready"
        wait_until(lambda: is_asleep(process), 10, "the main thread's wait")
        asked = time.monotonic()

        say(process, b"stop\n")

        assert [line(process), line(process)] == ["callback stop", "SIGTERM stop"]
        assert process.wait(10) == 7
        assert time.monotonic() - asked < 5

    def test_second_time_sends_the_signal_again(self, service):
        process = service(on_signal="")
        assert line(process) == "ready"
        say(process, b"stop\n")
        assert [line(process), line(process)] == ["callback stop", "SIGTERM stop"]
        say(process, b"stop\n")
        assert line(process) == "SIGTERM stop"

    def test_second_time_hurries_a_process_that_knows_how_and_the_third_sends_the_signal(self, service):
        process = service(on_signal="", at_start="lifeline.on_hurry(lambda: print('hurry', flush=True))")
        assert line(process) == "ready"
        say(process, b"stop\n")
        assert [line(process), line(process)] == ["callback stop", "SIGTERM stop"]
        say(process, b"stop\n")
        assert line(process) == "hurry"
        say(process, b"stop\n")
        assert line(process) == "SIGTERM stop"

    @pytest.mark.skipif(os.name == "nt", reason="looks into the pipe with FIONREAD")
    def test_may_come_in_pieces_with_other_lines_around_it(self, service):
        process = service()
        assert line(process) == "ready"
        for piece in (b"hello\nst", b"op", b"\r\n"):
            say(process, piece)
            wait_until(lambda: unread(process.stdin) == 0, 10, "the piece to be read")
        assert line(process) == "callback stop"

    def test_during_the_start_before_any_handler_ends_the_process(self, service):
        process = service(source="import time; print('ready', flush=True); time.sleep(120)")
        assert line(process) == "ready"
        say(process, b"stop\n")
        assert process.wait(10) != 0


class TestEndOfFile:
    def test_stops_the_service_as_an_orphan(self, service):
        process = service()
        assert line(process) == "ready"
        process.stdin.close()
        assert [line(process), line(process)] == ["callback orphaned", "SIGTERM orphaned"]
        assert process.wait(10) == 7

    def test_ends_a_service_that_does_not_stop_and_all_it_started(self, service):
        child = "import subprocess; print(subprocess.Popen(['sleep', '120'], start_new_session=True).pid, flush=True)"
        process = service(on_signal="", at_start=f"lifeline.ORPHAN_LIMIT = 0.5; {child}")
        grandchild = psutil.Process(int(line(process)))
        assert line(process) == "ready"

        process.stdin.close()

        assert process.wait(10) == 1
        wait_until(lambda: not psutil.pid_exists(grandchild.pid) or grandchild.status() == "zombie", 5, "its end")

    def test_after_stop_sends_no_second_signal_but_keeps_the_limit(self, service):
        process = service(on_signal="", at_start="lifeline.ORPHAN_LIMIT = 0.5")
        assert line(process) == "ready"
        say(process, b"stop\n")
        assert [line(process), line(process)] == ["callback stop", "SIGTERM stop"]
        process.stdin.close()
        assert process.wait(10) == 1
        assert line(process) == ""

    def test_comes_when_the_parent_is_killed(self, service, tmp_path):
        """The parent dies by SIGKILL, and with it its end of the pipe."""
        service().kill()  # writes the module
        script = (
            "import subprocess, sys\n"
            "child = subprocess.Popen([sys.executable, '-m', 'scheduler_app.launch', 'service'], stdin=subprocess.PIPE)\n"
            "child.wait()"
        )
        env = {**os.environ, "SCHEDULER_SERVICE_ID": "web.1", "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            [sys.executable, "-c", script], env=env, cwd=tmp_path, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        ) as parent:
            assert line(parent) == "ready"
            (child,) = psutil.Process(parent.pid).children()
            parent.kill()
            assert [line(parent), line(parent)] == ["callback orphaned", "SIGTERM orphaned"]
            wait_until(lambda: not child.is_running() or child.status() == "zombie", 10, "the child's end")


class TestWithoutALifeline:
    SOURCE = "import sys; print(repr(sys.stdin.read()), 'scheduler_app.platforms.posix' in sys.modules)"

    def test_the_null_device_does_not_end_a_service(self, service):
        process = service(stdin=subprocess.DEVNULL, at_start="time.sleep(0.3)")
        assert line(process) == "ready"
        assert process.poll() is None

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")
    def test_a_terminal_does_not_end_a_service(self, service):
        master, slave = os.openpty()
        try:
            process = service(stdin=slave)
            assert line(process) == "ready"
            os.write(master, b"stop\n")
            assert process.poll() is None
        finally:
            os.close(slave)
            os.close(master)

    def test_a_pipe_of_somebody_else_stays_the_modules_own(self, service):
        process = service(service_id=None, source="import sys; print(sys.stdin.read())")
        out, _ = process.communicate(b"stop", timeout=30)
        assert out.split() == [b"stop"]


def test_a_callback_that_comes_late_is_called_at_once(service):
    process = service(on_signal="lifeline.on_end(lambda: print('late', flush=True))")
    assert line(process) == "ready"
    say(process, b"stop\n")
    assert [line(process) for _ in range(3)] == ["callback stop", "SIGTERM stop", "late"]


def test_a_callback_that_raises_does_not_save_the_process(service):
    process = service(at_start="lifeline.on_end(lambda: 1 / 0)")
    assert line(process) == "ready"
    say(process, b"stop\n")
    assert process.wait(10) == 7
    assert b"ZeroDivisionError" in process.stderr.read()


def test_children_of_a_service_do_not_inherit_the_lifeline(service):
    """A child that read it would swallow the "stop" that is meant for the service."""
    child = (
        "import subprocess; subprocess.run([sys.executable, '-c', 'import sys; print([sys.stdin.read()], flush=True)'])"
    )
    process = service(at_start=child)
    assert line(process) == "['']"
    assert line(process) == "ready"
    say(process, b"stop\n")
    assert line(process) == "callback stop"


class TestLaunch:
    SHOW = "import sys; print([sys.argv[1:], sys.argv[0], sys.path[0], __name__, sys.modules['__main__'].__file__])"

    def test_runs_a_module_as_python_does(self, service, tmp_path):
        launched = service(source=self.SHOW).stdout.read()
        directly = subprocess.run(
            [sys.executable, "-m", "service", "--port", "8000"], cwd=tmp_path, capture_output=True, check=True
        )
        assert launched == directly.stdout

    def test_runs_a_package_as_python_does(self, tmp_path):
        (tmp_path / "package").mkdir()
        (tmp_path / "package" / "__init__.py").touch()
        (tmp_path / "package" / "__main__.py").write_text(self.SHOW)
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        shown = [
            subprocess.run(
                [sys.executable, "-m", *modules, "x"], cwd=tmp_path, env=env, capture_output=True, check=True
            )
            for modules in (["scheduler_app.launch", "package"], ["package"])
        ]
        assert shown[0].stdout == shown[1].stdout != b""

    def test_passes_the_exit_code_on(self, service):
        process = service(source="import sys; sys.exit(5)")
        assert process.wait(30) == 5

    def test_without_a_module_says_how_it_is_used(self):
        done = subprocess.run(
            [sys.executable, "-m", "scheduler_app.launch"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 1
        assert "cannot launch: no module is named" in done.stderr


def test_celery_starts_as_it_does_directly():
    pytest.importorskip("celery")
    outputs = [
        subprocess.run(
            [sys.executable, "-m", *modules, "--version"], capture_output=True, stdin=subprocess.DEVNULL, check=True
        ).stdout
        for modules in (["scheduler_app.launch", "celery"], ["celery"])
    ]
    assert outputs[0] == outputs[1] != b""
