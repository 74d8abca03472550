"""The control channel: how the command line and the tray talk to the running supervisor.

A local socket or named pipe that only the owner can reach, a random key for each start, and JSON in both
directions. Nothing is ever unpickled.
"""

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import (
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from pathlib import Path
from typing import Any

from scheduler_app import platforms
from scheduler_app.paths import Paths
from scheduler_app.supervisor.service import SupervisorError

ANSWER_LIMIT = 15.0
"""Seconds for a supervisor to answer; it answers in milliseconds unless it is suspended."""
ACCEPT_RETRY = 0.1
BACKLOG = 16
LARGEST_REQUEST = 4096
KEY_FILE = "control.key"
NAMED_PIPE = "\\\\.\\pipe\\"
"""How the addresses begin that are no files (Windows)."""

Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns what to reply to a request; raises SupervisorError with the sentence for the person."""


class NotRunningError(SupervisorError):
    """No supervisor runs for this data folder."""


class ControlServer:
    """Answers requests until closed, each connection in a thread of its own, so that none can hold up another."""

    def __init__(self, paths: Paths, answer: Answer) -> None:
        self._answer = answer
        self._key = secrets.token_bytes(32)
        self._closing = threading.Event()
        self._address = platforms.control_address(paths.run)
        is_socket = not self._address.startswith(NAMED_PIPE)
        if is_socket:
            # Left by a supervisor that was killed; the lock says that it is gone.
            Path(self._address).unlink(missing_ok=True)
        _write_for_owner(paths.run / KEY_FILE, self._key)
        self._listener = Listener(self._address, backlog=BACKLOG)
        if is_socket:
            platforms.restrict_to_owner(Path(self._address))
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        # Closing the listener does not wake accept(); a last connection does.
        with contextlib.suppress(OSError):
            Client(self._address).close()
        self._thread.join(ANSWER_LIMIT)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection = self._listener.accept()
            except OSError:
                # The other side was gone before it was accepted, or there are no descriptors left just now.
                self._closing.wait(ACCEPT_RETRY)
                continue
            if self._closing.is_set():
                connection.close()
                return
            threading.Thread(target=self._serve, args=(connection,), name="control request", daemon=True).start()

    def _serve(self, connection: "Connection[Any, Any]") -> None:
        # Whoever hangs up or has a wrong key is not answered; there is nobody to tell.
        with connection, contextlib.suppress(OSError, EOFError, AuthenticationError):
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            reply = self._reply(connection.recv_bytes(LARGEST_REQUEST))
            connection.send_bytes(json.dumps(reply).encode())

    def _reply(self, data: bytes) -> dict[str, Any]:
        try:
            request = json.loads(data)
            if not isinstance(request, dict):
                return {"ok": False, "error": "cannot read the request: it is not a JSON object"}
            return {"ok": True, **self._answer(request)}
        except ValueError as error:
            return {"ok": False, "error": f"cannot read the request: not JSON ({error})"}
        except SupervisorError as error:
            return {"ok": False, "error": str(error)}


def ask(paths: Paths, request: dict[str, Any]) -> dict[str, Any]:
    """Return the running supervisor's reply; raise NotRunningError, or SupervisorError with its refusal."""
    replies: list[dict[str, Any] | BaseException] = []

    def exchange() -> None:
        try:
            replies.append(_exchange(paths, request))
        except BaseException as error:  # noqa: BLE001  # raised again below, in the thread that asked
            replies.append(error)

    # A suspended supervisor accepts and never answers, and the handshake knows no time limit.
    thread = threading.Thread(target=exchange, name="control client", daemon=True)
    thread.start()
    thread.join(ANSWER_LIMIT)
    if not replies:
        raise SupervisorError(
            f"cannot reach the scheduler of {paths.data}: it did not answer within {ANSWER_LIMIT:g} s"
        )
    if isinstance(replies[0], BaseException):
        raise replies[0]
    if not replies[0].get("ok"):
        raise SupervisorError(str(replies[0].get("error")))
    return replies[0]


def _exchange(paths: Paths, request: dict[str, Any]) -> dict[str, Any]:
    try:
        key = (paths.run / KEY_FILE).read_bytes()
        with Client(platforms.control_address(paths.run)) as connection:
            answer_challenge(connection, key)
            deliver_challenge(connection, key)
            connection.send_bytes(json.dumps(request).encode())
            reply: dict[str, Any] = json.loads(connection.recv_bytes())
            return reply
    except (OSError, EOFError) as error:
        raise NotRunningError(
            f"The scheduler does not run for {paths.data}; `scheduler-app start` starts it."
        ) from error
    except AuthenticationError as error:
        raise SupervisorError(
            f"cannot talk to the scheduler of {paths.data}: {paths.run / KEY_FILE} does not belong to it; "
            "stop its process and start it again"
        ) from error


def _write_for_owner(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    platforms.restrict_to_owner(path)
