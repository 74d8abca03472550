"""What a shell completes, and the scripts that make it do so."""

import contextlib
import json
import os
from urllib.parse import quote

import click
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, get_completion_class

from scheduler_app import sqlite
from scheduler_app.config import Config
from scheduler_app.paths import Paths

PROGRAM = "scheduler-app"
VARIABLE = "_SCHEDULER_APP_COMPLETE"
SHELLS = ("bash", "zsh", "fish", "powershell")
_MOST = 200


class PowerShellComplete(ShellComplete):
    """Completion in PowerShell, 5.1 and later, by Register-ArgumentCompleter."""

    name = "powershell"
    # PowerShell hands over what it has parsed, without the empty word that a person begins: hence the count.
    source_template = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object {
        if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value } else { "$_" }
    })
    if ($wordToComplete -ne "") { $words = @($words | Select-Object -SkipLast 1) }
    $env:%(complete_var)s = "powershell_complete"
    $env:COMP_WORDS = ConvertTo-Json -Compress -InputObject @($words)
    $env:COMP_CURRENT = $wordToComplete
    try {
        & %(prog_name)s | ForEach-Object {
            $kind, $text, $help = $_ -split "`t", 3
            if ($kind -eq "plain") {
                $shown = if ($text -match "[\\s'`"``$(){};,|&]") { "'" + $text.Replace("'", "''") + "'" } else { $text }
                $tip = if ($help) { $help } else { $text }
                [System.Management.Automation.CompletionResult]::new($shown, $text, "ParameterValue", $tip)
            }
        }
    } finally {
        Remove-Item Env:%(complete_var)s, Env:COMP_WORDS, Env:COMP_CURRENT
    }
}
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        words = json.loads(os.environ.get("COMP_WORDS") or "[]")
        return [str(word) for word in words], os.environ.get("COMP_CURRENT", "").strip("'\"")

    def format_completion(self, item: CompletionItem) -> str:
        return "\t".join([item.type, item.value, " ".join((item.help or "").split())])


def register() -> None:
    """Make PowerShell known to click, beside the shells that it knows itself."""
    add_completion_class(PowerShellComplete)


def script(main: click.Command, shell: str) -> str:
    """Return what *shell* has to read."""
    register()
    complete = get_completion_class(shell)
    assert complete is not None  # noqa: S101 - one of SHELLS
    # bash's version is asked of the bash of whoever types it, which need not be the one that completes.
    return complete(main, {}, PROGRAM, VARIABLE).source_template % complete(main, {}, PROGRAM, VARIABLE).source_vars()


def schedule_names(config: Config, begun: str) -> list[str]:
    """Return the names of schedules that begin so; none where the database cannot be asked."""
    if config.database.url is not None:
        from scheduler_app.commands.database import use_django  # noqa: PLC0415 - slower than people wait for a tab

        use_django(config)
        from beat_config.models import Schedule  # noqa: PLC0415

        return list(Schedule.objects.filter(name__istartswith=begun).values_list("name", flat=True)[:_MOST])
    sqlite.use_safe_sqlite()
    import sqlite3  # noqa: PLC0415 - only now is it certain which SQLite this name means

    address = f"file:{quote(str(Paths.of(config).database))}?mode=ro"
    # Capitals make no difference, as in the admin's search.
    query = "SELECT name FROM django_celery_beat_periodictask WHERE name LIKE ? ESCAPE '\\' ORDER BY name LIMIT ?"
    pattern = "".join(f"\\{character}" if character in "\\%_" else character for character in begun) + "%"
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(address, uri=True)) as database:
        return [name for (name,) in database.execute(query, (pattern, _MOST))]
    return []
