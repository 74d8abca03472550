"""`scheduler-app schedule`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from scheduler_app.commands.verbs.job_words import OneVerbEach
from scheduler_app.commands.verbs.shared import (
    Family,
    as_json,
    configuration,
    places,
    tell,
    tell_json,
    with_database,
)
from scheduler_app.commands.verbs.waiting import tell_started, wait_options

if TYPE_CHECKING:
    from jobs.registry import Job
    from scheduler_app.config import Config


class ScheduleName(click.ParamType):  # type: ignore[type-arg]  # generic only from click 8.4 on
    name = "schedule"

    def shell_complete(self, context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        from scheduler_app.commands.completion import schedule_names

        with context.scope(cleanup=False):
            config = configuration(None, None)
        return [CompletionItem(name) for name in schedule_names(config, begun)]


schedule_argument = click.argument("wanted", metavar="SCHEDULE", type=ScheduleName())


@click.group(cls=Family)
def schedule() -> None:
    """Show, make, change, pause and run schedules."""


# Of what a schedule is made of, what people say most often; `--set` says the rest.
_FIELDS: tuple[tuple[str, str, str, str], ...] = (
    ("--every", "every", "TIME", "Every so often, such as '10 minutes'."),
    ("--cron", "cron", "LINE", "By a cron line, such as '30 2 * * *'."),
    ("--once", "once", "MOMENT", "Once, such as 2026-12-24T18:00."),
    ("--tz", "time_zone", "ZONE", "The clock that it goes by, such as Europe/Berlin."),
    ("--start", "start", "MOMENT", "Not before then."),
    ("--end", "end", "MOMENT", "Not after that."),
    ("--spread", "spread", "TIME", "Later by a share of this that is always the same."),
    ("--preset", "preset", "once|must|on_time|often", "Several policies at once."),
    ("--overlap", "overlap", "skip|queue|replace|allow", "When the previous run still goes on."),
    ("--catch-up", "catch_up", "none|latest|all", "When runs were missed while nothing was running."),
    ("--grace", "grace", "TIME", "Still on time when late by so much."),
    ("--time-limit", "time_limit", "TIME", "End runs that take longer."),
    ("--when-wrong", "when_wrong", "job|leave|crash|failure|any", "When it goes wrong."),
    ("--attempts", "attempts", "NUMBER", "So many attempts altogether."),
    ("--priority", "priority", "0-255", "Of the runs that wait, the highest goes first."),
    ("--on-success", "on_success", "SCHEDULE", "Start that one when a run has succeeded."),
    ("--on-failure", "on_failure", "SCHEDULE", "Start that one when a run has not."),
    ("--on-end", "on_end", "SCHEDULE", "Start that one in any case."),
    ("--description", "description", "TEXT", "What it is for."),
)


def document_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options that say what a schedule is."""
    function = click.option(
        "--set", "fields", multiple=True, metavar="FIELD=VALUE", help="Any other field, as in schedules.toml."
    )(function)
    function = click.option(
        "--not-during", "blackouts", multiple=True, metavar="BLACKOUT", help="Not then; give it once for each."
    )(function)
    function = click.option("--tag", "tags", multiple=True, metavar="WORD", help="To find it by; may be repeated.")(
        function
    )
    for flag, field, metavar, text in reversed(_FIELDS):
        function = click.option(flag, f"field_{field}", metavar=metavar, help=text)(function)
    return function


