"""Every verb is documented with its exit codes, and somebody types it in a test."""

import re
from pathlib import Path

import click
import pytest

from scheduler_app.cli import main
from scheduler_app.commands.verbs.job_words import OneVerbEach

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED = re.findall(
    r"^\| `([a-z][^`]*)` \| .+ \| ([0-9RUN ]+) \|$", (ROOT / "docs/cli.md").read_text(), re.MULTILINE
)
TESTS = [path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py"))]


def paths(command=main, words=()):
    """Yield the words of every verb; what follows a verb that takes a job is people's."""
    is_family = isinstance(command, click.Group) and not isinstance(command, OneVerbEach)
    if words and (not is_family or command.invoke_without_command):
        yield words
    if is_family:
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from paths(command.get_command(context, name), (*words, name))


def test_the_table_of_the_documentation_has_every_verb_and_no_other():
    documented = [tuple(word for word in usage.split() if word.islower()) for usage, _ in DOCUMENTED]
    assert sorted(documented) == sorted(paths())


def types(text, words):
    """Tell whether a test types the *words* one after another, or the last through a function that adds the first."""
    whole = r",\s*".join(f'"{word}"' for word in words)
    group, last = "".join(f'"{word}",\\s*' for word in words[:-1]), f'"{words[-1]}"'
    through = words[:-1] and re.search(rf"{group}\*", text) and re.search(rf"[(,]\s*{last}\s*[,)]", text)
    return bool(re.search(rf"[(\[,]\s*{whole}\s*[,)\]]", text) or through)


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words)) for words in paths()])
def test_somebody_types_the_verb_in_a_test(words):
    assert any(types(text, words) for text in TESTS)
