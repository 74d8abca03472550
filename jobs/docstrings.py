"""What a job's docstring says: summary, description, and the help of each parameter.

The rule is Google's: a line `Args:`, then one indented `name: text` (or `name (type): text`) a parameter, whose
text may go on in lines that are indented further. Text up to the first such section is the description.
"""

import re
from typing import NamedTuple

_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?):")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)")


class Description(NamedTuple):
    summary: str = ""
    text: str = ""
    help: dict[str, str] = {}


def read(docstring: str | None) -> Description:
    """Return the parts of *docstring*; all empty when there is none."""
    lines = _without_indent(docstring or "")
    first = next((number for number, line in enumerate(lines) if _SECTION.fullmatch(line.rstrip())), len(lines))
    text = "\n".join(lines[:first]).strip()
    summary = " ".join(text.split("\n\n", 1)[0].split())
    return Description(summary, text, _help(lines[first:]))


def _without_indent(docstring: str) -> list[str]:
    # inspect.cleandoc, without the 5 ms that importing inspect costs every run.
    lines = docstring.expandtabs().splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    return [line.strip() if number == 0 else line[margin:].rstrip() for number, line in enumerate(lines)]


def _help(lines: list[str]) -> dict[str, str]:
    texts: dict[str, list[str]] = {}
    inside = False
    depth: int | None = None
    name = ""
    for line in lines:
        if _SECTION.fullmatch(line):
            inside = line in ("Args:", "Arguments:", "Parameters:")
            depth, name = None, ""
            continue
        if not inside or not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        depth = indent if depth is None else depth
        entry = _ENTRY.fullmatch(line.strip()) if indent <= depth else None
        if entry:
            name = entry[1]
            texts[name] = [entry[2]]
        elif name:
            texts[name].append(line.strip())
    return {name: " ".join(text).strip() for name, text in texts.items()}
