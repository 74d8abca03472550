"""How the text of a script is handed to its interpreter, so that nothing of it is left behind where that can be had."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

Interpreter = Literal["sh", "bash", "python", "powershell", "cmd"]

DEFAULT_INTERPRETER: Interpreter = "powershell" if sys.platform == "win32" else "sh"


class NoInterpreterError(Exception):
    """The interpreter is not on this machine; str() says which one and what to do."""


class Script(NamedTuple):
    """What starts the script: the arguments before its own, and the descriptors it needs."""

    arguments: list[str]
    descriptors: tuple[int, ...] = ()


class _Language(NamedTuple):
    programs: tuple[str, ...]  # the first one that is found
    options: tuple[str, ...]
    suffix: str
    encoding: str = "utf-8"
    line_end: str = "\n"


_LANGUAGES = {
    "sh": _Language(("sh",), (), ".sh"),
    "bash": _Language(("bash",), (), ".sh"),
    "python": _Language((sys.executable,), (), ".py"),
    # Windows PowerShell 5 takes a file without a byte order mark for one in the system's own encoding.
    "powershell": _Language(
        ("pwsh", "powershell"),
        ("-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"),
        ".ps1",
        "utf-8-sig",
        "\r\n",
    ),
    "cmd": _Language(("cmd",), ("/d", "/c"), ".cmd", "oem" if sys.platform == "win32" else "utf-8", "\r\n"),
}


@contextlib.contextmanager
def prepared(text: str, interpreter: Interpreter) -> Iterator[Script]:
    """Yield what starts *text*; raises NoInterpreterError, and UnicodeEncodeError for what cmd cannot write."""
    language = _LANGUAGES[interpreter]
    program = next(filter(None, map(shutil.which, language.programs)), None)
    if program is None:
        raise NoInterpreterError(
            f"cannot run the script: there is no {' or '.join(language.programs)} on this machine; install it, or "
            "choose another interpreter"
        )
    content = language.line_end.join(text.splitlines()).encode(language.encoding) + language.line_end.encode()
    if sys.platform != "win32" and language.suffix != ".ps1":
        # A file without a name goes when the last process that uses it ends, however that ends.
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            yield Script([program, *language.options, f"/dev/fd/{file.fileno()}"], (file.fileno(),))
    else:
        with tempfile.TemporaryDirectory(prefix="scheduler-script-") as folder:
            path = Path(folder, f"script{language.suffix}")
            path.write_bytes(content)
            yield Script([program, *language.options, str(path)])
