"""Texts that nobody else may read: asked at the terminal, or read from a file or a pipe; never an argument."""

import sys
from pathlib import Path

import click

from scheduler_app.commands.problems import CommandProblem


def read(what: str, file: Path | None = None, *, new: bool) -> str:
    """Return the first line of *file* or standard input; at a terminal what is typed, twice where it is *new*."""
    if file is None and sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True, confirmation_prompt=new, err=True))
    try:
        text = sys.stdin.readline() if file is None else file.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise CommandProblem(f"cannot read the {what.lower()} from {file or 'the standard input'}: {error}") from error
    text = text.rstrip("\r\n")
    if not text:
        raise CommandProblem(
            f"cannot go on without a {what.lower()}: type it at a terminal, or write it to the standard input"
        )
    return text
