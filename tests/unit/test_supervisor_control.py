"""The control channel: who is answered, who is not, and what a person is told."""

import json
import threading
from contextlib import closing
from multiprocessing.connection import Client, Listener, answer_challenge, deliver_challenge

import pytest

from scheduler_app import platforms
from scheduler_app.config import load
from scheduler_app.paths import Paths
from scheduler_app.supervisor import control
from scheduler_app.supervisor.control import ControlServer, NotRunningError, ask
from scheduler_app.supervisor.service import SupervisorError


@pytest.fixture
def paths(tmp_path):
    paths = Paths.of(load(data_folder=tmp_path / "data", environ={}))
    paths.prepare()
    return paths


def echo(request):
    if request.get("do") == "refuse":
        raise SupervisorError("cannot do that: not today")
    return {"asked": request}


def send_raw(paths, data):
    """Send *data* as a request, past the client's own encoding."""
    key = (paths.run / control.KEY_FILE).read_bytes()
    with Client(platforms.control_address(paths.run)) as connection:
        answer_challenge(connection, key)
        deliver_challenge(connection, key)
        connection.send_bytes(data)
        return json.loads(connection.recv_bytes())


def test_a_request_is_answered(paths):
    with closing(ControlServer(paths, echo)):
        assert ask(paths, {"do": "status"}) == {"ok": True, "asked": {"do": "status"}}


def test_a_refusal_reaches_the_person_as_its_sentence(paths):
    with closing(ControlServer(paths, echo)), pytest.raises(SupervisorError, match="cannot do that: not today"):
        ask(paths, {"do": "refuse"})


def test_without_a_supervisor_the_answer_says_how_to_start_one(paths):
    with pytest.raises(NotRunningError, match="`scheduler-app start` starts it"):
        ask(paths, {"do": "status"})


def test_after_close_there_is_no_supervisor(paths):
    ControlServer(paths, echo).close()
    with pytest.raises(NotRunningError):
        ask(paths, {"do": "status"})


def test_what_a_killed_supervisor_left_is_no_supervisor_and_no_obstacle(paths):
    address = platforms.control_address(paths.run)
    left = Listener(address)
    left._listener._unlink.cancel()  # as kill -9 does: the socket's file stays
    left.close()
    (paths.run / control.KEY_FILE).write_bytes(b"old")
    with pytest.raises(NotRunningError):
        ask(paths, {"do": "status"})
    with closing(ControlServer(paths, echo)):
        assert ask(paths, {"do": "status"})["ok"]


def test_a_wrong_key_is_not_answered(paths):
    with closing(ControlServer(paths, echo)):
        (paths.run / control.KEY_FILE).write_bytes(b"wrong")
        with pytest.raises(SupervisorError, match=r"control\.key does not belong to it"):
            ask(paths, {"do": "status"})


def test_key_and_socket_are_the_owners_alone(paths):
    with closing(ControlServer(paths, echo)):
        for path in (paths.run / control.KEY_FILE, paths.run / "control.sock"):
            assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"\x80\x04N.", "cannot read the request: not JSON", id="a pickle"),
        pytest.param(b"{", "cannot read the request: not JSON", id="half of it"),
        pytest.param(b"[1]", "not a JSON object", id="a list"),
    ],
)
def test_what_is_not_a_json_object_is_refused(paths, data, says):
    with closing(ControlServer(paths, echo)):
        reply = send_raw(paths, data)
        assert not reply["ok"]
        assert says in reply["error"]


def test_a_client_that_says_nothing_does_not_keep_others_waiting(paths):
    with closing(ControlServer(paths, echo)), Client(platforms.control_address(paths.run)):
        assert ask(paths, {"do": "status"})["ok"]


def test_a_supervisor_that_does_not_answer_is_reported(paths, monkeypatch):
    monkeypatch.setattr(control, "ANSWER_LIMIT", 0.3)
    never = threading.Event()

    def hang(_request):
        never.wait()
        return {}

    with closing(ControlServer(paths, hang)):
        with pytest.raises(SupervisorError, match=r"did not answer within 0\.3 s"):
            ask(paths, {"do": "status"})
        never.set()


def test_a_data_folder_with_a_long_name_can_be_controlled(tmp_path):
    paths = Paths.of(load(data_folder=tmp_path / ("long" * 40), environ={}))
    paths.prepare()
    with closing(ControlServer(paths, echo)):
        assert ask(paths, {"do": "status"})["ok"]