def said(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a document that the *values* of `document_options` say."""
    fields = {name: values[f"field_{name}"] for _, name, _, _ in _FIELDS if values.get(f"field_{name}") is not None}
    fields |= {name: list(values[name]) for name in ("tags", "blackouts") if values.get(name)}
    for each in values.get("fields") or ():
        name, equals, value = each.partition("=")
        if not equals:
            raise click.UsageError(f"--set {each!r} is not FIELD=VALUE")
        fields[name.strip()] = value
    return fields


class _OfAJob(OneVerbEach):
    """A verb that takes a schedule's name, options about it, and then a job with its parameters as options."""

    def parse_args(self, context: click.Context, words: list[str]) -> list[str]:
        # click's groups take the first word that is no option for a verb: here it is the schedule's name.
        _, rest, _ = self.make_parser(context).parse_args(list(words))
        options = words[: len(words) - len(rest)]
        if rest and "--name" not in options:
            words = [*options, "--name", *rest]
        return super().parse_args(context, words)

    def verb_of(self, context: click.Context, job: "Job") -> click.Command:
        from scheduler_app.commands import job_options

        own = [each for each in self.params if each.name in {"config_file", "data_folder"}]

        def save(**values: Any) -> None:
            self.save({**context.params, "job": job.name, "parameters": job_options.take(job, values)})

        params = [*job_options.options(job), *job_options.beside(own, job)]
        return click.Command(job.name, callback=save, params=params, help=job.description, short_help=job.summary)

    def save(self, values: dict[str, Any]) -> None:
        raise NotImplementedError


class _Adding(_OfAJob):
    def save(self, values: dict[str, Any]) -> None:
        if values["name"] is None or values["job"] is None:
            raise click.UsageError(
                "a name for the schedule and then a job are needed; scheduler-app job list shows all"
            )
        document = {**said(values), **{key: values[key] for key in ("name", "job", "parameters")}}
        if values["disabled"]:
            document["enabled"] = False
        _tell_saved(values, "Added", lambda schedules: schedules.add(document))


class _Changing(_OfAJob):
    def save(self, values: dict[str, Any]) -> None:
        fields = said(values)
        if values["rename"] is not None:
            fields["name"] = values["rename"]
        if values["name"] is None or (values["job"] is None and not fields):
            raise click.UsageError("a schedule is needed, and what is to be otherwise: options, or a job with its own")
        name, job, parameters = values["name"], values["job"], values["parameters"]
        _tell_saved(values, "Changed", lambda schedules: schedules.change(name, fields, job, parameters))


def _tell_saved(values: dict[str, Any], done: str, save: Callable[[Any], Any]) -> None:
    from scheduler_app.commands.database import opened

    with opened(configuration(None, None)):
        from scheduler_app.commands import schedules

        saved = save(schedules)
        if values["as_json"]:
            tell_json(schedules.as_json(saved))
        else:
            tell(f"{done} {saved.name!r} (schedule {saved.pk}): {schedules.in_words(saved)}.")


name_option = click.option("--name", type=ScheduleName(), hidden=True)


@schedule.group(cls=_Adding, invoke_without_command=True, subcommand_metavar="NAME [OPTIONS] JOB [PARAMETERS]...")
@places
@name_option
@document_options
@click.option("--disabled", is_flag=True, help="Do not let it run yet.")
@as_json
@click.pass_context
def add(context: click.Context, /, **values: Any) -> None:
    """Make a schedule called NAME that runs JOB; its parameters are options behind it.

    scheduler-app schedule add "Nightly backup" --cron "30 2 * * *" back_up_files --source ~/Documents --target /mnt
    """
    if context.invoked_subcommand is None:
        _Adding.save(context.command, {**values, "job": None})  # type: ignore[arg-type]  # it is one


@schedule.group(
    cls=_Changing, invoke_without_command=True, subcommand_metavar="SCHEDULE [OPTIONS] [JOB [PARAMETERS]...]"
)
@places
@name_option
@document_options
@click.option("--rename", metavar="NAME", help="Call it otherwise.")
@as_json
@click.pass_context
def edit(context: click.Context, /, **values: Any) -> None:
    """Change SCHEDULE: what is not said stays as it is. With JOB, its parameters, too."""
    if context.invoked_subcommand is None:
        _Changing.save(context.command, {**values, "job": None, "parameters": {}})  # type: ignore[arg-type]  # it is one


@schedule.command(name="list")
@with_database
@click.option("--tag", metavar="WORD", help="Only those with this tag.")
@click.option("--job", metavar="JOB", help="Only those of this job.")
@as_json
def list_schedules(_config: "Config", tag: str | None, job: str | None, as_json: bool) -> None:
    """Show all schedules, and when they run next."""
    from scheduler_app.commands import schedules
    from scheduler_app.commands.tables import show_table

    found = schedules.chosen(tag=tag, job=job)
    if as_json:
        tell_json(schedules.all_as_json(found))
    else:
        show_table(schedules.HEADINGS, schedules.rows(found))
        if pause := schedules.pause_in_words():
            click.echo(pause, err=True)


@schedule.command()
@with_database
@schedule_argument
@as_json
def show(_config: "Config", wanted: str, as_json: bool) -> None:
    """Show all about SCHEDULE."""
    from scheduler_app.commands import schedules

    found = schedules.found(wanted)
    if as_json:
        tell_json(schedules.as_json(found))
    else:
        tell("\n".join(schedules.lines(found)))


@schedule.command()
@with_database
@schedule_argument
def enable(_config: "Config", wanted: str) -> None:
    """Let SCHEDULE run from now on; nothing runs at once."""
    from scheduler_app.commands import schedules

    tell(schedules.switch(schedules.found(wanted), enabled=True))


@schedule.command()
@with_database
@schedule_argument
def disable(_config: "Config", wanted: str) -> None:
    """Let SCHEDULE run no more; a run that goes on is not touched."""
    from scheduler_app.commands import schedules

    tell(schedules.switch(schedules.found(wanted), enabled=False))


@schedule.command()
@with_database
@click.option(
    "--for", "length", type=click.Choice(("15m", "1h", "tomorrow", "resumed")), default="resumed", help="How long."
)
def pause(_config: "Config", length: str) -> None:
    """Pause all schedules: what comes due is skipped, and recorded."""
    from scheduler_app.commands import schedules

    tell(schedules.pause(length))


@schedule.command()
@with_database
def resume(_config: "Config") -> None:
    """Let all schedules run again."""
    from scheduler_app.commands import schedules

    tell(schedules.resume())


@schedule.command()
@with_database
@schedule_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(_config: "Config", wanted: str, yes: bool) -> None:
    """Delete SCHEDULE; its history stays. Asks first at a terminal."""
    from scheduler_app.commands import schedules

    found = schedules.found(wanted)
    if not yes:
        click.confirm(f"Delete the schedule {found.name!r}?", abort=True, err=True)
    tell(schedules.delete(found))


@schedule.command(name="next")
@with_database
@schedule_argument
@click.option("-n", "--number", "count", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@as_json
def next_times(_config: "Config", wanted: str, count: int, as_json: bool) -> None:
    """Show when SCHEDULE runs next; what is special about a time stands beside it."""
    from scheduler_app.commands import schedules
    from scheduler_app.commands.tables import show_table

    coming = schedules.coming(schedules.found(wanted), count)
    if as_json:
        tell_json(schedules.coming_as_json(coming))
    else:
        show_table(("when", "what"), schedules.coming_rows(coming))


@schedule.command(name="run")
@with_database
@schedule_argument
@wait_options
@as_json
def run_schedule(
    _config: "Config", wanted: str, wait: bool, follow: bool, timeout: float | None, as_json: bool
) -> None:
    """Run SCHEDULE's job now, with its parameters and policies."""
    from scheduler_app.commands import runs, schedules

    found = schedules.found(wanted)
    if wait or follow:
        runs.require_worker()
    tell_started(schedules.run_now(found), wait=wait, follow=follow, timeout=timeout, as_json=as_json)


@schedule.command()
@with_database
@schedule_argument
@click.option(
    "-n", "--number", "count", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many."
)
@as_json
def history(_config: "Config", wanted: str, count: int, as_json: bool) -> None:
    """Show the newest runs of SCHEDULE."""
    from scheduler_app.commands import runs, schedules
    from scheduler_app.commands.tables import show_table

    newest = runs.newest(count, schedule=schedules.found(wanted).pk)
    if as_json:
        tell_json([runs.as_json(each) for each in newest])
    else:
        show_table(runs.HEADINGS, runs.rows(newest))
