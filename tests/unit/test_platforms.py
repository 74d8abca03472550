"""Process trees that leave nothing behind, and what else differs between systems. Real processes."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from scheduler_app import platforms
from scheduler_app.platforms import rabbitmq
from tests.waiting import wait_until

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has neither sessions nor signals to other processes")

SLEEP = "import time; time.sleep(120)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(120)"
# Starts argv[1:] with the options given as keywords, tells its pid, and stays or goes.
PARENT = """
import json, subprocess, sys, time
stay, options, command = json.loads(sys.argv[1])
child = subprocess.Popen([sys.executable, "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **options)
if "deaf" in command:
    child.stdout.readline()
print(child.pid, flush=True)
if stay:
    time.sleep(120)
"""


def parent(command, *, stay=True, **options):
    import json

    return [sys.executable, "-c", PARENT, json.dumps([stay, options, command])]


@pytest.fixture
def spawn():
    """`platforms.spawn`, with everything killed and closed afterwards, whatever the test found."""
    trees = []

    def start(argv, **options):
        trees.append(platforms.spawn(argv, **options))
        return trees[-1]

    yield start
    for tree in trees:
        tree.kill()
        tree.close()
        for pipe in (tree.popen.stdin, tree.popen.stdout, tree.popen.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def stray():
    """Remember processes that no tree may own, and end them by pid afterwards."""
    processes = []

    def remember(pid):
        processes.append(psutil.Process(pid))
        return processes[-1]

    yield remember
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def said_pid(tree):
    return int(tree.popen.stdout.readline())


def is_gone(process):
    """Ended; what nobody has removed from the process table yet does not count as living."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class TestSpawn:
    def test_passes_arguments_environment_folder_and_pipes(self, spawn, tmp_path):
        script = "import os, sys; print(sys.argv[1], os.environ['GIVEN'], os.getcwd(), input())"
        tree = spawn([sys.executable, "-c", script, "ä b"], env={**os.environ, "GIVEN": "value"}, cwd=tmp_path)
        out, _ = tree.popen.communicate(b"line\n", timeout=30)
        assert out.decode().split() == ["ä", "b", "value", str(tmp_path), "line"]
        assert tree.pid == tree.popen.pid

    def test_uses_this_process_environment_when_none_is_given(self, spawn, monkeypatch):
        monkeypatch.setenv("GIVEN", "here")
        tree = spawn([sys.executable, "-c", "import os; print(os.environ['GIVEN'])"])
        assert tree.popen.communicate(timeout=30)[0].split() == [b"here"]

    def test_marks_a_tree_within_a_tree_with_both(self, spawn, monkeypatch):
        monkeypatch.setenv(platforms.TREE_VARIABLE, "outer")
        tree = spawn([sys.executable, "-c", f"import os; print(os.environ['{platforms.TREE_VARIABLE}'])"], env={})
        outer, own = tree.popen.communicate(timeout=30)[0].decode().strip().split(".")
        assert (outer, len(own)) == ("outer", 16)

    def test_a_program_that_does_not_exist_is_an_os_error(self):
        with pytest.raises(FileNotFoundError):
            platforms.spawn(["no-such-program-anywhere"])

    @posix
    def test_gives_the_child_a_session_of_its_own(self, spawn):
        tree = spawn([sys.executable, "-c", SLEEP])
        assert os.getsid(tree.pid) == tree.pid != os.getsid(0)


@posix
def test_terminate_asks_the_whole_group(spawn):
    tree = spawn(parent(SLEEP))
    grandchild = psutil.Process(said_pid(tree))

    tree.terminate()

    assert tree.popen.wait(10) == -signal.SIGTERM
    wait_until(lambda: is_gone(grandchild), 10, "the grandchild's end")


class TestKill:
    @posix
    def test_ends_a_grandchild_that_ignores_sigterm(self, spawn):
        tree = spawn(parent(DEAF))
        grandchild = psutil.Process(said_pid(tree))
        tree.terminate()
        tree.popen.wait(10)
        assert not is_gone(grandchild)

        tree.kill()

        assert is_gone(grandchild)

    def test_ends_child_and_grandchild(self, spawn):
        tree = spawn(parent(SLEEP))
        grandchild = psutil.Process(said_pid(tree))
        tree.kill()
        assert tree.popen.returncode == (1 if os.name == "nt" else -signal.SIGKILL)
        assert is_gone(grandchild)

    @posix
    def test_ends_what_is_forked_between_the_look_and_the_kill(self, spawn, stray, monkeypatch):
        tree = spawn([sys.executable, "-c", SLEEP])
        look = tree._descendants
        late = []

        def look_too_early():
            found = look()
            if not late:
                env = {**os.environ, platforms.TREE_VARIABLE: tree.root.tree}
                # Not a child of this process, which would have to reap it.
                argv = parent(SLEEP, stay=False, start_new_session=True)
                done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, check=True)
                late.append(stray(int(done.stdout)))
            return found

        monkeypatch.setattr(tree, "_descendants", look_too_early)
        tree.kill()
        assert [is_gone(process) for process in late] == [True]

    @posix
    def test_ends_a_grandchild_that_left_the_session(self, spawn):
        tree = spawn(parent(SLEEP, start_new_session=True))
        grandchild = psutil.Process(said_pid(tree))
        assert os.getsid(grandchild.pid) != tree.pid
        tree.kill()
        assert is_gone(grandchild)

    @posix
    def test_ends_a_grandchild_that_left_the_session_and_cleaned_its_environment(self, spawn):
        tree = spawn(parent(SLEEP, start_new_session=True, env={}))
        grandchild = psutil.Process(said_pid(tree))
        tree.kill()
        assert is_gone(grandchild)

    @posix
    def test_ends_a_daemon_that_left_the_session_and_whose_parent_is_gone(self, spawn):
        tree = spawn(parent(SLEEP, stay=False, start_new_session=True))
        grandchild = psutil.Process(said_pid(tree))
        tree.popen.wait(10)
        assert not is_gone(grandchild)
        tree.kill()
        assert is_gone(grandchild)

    @posix
    def test_ends_what_is_left_in_the_session_when_the_child_is_gone(self, spawn):
        tree = spawn(parent(SLEEP, stay=False, env={}))
        grandchild = psutil.Process(said_pid(tree))
        tree.popen.wait(10)
        tree.kill()
        assert is_gone(grandchild)

    def test_spares_a_neighbour(self, spawn):
        tree, neighbour = spawn([sys.executable, "-c", SLEEP]), spawn([sys.executable, "-c", SLEEP])
        tree.kill()
        assert neighbour.popen.poll() is None

    @posix
    def test_reaches_a_tree_within_the_tree_whose_owner_is_gone(self, spawn):
        script = (
            "import sys; from scheduler_app import platforms\n"
            f"print(platforms.spawn([sys.executable, '-c', {SLEEP!r}], env={{}}).pid, flush=True)\n"
            "import os; os._exit(0)"
        )
        tree = spawn([sys.executable, "-c", script])
        grandchild = psutil.Process(said_pid(tree))
        tree.popen.wait(10)
        tree.kill()
        assert is_gone(grandchild)

    def test_of_what_has_ended_does_nothing_and_may_be_repeated(self, spawn):
        tree = spawn([sys.executable, "-c", "raise SystemExit(3)"])
        assert tree.popen.wait(30) == 3
        tree.kill()
        tree.kill()
        tree.terminate()
        tree.close()
        tree.close()
        tree.kill()
        assert tree.popen.returncode == 3

    def test_from_several_threads_is_safe(self, spawn):
        tree = spawn(parent(SLEEP))
        grandchild = psutil.Process(said_pid(tree))
        threads = [threading.Thread(target=tree.kill) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert is_gone(grandchild)
        assert tree.popen.returncode is not None

    @posix
    def test_spares_a_process_that_got_the_pid_of_the_child(self, spawn, stray, monkeypatch):
        """The child was reaped and its pid is another session's now: neither that process nor its children are ours."""
        tree = spawn([sys.executable, "-c", ""])
        tree.popen.wait(30)
        environment = {name: value for name, value in os.environ.items() if name != platforms.TREE_VARIABLE}
        other = subprocess.Popen(parent(SLEEP), env=environment, stdout=subprocess.PIPE, start_new_session=True)
        with other, contextlib.ExitStack() as stack:
            stack.callback(other.kill)
            others_child = stray(int(other.stdout.readline()))
            tree.pid = other.pid
            signalled = []

            tree.kill()
            with monkeypatch.context() as patch:
                patch.setattr(os, "killpg", lambda *arguments: signalled.append(arguments))
                tree.terminate()

            assert signalled == []
            assert other.poll() is None
            assert not is_gone(others_child)


class TestKillOwnTree:
    SCRIPT = (
        "import subprocess, sys; from scheduler_app import platforms\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True)\n"
        "print(child.pid, flush=True); input(); platforms.kill_own_tree()"
    )

    def test_ends_the_process_and_its_descendants(self, spawn):
        tree = spawn([sys.executable, "-c", self.SCRIPT])
        grandchild = psutil.Process(said_pid(tree))
        tree.popen.stdin.close()  # input() raises EOFError: not this way
        assert tree.popen.wait(10) == 1
        tree.kill()
        assert is_gone(grandchild)

    def test_leaves_no_descendant(self, spawn):
        tree = spawn([sys.executable, "-c", self.SCRIPT])
        grandchild = psutil.Process(said_pid(tree))
        tree.popen.stdin.write(b"\n")
        tree.popen.stdin.flush()
        assert tree.popen.wait(10) == 1
        assert is_gone(grandchild)

    @posix
    def test_spares_brothers_in_the_same_session(self, spawn):
        """A process by hand in a terminal shares its session, and its mark, with what is none of its business."""
        script = (
            "import subprocess, sys\n"
            f"brother = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
            "own = subprocess.Popen([sys.executable, '-c', 'from scheduler_app import platforms; platforms.kill_own_tree()'])\n"
            "own.wait(); print(brother.pid, brother.poll(), flush=True); input()"
        )
        tree = spawn([sys.executable, "-c", script])
        _, ended = tree.popen.stdout.readline().split()
        assert ended == b"None"


class TestPortHolder:
    def test_names_program_and_process(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            holder = platforms.port_holder(server.getsockname()[1])
        assert holder == f"{psutil.Process().name()} (process {os.getpid()})"

    def test_is_none_for_a_free_port(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        assert platforms.port_holder(port) is None

    def test_is_none_when_the_system_does_not_tell(self, monkeypatch):
        def refuse(kind):
            raise psutil.AccessDenied

        monkeypatch.setattr(psutil, "net_connections", refuse)
        monkeypatch.setattr(psutil.Process, "net_connections", lambda _, kind: refuse(kind))
        with socket.create_server(("127.0.0.1", 0)) as server:
            assert platforms.port_holder(server.getsockname()[1]) is None

    def test_asks_own_processes_one_by_one_when_the_system_refuses_all_at_once(self, monkeypatch):
        def refuse(kind):
            raise psutil.AccessDenied

        monkeypatch.setattr(psutil, "net_connections", refuse)
        with socket.create_server(("127.0.0.1", 0)) as server:
            assert f"(process {os.getpid()})" in platforms.port_holder(server.getsockname()[1])


@posix
class TestRestrictToOwner:
    @pytest.mark.parametrize(("kind", "mode"), [("folder", 0o700), ("file", 0o600)])
    def test_closes_to_others(self, tmp_path, kind, mode):
        path = tmp_path / kind
        path.mkdir() if kind == "folder" else path.touch()
        path.chmod(0o777)
        assert not platforms.is_restricted(path)
        platforms.restrict_to_owner(path)
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert platforms.is_restricted(path)


@posix
class TestControlAddress:
    def test_is_a_socket_in_the_folder(self):
        assert platforms.control_address(Path("/run/x")) == "/run/x/control.sock"

    def test_of_a_long_folder_is_short_usable_and_its_own(self, tmp_path, monkeypatch):
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        folder = tmp_path / ("x" * 90)
        address = platforms.control_address(folder)
        assert len(address) <= 103
        assert address == platforms.control_address(folder) != platforms.control_address(folder / "y")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(address)
        Path(address).unlink()

    def test_of_a_long_folder_is_in_the_users_runtime_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
        assert platforms.control_address(tmp_path / ("ä" * 60)).startswith("/run/user/7/scheduler-app-")


@posix
@pytest.mark.parametrize(
    ("release", "venv", "broker"),
    [
        ({"ID": "debian"}, "sudo apt install python3-venv", "sudo apt install rabbitmq-server"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "sudo apt install python3-venv", "sudo apt install rabbitmq-server"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "sudo dnf install python3", "sudo dnf install rabbitmq-server"),
        ({"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "sudo zypper install python3", "sudo zypper install rabbitmq-server"),
        ({"ID": "arch"}, "sudo pacman -S python", "sudo pacman -S rabbitmq"),
        ({"ID": "plan9"}, "install Python 3.11 or newer with its modules venv and ensurepip", "install RabbitMQ as https://www.rabbitmq.com/docs/download says"),
    ],
)  # fmt: skip
def test_hints_name_the_systems_own_command(monkeypatch, release, venv, broker):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: release)
    assert (platforms.venv_install_hint(), platforms.rabbitmq_install_hint()) == (venv, broker)


@posix
@pytest.mark.parametrize(
    ("system", "variables", "shown"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("darwin", {}, True),
        ("darwin", {"SSH_CONNECTION": "x"}, False),
    ],
)
def test_a_browser_is_opened_only_where_somebody_sees_it(monkeypatch, system, variables, shown):
    monkeypatch.setattr("sys.platform", system)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert platforms.has_display() is shown


@posix
def test_the_default_pool_runs_jobs_at_the_same_time():
    assert platforms.default_pool() == "threads"


class TestFindRabbitMQ:
    @pytest.fixture
    def home(self, tmp_path):
        def make(folder, *plugins):
            for plugin in plugins:
                (tmp_path / folder / "plugins" / plugin).mkdir(parents=True)
            return tmp_path / folder

        return make

    def test_newest_complete_installation_wins(self, home):
        homes = [
            home("rabbitmq_server-3.9.1", "rabbit-3.9.1", "rabbit_common-3.9.1"),
            home("opt/rabbitmq", "rabbit-3.13.7.ez"),
            home("rabbitmq_server-9.9.9", "rabbitmq_management-9.9.9"),
            home("none"),
        ]
        erl = Path("/somewhere/erl")
        expected = platforms.RabbitMQInstallation(erl=erl, home=homes[1], version=(3, 13, 7))
        assert rabbitmq.choose([erl, Path("/other/erl")], homes) == expected

    @pytest.mark.parametrize(
        ("version", "erlang", "problem"),
        [
            ("3.10.0", "23.2", ""),
            ("3.10.25", "25.3.2", ""),
            ("3.13.7", "26.0", ""),
            ("4.1.2", "26.2.1", ""),
            ("4.99", "28.0", ""),
            ("4.0.3", None, ""),
            ("3.9.29", "25.0", "RabbitMQ 3.9.29 (HOME) is too old: upgrade it, 3.10 to 4.x is supported"),
            (
                "5.0.0",
                "28.0",
                "RabbitMQ 5.0.0 (HOME) is too new, 3.10 to 4.x is supported: look for a newer scheduler-app",
            ),
            (
                "3.13.7",
                "25.3.2",
                "RabbitMQ 3.13.7 (HOME) needs Erlang 26.0 or newer, and ERL is 25.3.2: upgrade Erlang",
            ),
            ("4.0.0", "26.1", "RabbitMQ 4.0.0 (HOME) needs Erlang 26.2 or newer, and ERL is 26.1: upgrade Erlang"),
        ],
    )
    def test_versions_that_do_not_fit_are_said_with_what_to_do(self, home, tmp_path, version, erlang, problem):
        erl = tmp_path / "erlang" / "bin" / "erl"
        if erlang:
            release = erl.parent.parent / "releases" / erlang.split(".")[0]
            release.mkdir(parents=True)
            (release / "OTP_VERSION").write_text(f"{erlang}\n")
        found = rabbitmq.choose([erl], [home("rabbitmq", f"rabbit-{version}")])
        said = found.problem().replace(str(tmp_path / "rabbitmq"), "HOME").replace(str(erl), "ERL")
        assert said == problem

    def test_an_older_one_that_works_is_preferred_to_a_newer_one_that_does_not(self, home):
        homes = [home("five", "rabbit-5.0.0"), home("three", "rabbit-3.13.7"), home("old", "rabbit-3.8.0")]
        assert rabbitmq.choose([Path("/somewhere/erl")], homes).home == homes[1]

    def test_without_erlang_there_is_none(self, home):
        assert rabbitmq.choose([], [home("x", "rabbit-3.9.1")]) is None

    def test_without_rabbitmq_there_is_none(self):
        assert rabbitmq.choose([Path("/somewhere/erl")], []) is None

    def test_windows_program_folder_is_searched(self, home, tmp_path, monkeypatch):
        expected = home("RabbitMQ Server/rabbitmq_server-4.99.1", "rabbit-4.99.1")
        monkeypatch.setenv("ProgramFiles", str(tmp_path))
        (tmp_path / "Erlang OTP" / "bin").mkdir(parents=True)
        (erl := tmp_path / "Erlang OTP" / "bin" / "erl.exe").touch()
        monkeypatch.setattr(rabbitmq, "ERLANGS", ())
        monkeypatch.setenv("PATH", str(tmp_path))
        found = platforms.find_rabbitmq()
        assert found == platforms.RabbitMQInstallation(erl=erl, home=expected, version=(4, 99, 1))

    def test_a_server_in_the_path_is_found(self, home, tmp_path, monkeypatch):
        expected = home("rabbitmq_server-4.99.2", "rabbit-4.99.2")
        for program in (expected / "sbin" / "rabbitmq-server", tmp_path / "erl"):
            program.parent.mkdir(exist_ok=True)
            program.touch()
            program.chmod(0o700)
        monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), str(expected / "sbin")]))
        found = platforms.find_rabbitmq()
        assert found == platforms.RabbitMQInstallation(erl=tmp_path / "erl", home=expected, version=(4, 99, 2))
