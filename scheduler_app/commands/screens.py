"""Where a run's output goes: a terminal, a file or a pipe as it is, or a program as JSON."""

import codecs
import json
import re
import sys
from types import TracebackType
from typing import Protocol, Self

from jobs import ansi
from jobs.models import Run, RunOutput
from jobs.progress_file import Progress

STDOUT, STDERR = RunOutput.Stream.STDOUT, RunOutput.Stream.STDERR
# What a terminal would take for an order; the end of lines and tabs are none.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")


class Screen(Protocol):
    def output(self, stream: int, data: bytes) -> None: ...

    def end_of_output(self) -> None:
        """Show what was kept back, as no more comes."""

    def progress(self, run: Run, told: Progress | None) -> None: ...

    def note(self, sentence: str) -> None:
        """Tell something about the run that the run did not print."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


def screen(*, as_json: bool = False) -> Screen:
    """Return the one that fits where this program's output goes."""
    if as_json:
        return JsonScreen()
    if not sys.stderr.isatty():
        return PlainScreen()
    from scheduler_app.commands.terminal_screen import TerminalScreen  # noqa: PLC0415 - rich: only a terminal pays for it

    return TerminalScreen()


def silent() -> Screen:
    return SilentScreen()


class SilentScreen:
    """Shows nothing: somebody only waits."""

    def output(self, stream: int, data: bytes) -> None:
        pass

    def end_of_output(self) -> None:
        pass

    def progress(self, run: Run, told: Progress | None) -> None:
        pass

    def note(self, sentence: str) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class PlainScreen(SilentScreen):
    """Bytes as they are, each stream into its own; what a terminal gets of it has no orders to the terminal."""

    def __init__(self) -> None:
        self._decoders = {stream: decoder() for stream in (STDOUT, STDERR)}

    def output(self, stream: int, data: bytes) -> None:
        out = sys.stdout if stream == STDOUT else sys.stderr
        if out.isatty():
            out.write(
                CONTROL.sub(
                    "",
                    "".join(text for _, text in ansi.stretches(self._decoders[RunOutput.Stream(stream)].decode(data))),
                )
            )
        else:
            out.buffer.write(data)
        out.flush()

    def note(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)  # noqa: T201


class JsonScreen(PlainScreen):
    """One JSON object a line: `{"stream": "stdout", "text": …}`; notes and progress are no output of the run."""

    def output(self, stream: int, data: bytes) -> None:
        self._tell(stream, self._decoders[RunOutput.Stream(stream)].decode(data))

    def end_of_output(self) -> None:
        for stream, decoder in self._decoders.items():
            self._tell(stream, decoder.decode(b"", final=True))

    def _tell(self, stream: int, text: str) -> None:
        if text:
            line = json.dumps({"stream": RunOutput.Stream(stream).label, "text": text}, ensure_ascii=False)
            print(line, flush=True)  # noqa: T201


def decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
