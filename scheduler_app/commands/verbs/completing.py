"""`scheduler-app completion`."""

import click

from scheduler_app.commands.verbs.shared import tell


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish", "powershell")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what SHELL has to read to complete verbs, options, jobs and schedules.

    bash: eval "$(scheduler-app completion bash)" in ~/.bashrc; PowerShell: scheduler-app completion powershell |
    Out-String | Invoke-Expression in $PROFILE.
    """
    from scheduler_app.commands.completion import script

    tell(script(context.find_root().command, shell))
