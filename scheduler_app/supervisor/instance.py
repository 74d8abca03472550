"""One supervisor a data folder: the lock, and a file that tells who holds it."""

import json
import os
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from scheduler_app.paths import Paths
from scheduler_app.supervisor.service import SupervisorError

ALREADY_RUNNING = 4
"""Exit code of a detached supervisor that tells `start` that another one was quicker."""


class AlreadyRunningError(SupervisorError):
    """Another supervisor holds this data folder; pid and url are its, where known."""

    def __init__(self, pid: int | None, url: str | None) -> None:
        who = f" (process {pid})" if pid else ""
        where = f" at {url}" if url else ""
        super().__init__(f"The scheduler runs already{where}{who}.")
        self.pid = pid
        self.url = url


class Instance:
    """Held while a supervisor owns the data folder; raises AlreadyRunningError when another one does."""

    def __init__(self, paths: Paths) -> None:
        self._file = paths.run / "supervisor.json"
        # The lock's file holds nothing: on Windows a locked file cannot be read.
        self._lock = FileLock(paths.run / "supervisor.lock", timeout=0, is_singleton=False)

    def __enter__(self) -> Self:
        try:
            self._lock.acquire()
        except Timeout:
            raise self.refusal() from None
        self.announce(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.unlink(missing_ok=True)
        self._lock.release()

    def announce(self, url: str | None) -> None:
        """Write down who holds the lock and where its admin is."""
        draft = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        draft.write_text(json.dumps({"pid": os.getpid(), "url": url}), encoding="utf-8")
        draft.replace(self._file)

    def refusal(self) -> AlreadyRunningError:
        holder = self.holder()
        return AlreadyRunningError(holder.get("pid"), holder.get("url"))

    def holder(self) -> dict[str, Any]:
        """Return pid and url of who holds or last held the lock without a clean end; empty when nobody is known."""
        try:
            holder = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return holder if isinstance(holder, dict) else {}
