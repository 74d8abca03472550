"""A run's output at a terminal: whole lines above a progress bar."""

import sys
from typing import Self

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from jobs import ansi
from jobs.models import Run, RunOutput
from jobs.progress_file import Progress
from scheduler_app.commands.screens import CONTROL, STDERR, STDOUT, decoder

_RICH = {"inverse": "reverse"}
_LONGEST_LINE = 10_000


class TerminalScreen:
    """Whole lines above a progress bar, colours kept, what came on the error stream in red."""

    def __init__(self) -> None:
        self._bar = rich.progress.Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID | None = None
        self._decoders = {stream: decoder() for stream in (STDOUT, STDERR)}
        self._styles = dict.fromkeys((STDOUT, STDERR), ansi.PLAIN)
        self._partial = dict.fromkeys((STDOUT, STDERR), "")

    def output(self, stream: int, data: bytes) -> None:
        if stream == STDOUT and not sys.stdout.isatty():
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            return
        of = RunOutput.Stream(stream)
        *lines, rest = (self._partial[of] + self._decoders[of].decode(data)).split("\n")
        while len(rest) > _LONGEST_LINE:
            lines.append(rest[:_LONGEST_LINE])
            rest = rest[_LONGEST_LINE:]
        self._partial[of] = rest
        for line in lines:
            self._print(of, line)

    def end_of_output(self) -> None:
        for stream, rest in self._partial.items():
            if rest:
                self._print(stream, rest)
            self._partial[stream] = ""

    def progress(self, run: Run, told: Progress | None) -> None:
        description = f"Run {run.pk} {run.get_state_display().lower()}"
        if self._task is None:
            self._task = self._bar.add_task(description, total=None, text="")
        self._bar.update(
            self._task,
            description=description,
            total=told.total if told else None,
            completed=told.done if told else 0,
            text=CONTROL.sub("", told.text) if told else "",
        )

    def note(self, sentence: str) -> None:
        self._bar.console.print(sentence, style="dim", markup=False, highlight=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _print(self, stream: RunOutput.Stream, line: str) -> None:
        shown = Text(style="red" if stream == STDERR else "")
        for style, text in ansi.stretches(ansi.last_of_lines(line), self._styles[stream]):
            self._styles[stream] = style
            shown.append(CONTROL.sub("", text), _rich(style))
        self._bar.console.print(shown, soft_wrap=True)


def _rich(style: ansi.Style) -> str:
    """Return *style* in rich's words."""
    words = [_RICH.get(name, name) for name in sorted(style.attributes)]
    words += [_colour(style.colour)] if style.colour else []
    words += ["on", _colour(style.background)] if style.background else []
    return " ".join(words)


def _colour(colour: str) -> str:
    return f"color({colour})" if colour.isdecimal() else colour
