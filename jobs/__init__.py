"""What can be run: jobs with typed parameters, found by their decorator, and their runs.

A job of one's own is one file in the jobs folder::

    from pathlib import Path
    from jobs import job

    @job(timeout="10m")
    def tidy(folder: Path, keep_days: int = 30) -> None:
        '''Delete files in *folder* older than *keep_days* days.'''

Importing this package imports neither Django nor Celery nor pydantic: every run's child process does it.
"""

import importlib
from typing import Any

from jobs.errors import JobFailed
from jobs.parameters import Check, Code, Label, Lines, Size
from jobs.progress_file import progress
from jobs.registry import job
from jobs.secret_text import SecretText

__all__ = ["Check", "Code", "JobFailed", "Label", "Lines", "SecretText", "Size", "job", "progress", "run_now"]


def __getattr__(name: str) -> Any:
    """Return `run_now`, imported when it is asked for: it needs Django set up, which a run does without."""
    if name == "run_now":
        return importlib.import_module("jobs.handing_over").run_now
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
