"""What a run prints: piece by piece, by offset, or as it comes."""

import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from ninja import Query, Router
from pydantic import Field

from jobs.models import Run, RunOutput
from jobs.states import ACTIVE
from scheduler_app.api.access import VIEW_RUN, Caller
from scheduler_app.api.asking import refuse_unknown
from scheduler_app.api.problems import Problem
from scheduler_app.api.runs import found
from scheduler_app.api.shapes import LARGEST_ID, Id, Log, Strict
from scheduler_app.web.tokens import Scope

router = Router(tags=["runs"])

LARGEST_LOG = 1_000_000
# A log that is followed keeps one of the server's threads; the admin needs some.
FOLLOWERS, LONGEST, LOOK_EVERY = 2, 300.0, 0.5
_followers = threading.BoundedSemaphore(FOLLOWERS)


class LogPart(Strict):
    offset: int = Field(0, ge=0, le=LARGEST_ID)
    limit: int = Field(100_000, ge=1, le=LARGEST_LOG, description="Bytes at most.")


@router.get("/{run_id}/log", response=Log, summary="What a run printed, from an offset on")
def show_log(request: HttpRequest, run_id: Id, part: Query[LogPart]) -> dict[str, Any]:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.READ, VIEW_RUN)
    refuse_unknown(request, LogPart)
    run = found(caller, run_id)
    data = _output(run_id, part.offset, part.limit)
    following = part.offset + len(data)
    return {
        "offset": part.offset,
        "text": data.decode(errors="backslashreplace"),
        "next": following,
        "ended": run.state not in ACTIVE and following >= run.output_size - run.output_dropped,
        "dropped": run.output_dropped,
    }


class Follow(Strict):
    offset: int = Field(0, ge=0, le=LARGEST_ID)


@router.get(
    "/{run_id}/log/stream",
    summary="What a run prints, as it prints it",
    openapi_extra={"responses": {200: {"content": {"text/plain": {}}}}},
)
def follow_log(request: HttpRequest, run_id: Id, part: Query[Follow]) -> StreamingHttpResponse:
    """Plain text, until the run ends, for five minutes at most; go on with the log's offset after that."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    caller.need(Scope.READ, VIEW_RUN)
    refuse_unknown(request, Follow)
    run = found(caller, run_id)
    if not _followers.acquire(blocking=False):
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"cannot follow this log: {FOLLOWERS} are followed at present; ask for it by offset",
            headers={"Retry-After": "5"},
        )
    return StreamingHttpResponse(_Following(run.pk, part.offset), content_type="text/plain; charset=utf-8")


def _output(run_id: int, offset: int, limit: int) -> bytes:
    """Return bytes of the output from *offset* on, all streams in the order in which they were written."""
    found = bytearray()
    position = 0
    for data in RunOutput.objects.filter(run=run_id).order_by("number").values_list("data", flat=True).iterator():
        start = max(0, offset - position)
        position += len(data)
        found += bytes(data)[start : start + limit - len(found)]
        if len(found) >= limit:
            break
    return _whole_characters(bytes(found)) if len(found) >= limit else bytes(found)


def _whole_characters(data: bytes) -> bytes:
    """Return *data* without a character that is cut off at its end, unless there is nothing else."""
    for cut in range(1, min(4, len(data))):
        if data[-cut] & 0xC0 == 0xC0:  # noqa: PLR2004 - the first byte of several
            return data[:-cut]
        if data[-cut] & 0x80 == 0:  # a whole character
            break
    return data


class _Following:
    """The pieces of a log as they come; closed by the server when the client has gone or it is all said."""

    def __init__(self, run_id: int, offset: int) -> None:
        self._run_id = run_id
        self._pieces = self._read(offset)
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._pieces.close()  # type: ignore[attr-defined]  # a generator
            _followers.release()

    def _read(self, offset: int) -> Iterator[bytes]:
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            # Asked before its output is: what it printed last is not missed.
            going_on = Run.objects.filter(pk=self._run_id, state__in=sorted(ACTIVE)).exists()
            data = _output(self._run_id, offset, LARGEST_LOG)
            offset += len(data)
            if data:
                yield data
            elif not going_on:
                return
            else:
                time.sleep(LOOK_EVERY)
