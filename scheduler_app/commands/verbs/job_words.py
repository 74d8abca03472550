"""Jobs as words of a command line: each is a verb, whose options are its parameters."""

from typing import TYPE_CHECKING

import click

from scheduler_app.commands.verbs.shared import Family, configuration

if TYPE_CHECKING:
    from jobs.registry import Job, Registry


class OneVerbEach(Family):
    """A verb that takes a job and the job's parameters."""

    def list_commands(self, context: click.Context) -> list[str]:
        with context.scope(cleanup=False):  # a shell that completes is in none
            return sorted(known_jobs())

    def get_command(self, context: click.Context, name: str) -> click.Command:
        """Return the verb for the job called *name*; raise UnknownJob."""
        with context.scope(cleanup=False):
            return self.verb_of(context, known_jobs()[name])

    def verb_of(self, context: click.Context, job: "Job") -> click.Command:
        raise NotImplementedError


def known_jobs() -> "Registry":
    """Return the jobs of the installation that the command line names; Celery tasks are among them."""
    from jobs.discovery import discover
    from scheduler_app.paths import Paths

    config = configuration(None, None)
    if not config.celery.tasks:
        return discover(Paths.of(config).jobs)
    from scheduler_app.commands.database import use_django

    use_django(config)
    from jobs import catalogue

    return catalogue.registry()
