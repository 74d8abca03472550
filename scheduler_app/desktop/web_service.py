"""The tray's side of scheduler_app.web.desktop: signed requests to the web service of the same installation."""

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from scheduler_app import desktop_signature
from scheduler_app.desktop.observation import Activity

ANSWER_LIMIT = 5.0
"""Seconds; a web service that is starting, or has a slow disk, answers later, and the icon shows what it knows."""


class WebServiceError(Exception):
    """The web service does not answer, or refuses; str() says why."""


class WebService:
    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port
        self._key = key

    def activity(self) -> Activity:
        try:
            return Activity.of_json(self._ask("GET", "/desktop/activity/"))
        except (KeyError, TypeError, ValueError) as error:
            raise WebServiceError(f"cannot understand the web service: {error!r}; is it of another version?") from error

    def run_now(self, schedule: int) -> int:
        """Start a schedule's job; return the run's number."""
        return int(self._ask("POST", "/desktop/run/", {"schedule": schedule})["run"])

    def cancel(self, run: int) -> None:
        self._ask("POST", "/desktop/cancel/", {"run": run})

    def pause(self, length: str) -> None:
        """Pause all schedules for one of menu.PAUSES."""
        self._ask("POST", "/desktop/pause/", {"length": length})

    def resume(self) -> None:
        self._ask("POST", "/desktop/resume/", {})

    def _ask(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = b"" if content is None else json.dumps(content).encode()
        header = desktop_signature.sign(self._key, method, path, body, time.time())
        # One connection a question: the service may have been started anew since the last.
        connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_LIMIT)
        try:
            connection.request(
                method, path, body or None, {desktop_signature.HEADER: header, "Content-Type": "application/json"}
            )
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise WebServiceError(f"the web service does not answer: {error}") from error
        finally:
            connection.close()
        if not isinstance(answer, dict) or response.status != http.client.OK:
            raise WebServiceError(str(answer.get("error", response.reason) if isinstance(answer, dict) else answer))
        return answer
